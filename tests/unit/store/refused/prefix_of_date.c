/* sl__like */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_prefix(person_.born, "2026")); /* wrong */
}
