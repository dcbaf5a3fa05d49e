/* _Generic or generic association */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_eq(person_.age, 1), sl_ascending(sl_sum(person_.name))); /* wrong */
}
