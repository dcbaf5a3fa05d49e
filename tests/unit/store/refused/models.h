/* models.h: what the programs here are about. */
#include <silver/store.h>

#define COLOURS(V) V(RED, "red") V(GREEN, "green")
SL_ENUM(colour, COLOURS);

#define COMPANY(F)                                                                                           \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED)
SL_MODEL(company, COMPANY);

#define PERSON(F)                                                                                            \
    F(id, integer, SL_PRIMARY_KEY)                                                                           \
    F(name, text, SL_REQUIRED)                                                                               \
    F(age, integer)                                                                                          \
    F(score, real)                                                                                           \
    F(pay, decimal, .scale = 2)                                                                              \
    F(born, date)                                                                                            \
    F(seen, time)                                                                                            \
    F(active, boolean)                                                                                       \
    F(shade, enum(colour))                                                                                   \
    F(token, uuid)                                                                                           \
    F(photo, bytes, SL_LAZY)                                                                                 \
    F(data, json)                                                                                            \
    F(employer, refers(company))
SL_MODEL(person, PERSON);

#define MEMBERSHIP(F)                                                                                        \
    F(member, refers(person), SL_PRIMARY_KEY)                                                                \
    F(club, refers(company), SL_PRIMARY_KEY)
SL_MODEL(membership, MEMBERSHIP);

#define BUSY(F) F(name, text) F(count, integer) F(boss, row(person))
SL_RESULT(busy, BUSY);

#define FIND(...) (void)sl_find(person, __VA_ARGS__)
