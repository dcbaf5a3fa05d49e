/* Forms that fill objects must compile without a word. */
#include "../refused/models.h"
#include <silver/web.h>

const sl_errors *right(sl_request *req, int64_t id);
const sl_errors *right(sl_request *req, int64_t id)
{
    struct person *p = id ? sl_edit(person, sl_need(person, id)) : sl_new(person, .name = "x");
    sl_errors *wrong =
        sl_fill(person, p, req, name, age, score, pay, born, seen, active, shade, token, employer);
    return wrong ? wrong : sl_fill(person, sl_add(p), req, name);
}
