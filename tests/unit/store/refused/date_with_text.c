/* sl_date_expr */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_eq(person_.born, "2026-11-29")); /* wrong */
}
