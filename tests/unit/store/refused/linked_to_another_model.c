/* _Generic or generic association */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    (void)sl_linked(person, membership, member, club, p); /* wrong */
}
