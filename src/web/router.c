/* router.c: a tree of segments.
 *
 * A pattern is cut at its slashes, and each piece is a step down the tree: a literal segment, `{name}` or
 * `{name...}`. A path is matched by walking down with it, literals first, going back up where a branch ends
 * in nothing. Every node is reached by one way only, so a walk visits each at most once, whatever the peer
 * sends. At a node the methods are an array, indexed by the method's number; methods that have none stand in
 * a list.
 *
 * The names of variables belong to the route and not to the tree: /rooms/{room} and /rooms/{name}/live share
 * a node. */

#include "web/router.h"

#include "http/url.h"

#include <ctype.h>

typedef struct node node;

typedef struct literal {
    const char *text;
    size_t size;
    node *node;
} literal;

struct node {
    literal *literals; /* by size, then by bytes */
    size_t literal_count, literal_capacity;
    node *variable, *rest;
    const sl__route *routes[SL__METHOD_OTHER];
    const sl__route *others;
    bool used; /* has any route */
};

struct sl__router {
    sl_arena *arena;
    node root;
    sl_table *names;
    sl__route *first, *last;
};

static const char *const method_names[SL__METHOD_OTHER] = {
    [SL__GET] = "GET",       [SL__HEAD] = "HEAD",   [SL__POST] = "POST",       [SL__PUT] = "PUT",
    [SL__DELETE] = "DELETE", [SL__PATCH] = "PATCH", [SL__OPTIONS] = "OPTIONS",
};

sl__router *sl__router_new(void)
{
    sl__router *router = sl_calloc(1, sizeof(*router));
    router->arena = sl_arena_new();
    router->names = sl_table_new(NULL);
    return router;
}

sl__router *sl__router_free(sl__router *router)
{
    if (!router)
        return NULL;
    sl_table_free(router->names);
    sl_arena_free(router->arena);
    free(router);
    return NULL;
}

/* ---- Finding ----------------------------------------------------------------------------------------- */

static int compare_literal(const literal *entry, const char *text, size_t size)
{
    if (entry->size != size)
        return entry->size < size ? -1 : 1;
    return memcmp(entry->text, text, size);
}

/* Where the literal stands, or would stand. */
static size_t literal_place(const node *n, const char *text, size_t size, bool *ret_found)
{
    size_t low = 0, high = n->literal_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_literal(&n->literals[middle], text, size);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = false;
    return low;
}

static node *literal_child(const node *n, const char *text, size_t size)
{
    if (n->literal_count > 8) {
        bool found;
        size_t place = literal_place(n, text, size, &found);
        return found ? n->literals[place].node : NULL;
    }
    for (size_t i = 0; i < n->literal_count; i++)
        if (n->literals[i].size == size && memcmp(n->literals[i].text, text, size) == 0)
            return n->literals[i].node;
    return NULL;
}

typedef struct search {
    sl__method method_id;
    const char *method;
    sl__match *match;
} search;

static const sl__route *find_other(const node *n, const char *method)
{
    for (const sl__route *route = n->others; route; route = route->next)
        if (strcmp(route->method, method) == 0)
            return route;
    return NULL;
}

/* The path ends at this node: is there a route for the method? */
static const sl__route *pick(const node *n, search *s)
{
    if (!n->used)
        return NULL;
    const sl__route *route = NULL;
    if (s->method_id < SL__METHOD_OTHER) {
        route = n->routes[s->method_id];
        if (!route && s->method_id == SL__HEAD)
            route = n->routes[SL__GET];
    } else {
        route = find_other(n, s->method);
    }
    if (route)
        return route;
    sl__match *match = s->match;
    match->path_known = true;
    for (unsigned i = 0; i < SL__METHOD_OTHER; i++)
        if (n->routes[i])
            match->methods |= 1u << i;
    for (const sl__route *other = n->others; other && match->other_count < sl_array_size(match->others);
         other = other->next)
        match->others[match->other_count++] = other;
    return NULL;
}

static const sl__route *walk(const node *n, const char *at, const char *end, search *s)
{
    if (!at)
        return pick(n, s);
    const char *slash = memchr(at, '/', (size_t)(end - at));
    size_t size = (size_t)((slash ? slash : end) - at);
    const char *next = slash ? slash + 1 : NULL;

    const sl__route *route;
    const node *child = literal_child(n, at, size);
    if (child && (route = walk(child, next, end, s)))
        return route;
    sl__match *match = s->match;
    if (n->variable && size > 0) {
        match->values[match->value_count++] = (sl_view){at, size};
        if ((route = walk(n->variable, next, end, s)))
            return route;
        match->value_count--;
    }
    if (n->rest) {
        match->values[match->value_count++] = (sl_view){at, (size_t)(end - at)};
        if ((route = pick(n->rest, s)))
            return route;
        match->value_count--;
    }
    return NULL;
}

void sl__router_match(const sl__router *router, sl__method method_id, const char *method, sl_view path,
                      sl__match *ret_match)
{
    ret_match->route = NULL;
    ret_match->value_count = 0;
    ret_match->path_known = false;
    ret_match->methods = 0;
    ret_match->other_count = 0;
    if (path.size == 0 || path.data[0] != '/')
        return;
    search s = {method_id, method, ret_match};
    ret_match->route = walk(&router->root, path.data + 1, path.data + path.size, &s);
}

void sl__router_allow(const sl__match *match, sl_buffer *out)
{
    unsigned methods = match->methods | 1u << SL__OPTIONS;
    if (methods & 1u << SL__GET)
        methods |= 1u << SL__HEAD;
    const char *separator = "";
    for (unsigned i = 0; i < SL__METHOD_OTHER; i++)
        if (methods & 1u << i) {
            sl_buffer_printf(out, "%s%s", separator, method_names[i]);
            separator = ", ";
        }
    for (unsigned i = 0; i < match->other_count; i++) {
        bool seen = false;
        for (unsigned j = 0; j < i; j++)
            seen = seen || strcmp(match->others[i]->method, match->others[j]->method) == 0;
        if (!seen)
            sl_buffer_printf(out, ", %s", match->others[i]->method);
    }
}

const sl__route *sl__router_find(const sl__router *router, const char *name)
{
    return sl_table_get(router->names, name);
}

const sl__route *sl__router_first(const sl__router *router)
{
    return router->first;
}

/* ---- Adding ------------------------------------------------------------------------------------------ */

static sl__method method_number(const char *method)
{
    for (unsigned i = 0; i < SL__METHOD_OTHER; i++)
        if (strcmp(method_names[i], method) == 0)
            return (sl__method)i;
    return SL__METHOD_OTHER;
}

static sl_error *wrong(const sl_site *site, const char *name, const char *pattern, const char *what)
{
    sl_error *error =
        sl__error_new(site, SL_EINVAL, "route \"%s\": the pattern \"%s\" %s", name, pattern, what);
    return sl_error_hint(error, "a pattern is a method, a space and a path: \"GET /rooms/{room}\"");
}

/* Cuts "GET /rooms/{room}" into the route's method and path; returns where the path begins, or NULL. */
static const char *split_method(sl_arena *arena, const char *pattern, sl__route *route)
{
    size_t size = 0;
    while (isupper((unsigned char)pattern[size]) || (size > 0 && pattern[size] == '-'))
        size++;
    if (size == 0 || size > 20 || pattern[size] != ' ' || pattern[size + 1] != '/')
        return NULL;
    route->method = sl_arena_strndup(arena, pattern, size);
    route->method_id = method_number(route->method);
    return pattern + size + 1;
}

static bool is_identifier(const char *text, size_t size)
{
    if (size == 0 || size > 64 || isdigit((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return false;
    return true;
}

/* Reads one segment into a part. NULL, or what is wrong with it. */
static const char *read_part(sl_arena *arena, sl__route *route, const char *text, size_t size, bool last)
{
    if (route->part_count == SL__ROUTE_SEGMENTS)
        return "has more than 32 segments";
    sl__route_part *part = &route->parts[route->part_count++];
    if (size > 0 && text[0] == '{') {
        if (text[size - 1] != '}')
            return "has a \"{\" without its \"}\" at the segment's end: a variable is a whole segment";
        size -= 2;
        text++;
        part->variable = true;
        if (size > 3 && memcmp(text + size - 3, "...", 3) == 0) {
            if (!last)
                return "has a {name...} that is not at its end";
            part->rest = true;
            size -= 3;
        }
        if (!is_identifier(text, size))
            return "has a variable whose name is not made of letters, digits and underscores";
        part->text = sl_arena_strndup(arena, text, size);
        for (unsigned i = 0; i < route->variable_count; i++)
            if (strcmp(route->variables[i], part->text) == 0)
                return "has the same variable twice";
        if (route->variable_count == SL__ROUTE_VARIABLES)
            return "has more than 16 variables";
        route->variables[route->variable_count++] = part->text;
        return NULL;
    }
    if (size == 0 && !last)
        return "has an empty segment: slashes in a row are one in a request's path, so it would never match";
    if ((size == 1 && text[0] == '.') || (size == 2 && text[0] == '.' && text[1] == '.'))
        return "has a segment \".\" or \"..\", which is never part of a request's path";
    for (size_t i = 0; i < size; i++)
        if (strchr("{}%?#", text[i]) || (unsigned char)text[i] < ' ')
            return "has one of { } % ? # or a control character inside a segment; write other characters as "
                   "they "
                   "are, they are compared after decoding";
    part->text = sl_arena_strndup(arena, text, size);
    return NULL;
}

static const char *read_pattern(sl_arena *arena, sl__route *route, const char *path)
{
    if (!sl_utf8_valid(path, strlen(path)))
        return "is not UTF-8";
    route->parts = sl_arena_zalloc(arena, SL__ROUTE_SEGMENTS * sizeof(*route->parts));
    route->variables = sl_arena_zalloc(arena, SL__ROUTE_VARIABLES * sizeof(*route->variables));
    for (const char *at = path + 1;; at++) {
        size_t size = strcspn(at, "/");
        const char *what = read_part(arena, route, at, size, at[size] == 0);
        if (what)
            return what;
        at += size;
        if (!*at)
            return NULL;
    }
}

static node *step_literal(sl_arena *arena, node *n, const char *text)
{
    bool found;
    size_t size = strlen(text), place = literal_place(n, text, size, &found);
    if (found)
        return n->literals[place].node;
    if (n->literal_count == n->literal_capacity) {
        n->literal_capacity = n->literal_capacity ? n->literal_capacity * 2 : 4;
        literal *grown = sl_arena_alloc(arena, n->literal_capacity * sizeof(literal));
        if (n->literal_count)
            memcpy(grown, n->literals, n->literal_count * sizeof(literal));
        n->literals = grown;
    }
    memmove(&n->literals[place + 1], &n->literals[place], (n->literal_count - place) * sizeof(literal));
    n->literal_count++;
    node *child = sl_arena_zalloc(arena, sizeof(node));
    n->literals[place] = (literal){text, size, child};
    return child;
}

static node *step(sl_arena *arena, node *n, const sl__route_part *part)
{
    if (!part->variable)
        return step_literal(arena, n, part->text);
    node **child = part->rest ? &n->rest : &n->variable;
    if (!*child)
        *child = sl_arena_zalloc(arena, sizeof(node));
    return *child;
}

static const char *const *copy_list(sl_arena *arena, const char *const *list)
{
    if (!list)
        return NULL;
    size_t count = 0;
    while (list[count])
        count++;
    const char **copy = sl_arena_zalloc(arena, (count + 1) * sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = sl_arena_strdup(arena, list[i]);
    return copy;
}

static sl_error *twice(const sl_site *site, const sl__route *route, const sl__route *earlier,
                       const char *what)
{
    return sl__error_new(site, SL_EEXIST, "route \"%s\" (%s) at %s:%d: %s route \"%s\" (%s) at %s:%d",
                         route->name, route->pattern, site->file, site->line, what, earlier->name,
                         earlier->pattern, earlier->site->file, earlier->site->line);
}

static int settle(sl__router *router, sl__route *route, sl_error **ret_error)
{
    const sl__route *earlier = sl_table_get(router->names, route->name);
    if (earlier) {
        *ret_error = sl_error_hint(twice(route->site, route, earlier, "the name is taken by"),
                                   "give each route a name of its own: sl_url finds it by that");
        return SL_EEXIST;
    }
    node *n = &router->root;
    for (unsigned i = 0; i < route->part_count; i++)
        n = step(router->arena, n, &route->parts[i]);
    earlier =
        route->method_id < SL__METHOD_OTHER ? n->routes[route->method_id] : find_other(n, route->method);
    if (earlier) {
        *ret_error = sl_error_hint(twice(route->site, route, earlier, "matches the same requests as"),
                                   "the names of variables do not tell paths apart: remove one of the two");
        return SL_EEXIST;
    }
    if (route->method_id < SL__METHOD_OTHER) {
        n->routes[route->method_id] = route;
    } else {
        route->next = (sl__route *)n->others;
        n->others = route;
    }
    n->used = true;
    sl_table_set(router->names, route->name, route);
    if (router->last)
        router->last->after = route;
    else
        router->first = route;
    router->last = route;
    return 0;
}

int sl__router_add(sl__router *router, const sl_site *site, const char *name, const char *pattern,
                   sl_handler *handler, sl_websocket_fn *websocket, const sl_route_options *options,
                   sl_error **ret_error)
{
    sl_arena *arena = router->arena;
    sl__route *route = sl_arena_zalloc(arena, sizeof(*route));
    route->site = site;
    route->name = sl_arena_strdup(arena, name);
    route->pattern = sl_arena_strdup(arena, pattern);
    route->handler = handler;
    route->websocket = websocket;
    route->options = *options;
    route->options.websocket.origins = copy_list(arena, options->websocket.origins);
    route->options.websocket.protocols = copy_list(arena, options->websocket.protocols);

    const char *what = NULL;
    if (!name[0]) {
        what = "has a route name that is empty";
    } else {
        const char *path = split_method(arena, pattern, route);
        what = path ? read_pattern(arena, route, path)
                    : "does not start with a method in capital letters, one space and a slash";
    }
    if (!what && websocket && route->method_id != SL__GET)
        what = "belongs to a WebSocket, which is opened by GET";
    if (what) {
        *ret_error = wrong(site, name, pattern, what);
        return SL_EINVAL;
    }
    return settle(router, route, ret_error);
}

static void leave_node(node *n, const sl__route *route)
{
    if (route->method_id < SL__METHOD_OTHER) {
        n->routes[route->method_id] = NULL;
    } else {
        const sl__route **link = &n->others;
        while (*link != route)
            link = (const sl__route **)&(*link)->next;
        *link = route->next;
    }
    n->used = n->others;
    for (unsigned i = 0; i < SL__METHOD_OTHER; i++)
        n->used = n->used || n->routes[i];
}

void sl__router_remove(sl__router *router, const char *name)
{
    sl__route *route = sl_table_get(router->names, name);
    if (!route)
        return;
    node *n = &router->root;
    for (unsigned i = 0; i < route->part_count; i++)
        n = step(router->arena, n, &route->parts[i]);
    leave_node(n, route);
    sl_table_remove(router->names, name);
    sl__route *before = NULL;
    for (sl__route *at = router->first; at != route; at = at->after)
        before = at;
    *(before ? &before->after : &router->first) = route->after;
    if (router->last == route)
        router->last = before;
}

/* ---- From names to paths ------------------------------------------------------------------------------- */

static const char *pair_value(const sl__url_pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i].name, name) == 0)
            return pairs[i].value;
    return NULL;
}

static bool has_variable(const sl__route *route, const char *name)
{
    for (unsigned i = 0; i < route->variable_count; i++)
        if (strcmp(route->variables[i], name) == 0)
            return true;
    return false;
}

static sl_error *unknown_route(const sl__router *router, const sl_site *site, const char *name)
{
    SL_CLEANUP(sl_buffer_done) sl_buffer known = {0};
    for (const sl__route *route = router->first; route; route = route->after)
        sl_buffer_printf(&known, "%s\"%s\"", known.size ? ", " : "", route->name);
    sl_error *error = sl__error_new(site, SL_EINVAL, "there is no route named \"%s\"", name);
    return sl_error_hint(error, "the routes are %s", known.size ? known.data : "none so far");
}

static int put_part(const sl__route_part *part, const sl__url_pair *pairs, size_t count, sl_buffer *out)
{
    sl_buffer_putc(out, '/');
    const char *text = part->variable ? pair_value(pairs, count, part->text) : part->text;
    if (!text)
        return SL_ENOENT;
    if (part->rest)
        return sl__url_put_path(out, text, strlen(text));
    if (!part->variable && !text[0])
        return 0;
    return sl__url_put_segment(out, text, strlen(text));
}

int sl__router_url(const sl__router *router, const sl_site *site, const char *name, const sl__url_pair *pairs,
                   size_t count, sl_buffer *out, sl_error **ret_error)
{
    const sl__route *route = sl__router_find(router, name);
    if (!route) {
        *ret_error = unknown_route(router, site, name);
        return SL_EINVAL;
    }
    for (unsigned i = 0; i < route->part_count; i++) {
        const sl__route_part *part = &route->parts[i];
        int got = put_part(part, pairs, count, out);
        if (got == SL_ENOENT)
            *ret_error = sl__error_new(site, SL_EINVAL, "the route \"%s\" (%s) needs a value for \"%s\"",
                                       name, route->pattern, part->text);
        else if (got < 0)
            *ret_error = sl__error_new(
                site, SL_EINVAL, "no path can hold \"%s\" as the \"%s\" of the route \"%s\" (%s)",
                pair_value(pairs, count, part->text), part->text, name, route->pattern);
        if (got < 0)
            return SL_EINVAL;
    }
    char separator = '?';
    for (size_t i = 0; i < count; i++) {
        if (has_variable(route, pairs[i].name))
            continue;
        sl_buffer_putc(out, separator);
        sl__url_put_query(out, pairs[i].name, strlen(pairs[i].name));
        sl_buffer_putc(out, '=');
        sl__url_put_query(out, pairs[i].value, strlen(pairs[i].value));
        separator = '&';
    }
    return 0;
}
