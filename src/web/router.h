/* router.h: which route a method and a path belong to, and which path belongs to a route. */
#pragma once

#include "http/message.h"
#include <silver/web.h>

enum {
    SL__ROUTE_VARIABLES = 16,
    SL__ROUTE_SEGMENTS = 32,
};

typedef struct sl__router sl__router;

typedef struct sl__route_part {
    const char *text; /* a literal segment, or a variable's name */
    bool variable, rest;
} sl__route_part;

typedef struct sl__route {
    const char *name, *pattern, *method;
    sl__method method_id;
    const sl_site *site;
    sl_handler *handler; /* one of these two */
    sl_websocket_fn *websocket;
    sl_route_options options;
    sl__route_part *parts;
    unsigned part_count;
    const char **variables; /* their names, in order */
    unsigned variable_count;
    struct sl__route *next;  /* of the same path, for methods without a number */
    struct sl__route *after; /* in order of registration */
} sl__route;

sl__router *sl__router_new(void);
sl__router *sl__router_free(sl__router *router);

/* Adds a route, taking copies. SL_EINVAL or SL_EEXIST with *ret_error where it is wrong. */
int sl__router_add(sl__router *router, const sl_site *site, const char *name, const char *pattern,
                   sl_handler *handler, sl_websocket_fn *websocket, const sl_route_options *options,
                   sl_error **ret_error);
/* Takes a route away by its name. Requests that were routed to it keep it. */
void sl__router_remove(sl__router *router, const char *name);

typedef struct sl__match {
    const sl__route *route;              /* NULL: none for this method */
    sl_view values[SL__ROUTE_VARIABLES]; /* views into the path */
    unsigned value_count;
    bool path_known;            /* some route has this path */
    unsigned methods;           /* bits of sl__method that the path is known under */
    const sl__route *others[8]; /* and methods without a number */
    unsigned other_count;
} sl__match;

/* Finds the route of a path (that starts with a slash, and may hold NULs). Allocates nothing. */
void sl__router_match(const sl__router *router, sl__method method_id, const char *method, sl_view path,
                      sl__match *ret_match);
/* The value of Allow for a path that is known. */
void sl__router_allow(const sl__match *match, sl_buffer *out);

const sl__route *sl__router_find(const sl__router *router, const char *name);
const sl__route *sl__router_first(const sl__router *router); /* then route->after */

/* The path of a route for pairs of name and value. */
typedef struct sl__url_pair {
    const char *name, *value;
} sl__url_pair;
int sl__router_url(const sl__router *router, const sl_site *site, const char *name, const sl__url_pair *pairs,
                   size_t count, sl_buffer *out, sl_error **ret_error);
