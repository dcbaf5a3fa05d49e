/* sl_text_expr */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    (void)sl_select(busy, person_, SL_AS(.count = person_.name)); /* wrong */
}
