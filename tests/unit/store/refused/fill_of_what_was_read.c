/* _Generic or generic association */
#include "models.h"
#include <silver/web.h>

void wrong(const struct person *p, struct person *edited, sl_request *req);
void wrong(const struct person *p, struct person *edited, sl_request *req)
{
    (void)sl_fill(person, p, req, name); /* wrong */
}
