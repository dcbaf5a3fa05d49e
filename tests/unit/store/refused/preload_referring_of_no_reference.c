/* sl__refers_to_nothing */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_preload_referring(person, age)); /* wrong */
}
