#include <silver/record.h>

#define PERSON(F)                                                                                            \
    F(name, text, SL_REQUIRED, .max = 64)                                                                    \
    F(age, integer)
SL_RECORD(person, PERSON);

#define LETTER(F)                                                                                            \
    F(from, record(person))                                                                                  \
    F(to, list(person), SL_REQUIRED, .max = 10)                                                              \
    F(subject, text)                                                                                         \
    F(sent, time)                                                                                            \
    F(urgent, boolean)                                                                                       \
    F(stamp, bytes)
SL_RECORD(letter, LETTER);
