/* sl_integer_expr */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    (void)sl_value_or(sl_find(person), sl_max(person_.age), "none"); /* wrong */
}
