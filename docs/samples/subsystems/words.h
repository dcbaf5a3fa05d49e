/* words.h: a service, as those who call it and those who carry it out see it. */
#include <silver/silver.h>
#include <silver/subsystem.h>

#define WORDS_COUNT(F) F(text, text, SL_REQUIRED, .max = 100000) F(shortest, integer)
SL_RECORD(words_count, WORDS_COUNT);
#define WORDS_COUNTED(F) F(words, integer) F(longest, text)
SL_RECORD(words_counted, WORDS_COUNTED);

#define WORDS(M) M(count, words_count, words_counted, SL_IDEMPOTENT)
SL_SERVICE(words, 1, WORDS);
