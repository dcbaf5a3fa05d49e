/* incompatible or invalid initializer */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    struct company_list list = sl_delete_returning(sl_find(person)); /* wrong */
}
