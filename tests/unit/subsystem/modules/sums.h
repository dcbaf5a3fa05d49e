/* sums.h: the service that the tests of children call: a method for each thing that can happen in one. */
#pragma once

#include <silver/subsystem.h>

#define PAIR(F) F(a, integer) F(b, integer)
SL_RECORD(pair, PAIR);
#define NUMBER(F) F(value, integer)
SL_RECORD(number, NUMBER);
#define WORDS(F) F(text, text, SL_REQUIRED, .max = 20)
SL_RECORD(words, WORDS);
#define PAYLOAD(F) F(data, bytes)
SL_RECORD(payload, PAYLOAD);
#define FILES(F) F(one, file) F(note, json)
SL_RECORD(files, FILES);

#define SUMS(M)                                                                                              \
    M(add, pair, number, SL_IDEMPOTENT)                                                                      \
    M(greet, words, words)          /* fails for "nobody"; "spoil" breaks what the result must keep */       \
    M(reverse, payload, payload)    /* gives the bytes back to front */                                      \
    M(nap, number, number)          /* awaits so many ms */                                                  \
    M(read, files, words)           /* reads a line from a file: blocks until there is one */                \
    M(open, words, files)           /* opens a file */                                                       \
    M(misbehave, words, sl_nothing) /* "crash", "abort", "exit", "print", "log" */                           \
    M(ask, words, number)           /* calls another service: see the module */                              \
    M(tell, words, sl_nothing) /* emits `noted` with the text on the channel notes/child; "!…" `posted` */ \
    M(hear, words, words)      /* "CHANNEL N": the payloads of the next N events there, each with a comma */ \
    M(count, sl_nothing, number) /* how many calls were begun, this one included */
SL_SERVICE(sums, 1, SUMS);
SL_SERVICE(more, 1, SUMS); /* the same by another name */

SL_EVENT(noted);
SL_EVENT(posted, .sticky = true);
