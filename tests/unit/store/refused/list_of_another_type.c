/* incompatible */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_in_array(person_.age, (const char *const[]){"x"}, 1)); /* wrong */
}
