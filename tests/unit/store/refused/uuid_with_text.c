/* sl_uuid_expr */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_eq(person_.token, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6")); /* wrong */
}
