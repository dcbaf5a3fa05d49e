/* sl_clause */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_group_by(person_.age), sl_having(person_.age)); /* wrong */
}
