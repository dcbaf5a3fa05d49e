/* incompatible */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    const struct company *loaded = sl_load(person, 5); /* wrong */
}
