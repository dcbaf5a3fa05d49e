/* sl__as_date or sl_date */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    sl_set(edited, born, "2026-11-29"); /* wrong */
}
