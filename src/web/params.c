/* params.c: the query of a request, parsed when it is first asked for; and what the client would like. */

#include "http/accept.h"
#include "web/state.h"

sl__pairs *sl__pairs_read(sl_request *req, sl_view text, const char *what)
{
    sl__pairs *pairs = sl_arena_zalloc(req->arena, sizeof(*pairs));
    const char *reason;
    int got = sl__url_pairs(req->arena, text, SL__PAIRS_MAX, pairs, &reason);
    if (got < 0)
        sl_fail(got, "%s is refused: %s", what, reason);
    return pairs;
}

const char *sl__pairs_value(const sl__pairs *pairs, const char *name, size_t i)
{
    const sl__pair *pair = sl__pairs_find(pairs, name, i);
    return pair ? pair->value : NULL;
}

const char *sl_param_at(sl_request *req, const char *name, size_t i)
{
    sl__web *web = sl__web_get(req);
    if (!web->params)
        web->params = sl__pairs_read(req, sl_view_of(req->query), "the query");
    return sl__pairs_value(web->params, name, i);
}

const char *sl_param(sl_request *req, const char *name)
{
    return sl_param_at(req, name, 0);
}

uint64_t sl_param_number(sl_request *req, const char *name, uint64_t max, uint64_t otherwise)
{
    const char *text = sl_param(req, name);
    uint64_t number = otherwise;
    if (text && sl_view_number(sl_view_of(text), max, &number) < 0)
        sl_fail(SL_HTTP(400), "%s is no number from 0 to %llu: %s", name, (unsigned long long)max, text);
    return number;
}

bool sl_prefers(sl_request *req, const char *type)
{
    const char *accept = sl_header(req, "Accept");
    return accept && sl__accept_media_quality(accept, type) > sl__accept_media_quality(accept, "text/html");
}
