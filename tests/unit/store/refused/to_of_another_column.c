/* sl_integer_expr */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    sl_update(sl_find(person), sl_to(person_.age, person_.name)); /* wrong */
}
