/* sl_integer_expr */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_in(person_.age, 1, 2, "3", 4)); /* wrong */
}
