/* _Generic or generic association */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    FIND(sl_in_array(person_.score, (const double[]){1.5}, 1)); /* wrong */
}
