/* discards */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    struct person *found = sl_first(sl_find(person, sl_ascending(person_.id))); /* wrong */
}
