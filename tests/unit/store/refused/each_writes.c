/* read-only or const-qualified */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    SL_EACH(each, sl_find(person)) each->age = 5; /* wrong */
}
