/* web.c: what finding a route and rendering a page cost. Prints one line each: nanoseconds, the least of
 * several rounds (the machine may be shared: the minimum is what the code costs). */
#include "web/app.h"
#include "web/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 15

static sl__router *router;
static const char *path;

static void match(size_t n)
{
    sl__match found;
    for (size_t i = 0; i < n; i++) {
        __asm__ volatile("" ::: "memory");
        sl__router_match(router, SL__GET, "GET", sl_view_of(path), &found);
    }
}

static sl_app *app;
static json_t *data;

static void *render_once(void *unused)
{
    return (void *)sl_render_string(app, "page.html", json_incref(data));
}

static void render(size_t n)
{
    for (size_t i = 0; i < n; i++)
        sl_await(sl_spawn(render_once, NULL));
}

static void report(const char *name, void (*operation)(size_t n), size_t n, double target)
{
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t begun = sl_monotonic_ns();
        operation(n);
        uint64_t took = sl_monotonic_ns() - begun;
        best = took < best ? took : best;
    }
    printf("%-52s %8.1f ns", name, (double)best / (double)n);
    printf(target > 0 ? "   (to reach: %.0f)\n" : "\n", target);
}

static sl_response *handler(sl_request *req)
{
    return NULL;
}

static void report_routes(void)
{
    static const char *const patterns[] = {
        "GET /",
        "GET /rooms",
        "GET /rooms/{room}",
        "POST /rooms/{room}",
        "GET /rooms/{room}/live",
        "GET /search",
        "GET /about",
        "GET /login",
        "POST /login",
        "GET /logout",
        "GET /files/{path...}",
    };
    router = sl__router_new();
    for (size_t i = 0; i < sl_array_size(patterns); i++) {
        sl_error *error;
        if (sl__router_add(router, SL_HERE, patterns[i], patterns[i], handler, NULL, &(sl_route_options){0},
                           &error) < 0)
            abort();
    }
    path = "/search";
    report("route of a literal path, of 11", match, 1000000, 60);
    path = "/rooms/lobby/live";
    report("route with a variable, of 11", match, 1000000, 60);
    path = "/rooms/lobby/nothing";
    report("no route, of 11", match, 1000000, 60);
    sl__router_free(router);
}

static void write_template(const char *directory)
{
    char *name = sl_printf("%s/templates", directory);
    mkdir(name, 0700);
    name = sl_printf("%s/page.html", name);
    FILE *file = fopen(name, "w");
    if (!file)
        abort();
    fputs("<h1>{{ room }}</h1>{% for m in messages %}<p{% if loop.last %} id=last{% end %}><b>{{ m.author "
          "}}</b> {{ m.body }}"
          "</p>\n{% else %}none{% end %}",
          file);
    fclose(file);
}

static void *report_pages(void *unused)
{
    char directory[] = "/tmp/silver-bench-XXXXXX";
    if (!mkdtemp(directory))
        abort();
    write_template(directory);
    app = sl__app_new(sl_root_current(), directory, false);
    json_t *messages = json_array();
    for (int i = 0; i < 50; i++)
        json_array_append_new(
            messages, json_pack("{s:s, s:s}", "author", "somebody", "body", "Is <this> what & one says?"));
    data = json_pack("{s:s, s:o}", "room", "lobby", "messages", messages);
    report("page of 50 messages rendered, in a task of its own", render, 2000, 0);
    json_decref(data);
    sl__app_free(app);
    unlink(sl_printf("%s/templates/page.html", directory));
    rmdir(sl_printf("%s/templates", directory));
    rmdir(directory);
    return NULL;
}

int main(void)
{
    report_routes();
    return sl_run("bench", report_pages, NULL, NULL) < 0;
}
