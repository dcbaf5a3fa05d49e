/* incompatible */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    const struct company *first = sl_first(sl_find(person)); /* wrong */
}
