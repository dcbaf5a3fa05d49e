/* trial.h: the services that the tests' module offers. `trial` does one call at a time and may block;
 * `trials` does several at once. */
#pragma once

#include <silver/subsystem.h>

#define TRIAL_TEXT(F) F(text, text, .max = 100000)
SL_RECORD(trial_text, TRIAL_TEXT);
#define TRIAL_NUMBER(F) F(number, integer)
SL_RECORD(trial_number, TRIAL_NUMBER);
#define TRIAL_BYTES(F) F(data, bytes)
SL_RECORD(trial_bytes, TRIAL_BYTES);
#define TRIAL_FILE(F) F(file, file)
SL_RECORD(trial_file, TRIAL_FILE);
/* Makes the file `path` when it begins, and returns when `until` exists (NULL: never). */
#define TRIAL_WAIT(F) F(path, text) F(until, text)
SL_RECORD(trial_wait, TRIAL_WAIT);

#define TRIAL(M)                                                                                             \
    M(echo, trial_text, trial_text, SL_IDEMPOTENT)                                                           \
    M(twice, trial_number, trial_number)                                                                     \
    M(reverse, trial_bytes, trial_bytes)                                                                     \
    M(read, trial_file, trial_text)                                                                          \
    M(pid, sl_nothing, trial_number)                                                                         \
    M(wait, trial_wait, trial_number)                                                                        \
    M(fail, trial_text, sl_nothing)                                                                          \
    M(die, trial_number, sl_nothing) /* by this signal; 0: exits with 3 */                                   \
    M(grow, trial_number, trial_number)                                                                      \
    M(count, sl_nothing, trial_number)    /* how often it was called in this process */                      \
    M(linger, trial_number, trial_number) /* for so many us; gives twice that */
SL_SERVICE(trial, 1, TRIAL);
SL_SERVICE(trials, 1, TRIAL);
