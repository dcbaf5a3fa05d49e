/* sl_integer_expr */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_in_found(person_.employer, sl_find(company), company_.name)); /* wrong */
}
