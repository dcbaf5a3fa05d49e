/* int-conversion or incompatible */
#include "models.h"

void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text);
void wrong(const struct person *p, struct person *edited, const struct company *c, const char *text)
{
    (void)sl_new(person, .born = "2026-11-29"); /* wrong */
}
