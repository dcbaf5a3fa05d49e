/* sl__object */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    (void)sl_narrow(p, sl_eq(person_.age, 1)); /* wrong */
}
