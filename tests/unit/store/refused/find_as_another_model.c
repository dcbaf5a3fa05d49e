/* _Generic or generic association */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    (void)sl_find_as(person, company_, sl_eq(company_.id, 1)); /* wrong */
}
