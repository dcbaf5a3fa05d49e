/* int-conversion or incompatible */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    int64_t oldest = sl_value(sl_find(person), sl_max(person_.name)); /* wrong */
}
