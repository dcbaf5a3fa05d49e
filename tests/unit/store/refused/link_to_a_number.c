/* makes pointer from integer or incompatible integer to pointer or generic association or _Generic */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    sl_link(person, edited, employer, p->age); /* wrong */
}
