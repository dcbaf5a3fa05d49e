/* read-only or const-qualified or discards or discard */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    sl_set_null(p, age); /* wrong */
}
