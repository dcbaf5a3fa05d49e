/* discards */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    struct company *followed = sl_follow(person, p, employer); /* wrong */
}
