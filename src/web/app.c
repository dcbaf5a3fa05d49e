/* app.c: the application object: what an instance's requests share. It hangs on the application's root by a
 * rooted key, so whoever works for that application finds it, and two applications in one process do not see
 * each other. */

#include "web/state.h"
#include <silver/store.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static void show_app(void *value, sl_buffer *out)
{
    const sl_app *app = value;
    sl_buffer_printf(out, "%s (%s)", app->directory, app->development ? "development" : "production");
}

static SL_KEY(application, SL_ROOTED, .show = show_app);

static sl_table *read_config(void)
{
    static const char prefix[] = "CONFIG_";
    sl_table *config = sl_table_new(free);
    for (char **entry = environ; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals || strncmp(*entry, prefix, sizeof(prefix) - 1) != 0)
            continue;
        const char *name = *entry + sizeof(prefix) - 1;
        char *key = sl_printf_heap("%.*s", (int)(equals - name), name);
        sl_table_set(config, key, sl_strdup_heap(equals + 1));
        free(key);
    }
    return config;
}

/* The databases that the configuration names: SQLITE_PATH is the store sqlite, SQLITE_ARCHIVE_PATH is
 * archive, PG_… is postgres. They are opened when they are first used. */
static void declare_store(sl_app *app, const char *name, const char *url)
{
    sl_error *error = NULL;
    if (sl_store_declare(app->root, name, url, &error) == 0)
        return;
    if (app->no_stores)
        sl_error_unref(error);
    else
        app->no_stores = error;
}

static void declare_sqlite(sl_app *app, const char *key, const char *path)
{
    static const char prefix[] = "SQLITE_", suffix[] = "_PATH";
    size_t size = strlen(key);
    char *name = sl_strdup_heap("sqlite");
    if (size > sizeof(prefix) - 1 + sizeof(suffix) - 1) {
        free(name);
        name = sl_printf_heap("%.*s", (int)(size - (sizeof(prefix) - 1) - (sizeof(suffix) - 1)),
                              key + sizeof(prefix) - 1);
        for (char *c = name; *c; c++)
            *c = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    }
    char *url = sl_printf_heap("sqlite:%s", path);
    declare_store(app, name, url);
    free(url);
    free(name);
}

/* As libpq's conninfo wants it: quoted, with quotes and backslashes escaped. */
static void put_conninfo(sl_buffer *out, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    sl_buffer_printf(out, "%s='", key);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            sl_buffer_putc(out, '\\');
        sl_buffer_putc(out, *value);
    }
    sl_buffer_puts(out, "' ");
}

static void declare_stores(sl_app *app)
{
    size_t cursor = 0;
    const char *key;
    void *value;
    while (sl_table_next(app->config, &cursor, &key, &value)) {
        size_t size = strlen(key);
        if (strncmp(key, "SQLITE_", 7) == 0 && size > 5 && strcmp(key + size - 5, "_PATH") == 0)
            declare_sqlite(app, key, value);
    }
    if (!sl_config(app, "PG_DBNAME"))
        return;
    SL_CLEANUP(sl_buffer_done) sl_buffer url = {0};
    put_conninfo(&url, "dbname", sl_config(app, "PG_DBNAME"));
    put_conninfo(&url, "user", sl_config(app, "PG_USER"));
    put_conninfo(&url, "password", sl_config(app, "PG_PASSWORD"));
    put_conninfo(&url, "host", sl_config(app, "PG_HOST"));
    put_conninfo(&url, "port", sl_config(app, "PG_PORT"));
    declare_store(app, "postgres", url.data);
}

sl_app *sl__app_new(sl_root *root, const char *directory, bool development)
{
    sl_app *app = sl_calloc(1, sizeof(*app));
    app->root = sl_root_ref(root);
    app->directory = sl_strdup_heap(directory);
    app->development = development;
    app->config = read_config();
    declare_stores(app);
    if (development)
        sl__timelines_keep(root);
    app->router = sl__router_new();
    app->templates = sl__templates_new(directory, development, app->router);
    sl_root_set(root, &application, app);
    return app;
}

sl_app *sl__app_free(sl_app *app)
{
    if (!app)
        return NULL;
    sl_app_set(app, NULL, NULL);
    sl_root_set(app->root, &application, NULL);
    sl__app_commands_free(app);
    sl__tees_free(app);
    sl__templates_free(app->templates);
    sl__router_free(app->router);
    sl_table_free(app->config);
    sl_error_unref(app->broken);
    sl_error_unref(app->no_stores);
    free(app->directory);
    sl_root_unref(app->root);
    free(app);
    return NULL;
}

void sl__app_need_stores(const sl_app *app)
{
    if (app->no_stores)
        sl_fail_error(sl_error_ref(app->no_stores));
}

void sl__app_broken(sl_app *app, sl_error *error)
{
    sl_error_unref(app->broken);
    app->broken = error;
}

sl_app *sl__app_current(void)
{
    return sl_get(&application);
}

sl_app *sl__app_of(sl_root *root)
{
    return sl_root_get(root, &application);
}

sl_app *sl_request_app(sl_request *req)
{
    (void)req; /* its task works for the application's root */
    sl_app *app = sl__app_current();
    if (!app)
        sl_fail(SL_EINVAL, "this request belongs to no application");
    return app;
}

void sl_app_set(sl_app *app, void *value, sl_free_fn *free_value)
{
    if (app->value && app->free_value && app->value != value)
        app->free_value(app->value);
    app->value = value;
    app->free_value = free_value;
}

void *sl_app_get(sl_app *app)
{
    return app->value;
}

const char *sl_app_directory(sl_app *app)
{
    return app->directory;
}

bool sl_app_development(sl_app *app)
{
    return app->development;
}

const char *sl_config(sl_app *app, const char *name)
{
    return sl_table_get(app->config, name);
}

/* ---- Routes ------------------------------------------------------------------------------------------ */

static void add_route(const sl_site *site, sl_app *app, const char *name, const char *pattern,
                      sl_handler *handler, sl_websocket_fn *websocket, const sl_route_options *options)
{
    sl_error *error;
    if (sl__router_add(app->router, site, name, pattern, handler, websocket, options, &error) < 0)
        sl__fail_error(site, error);
}

void sl__route_handler(const sl_site *site, sl_app *app, const char *name, const char *pattern,
                       sl_handler *handler, const sl_route_options *options)
{
    add_route(site, app, name, pattern, handler, NULL, options);
}

void sl__route_websocket(const sl_site *site, sl_app *app, const char *name, const char *pattern,
                         sl_websocket_fn *handler, const sl_route_options *options)
{
    add_route(site, app, name, pattern, NULL, handler, options);
}
