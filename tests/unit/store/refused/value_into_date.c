/* sl_date */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    int64_t first = sl_value(sl_find(person), sl_min(person_.born)); /* wrong */
}
