/* origin.c: whether a request comes from a page of the site itself (RFC 6454; Fetch Metadata). */
#include "http/message.h"

/* The host without a port that is the scheme's own. */
static sl_view host_without(const char *host, const char *port)
{
    sl_view view = sl_view_of(host);
    size_t size = strlen(port);
    if (view.size > size && memcmp(view.data + view.size - size, port, size) == 0)
        view.size -= size;
    return view;
}

bool sl__origin_is_ours(const sl_request *req, const char *origin)
{
    const char *host = strstr(origin, "://");
    if (!host)
        return false;
    const char *port = strncmp(origin, "https:", 6) == 0 ? ":443" : ":80";
    sl_view ours = host_without(req->host, port);
    return ours.size > 0 && sl_view_equal_nocase(host_without(host + 3, port), ours);
}

bool sl__from_other_site(const sl_request *req)
{
    const char *site = sl_header(req, "Sec-Fetch-Site"), *origin = sl_header(req, "Origin");
    if (site && (strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0))
        return false;
    /* Browsers say where a form stood in one field or the other; what is no browser says neither. */
    return origin ? !sl__origin_is_ours(req, origin) : site != NULL;
}
