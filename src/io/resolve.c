/* resolve.c: names to addresses, by getaddrinfo in libuv's threads. */
#include "io/work.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct look_up {
    uv_getaddrinfo_t request;
    sl_deferred *deferred; /* NULL once it was cancelled before it began */
    char what[];           /* "HOST", or "HOST, port SERVICE" */
} look_up;

static sl_addresses *addresses_of(const struct addrinfo *list)
{
    size_t count = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        count++;
    sl_addresses *found = sl_calloc(1, sizeof *found + count * sizeof found->addresses[0]);
    found->addresses = (struct sockaddr_storage *)(found + 1);
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        if (a->ai_addrlen <= sizeof found->addresses[0])
            memcpy(&found->addresses[found->count++], a->ai_addr, a->ai_addrlen);
    return found;
}

static sl_error *look_up_error(const char *what, int code)
{
    sl_error *error = sl_error_new(code, "cannot find the address of %s: %s", what, uv_strerror(code));
    if (code == UV_EAI_NONAME || code == UV_EAI_NODATA)
        sl_error_hint(error, "check the spelling");
    else if (code == UV_EAI_AGAIN)
        sl_error_hint(error, "the name server does not answer: see /etc/resolv.conf");
    else if (code == UV_EAI_SERVICE)
        sl_error_hint(error, "give the port as a number, or by its name in /etc/services");
    return error;
}

static void looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    look_up *l = request->data;
    if (!l->deferred)
        ; /* nobody waits any more */
    else if (status < 0)
        sl_fire_error(l->deferred, look_up_error(l->what, status));
    else
        sl_fire(l->deferred, addresses_of(list), free);
    uv_freeaddrinfo(list);
    free(l);
}

static sl_cancelled cancel_look_up(sl_deferred *deferred, void *data)
{
    look_up *l = data;
    if (uv_cancel((uv_req_t *)&l->request) < 0)
        return SL_CANCEL_LATE; /* a thread has it */
    l->deferred = NULL;
    return SL_CANCEL_DONE;
}

sl_deferred *sl_resolve(const char *host, const char *service)
{
    uv_loop_t *loop = sl__io_loop("sl_resolve");
    char what[320];
    snprintf(what, sizeof what, "%.255s%s%.32s", host, service ? ", port " : "", service ? service : "");
    look_up *l = sl_calloc(1, sizeof *l + sizeof what);
    memcpy(l->what, what, sizeof what);
    l->request.data = l;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int code = uv_getaddrinfo(loop, &l->request, looked_up, host, service, &hints);
    if (code < 0) {
        free(l);
        return sl_failing(look_up_error(what, code));
    }
    l->deferred = sl_deferred_new(cancel_look_up, l);
    return l->deferred;
}
