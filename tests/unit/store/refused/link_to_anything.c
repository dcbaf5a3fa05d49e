/* _Generic or generic association */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    sl_link(person, edited, employer, (void *)p); /* wrong */
}
