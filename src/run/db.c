/* db.c: `silver db`: an application's database, looked at: in its own shell, or beside what the models want.
 * And the built-in command `silver run DIR migrate`. */
#include "run/run_command.h"
#include "store/schema.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLED "silver db"

/* ---- Migrating --------------------------------------------------------------------------------------- */

static void print_line(const char *line, void *data)
{
    printf("%s\n", line);
    fflush(stdout);
}

/* `--record NUMBER`: or 0. False where it is something else, which was told. */
static bool read_options(int count, char *const words[], unsigned *ret_record)
{
    uint64_t number = 0;
    *ret_record = 0;
    if (count == 0)
        return true;
    if (count == 2 && strcmp(words[0], "--record") == 0 &&
        sl_view_number(sl_view_of(words[1]), 999999, &number) == 0 && number) {
        *ret_record = (unsigned)number;
        return true;
    }
    fprintf(
        stderr,
        "silver run: migrate takes nothing, or `--record NUMBER`: that patch is written down as applied\n");
    return false;
}

int run_migrate(struct instance *instance, int count, char *const words[])
{
    const char *directory = instance->manifest->directory;
    unsigned record;
    if (!read_options(count, words, &record))
        return 2;
    if (record) {
        sl__record_telling(SL_HERE, directory, record, print_line, NULL);
        return 0;
    }
    size_t done = sl__migrate_telling(SL_HERE, directory, print_line, NULL);
    sl_error *error = sl_schema_check(directory);
    if (error)
        sl_fail_again(error);
    if (!done)
        printf("nothing is missing\n");
    return 0;
}

/* ---- The schema -------------------------------------------------------------------------------------- */

struct schema {
    const char *store;
    bool json, difference;
};

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void print_missing(FILE *out, const json_t *store, const char *directory)
{
    size_t i;
    json_t *patch;
    const json_t *missing = json_object_get(json_object_get(store, "patches"), "missing");
    if (!json_array_size(missing))
        return;
    fprintf(out, "\n-- These patches are missing; `silver run %s migrate` applies them:\n", directory);
    json_array_foreach(missing, i, patch)
    {
        fprintf(out, "--   %s\n", text_of(patch, "name"));
    }
}

/* All of it is SQL, or a comment: it may be kept as a file. */
static void print_store(const json_t *store, const char *directory)
{
    const char *wanted = text_of(store, "wanted"), *difference = text_of(store, "difference");
    const char *path = text_of(store, "path");
    printf("-- The store %s%s%s: what the models want\n\n%s", text_of(store, "name"), path ? ", " : "",
           path ? path : "", *wanted ? wanted : "-- nothing: there are no models\n");
    print_missing(stdout, store, directory);
    if (*difference)
        printf("\n-- It is different. This makes it so:\n\n%s", difference);
    else if (json_is_true(json_object_get(store, "same")))
        printf("\n-- It is so.\n");
}

/* Only what a patch consists of; its first line says for which store it is where there are several. */
static void print_difference(const json_t *store, const char *directory, bool named)
{
    const char *difference = text_of(store, "difference");
    print_missing(stderr, store, directory);
    if (*difference)
        printf("%s%s%s%s", named ? "-- store: " : "", named ? text_of(store, "name") : "", named ? "\n" : "",
               difference);
}

static int tell_schema(struct instance *instance, void *data)
{
    const struct schema *schema = data;
    const char *directory = instance->manifest->directory;
    json_t *told = sl__schema_tell(SL_HERE, directory, schema->store), *store;
    const json_t *stores = json_object_get(told, "stores");
    size_t i;
    int status = 0;
    json_array_foreach(stores, i, store)
    {
        status |= !json_is_true(json_object_get(store, "same"));
        if (schema->difference)
            print_difference(store, directory, schema->store || json_array_size(stores) > 1);
        else if (!schema->json)
            printf("%s", i ? "\n" : ""), print_store(store, directory);
    }
    if (schema->json) {
        json_dumpf(told, stdout, JSON_COMPACT);
        printf("\n");
    } else if (!json_array_size(stores)) {
        printf("-- %s has neither models nor patches\n", instance->manifest->app_name);
    }
    json_decref(told);
    return status;
}

int run_db_schema(const char *directory, const char *store, bool json, bool difference)
{
    struct schema schema = {store, json, difference};
    return run_inside(CALLED, directory, tell_schema, &schema);
}

/* ---- The shell --------------------------------------------------------------------------------------- */

/* The databases that the application is given. */
struct databases {
    struct database {
        char *name;
        char *path; /* of SQLite; NULL: PostgreSQL */
    } items[MANIFEST_LIST_MAX + 2];
    size_t count;
};

static void add_database(struct databases *list, const char *name, const char *path)
{
    list->items[list->count++] =
        (struct database){.name = sl_strdup_heap(name), .path = path ? sl_strdup_heap(path) : NULL};
}

static void find_databases(const struct manifest *manifest, struct databases *list)
{
    if (getenv("CONFIG_SQLITE_PATH"))
        add_database(list, "sqlite", getenv("CONFIG_SQLITE_PATH"));
    for (size_t i = 0; i < manifest->sqlites.count; i++) {
        char *variable = services_sqlite_variable(manifest->sqlites.items[i]);
        add_database(list, manifest->sqlites.items[i], getenv(variable));
        free(variable);
    }
    if (getenv("CONFIG_PG_DBNAME"))
        add_database(list, "postgres", NULL);
}

static void databases_done(struct databases *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].path);
    }
}

static void put_names(sl_buffer *out, const struct databases *list)
{
    for (size_t i = 0; i < list->count; i++)
        sl_buffer_printf(out, "%s%s",
                         i == 0                ? ""
                         : i + 1 < list->count ? ", "
                                               : " and ",
                         list->items[i].name);
}

/* The one that is meant; or NULL, which was told. */
static const struct database *choose(const struct manifest *manifest, const struct databases *list,
                                     const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (name ? strcmp(list->items[i].name, name) == 0 : list->count == 1)
            return &list->items[i];
    sl_buffer names = {0};
    put_names(&names, list);
    if (!list->count)
        fprintf(stderr,
                CALLED ": %s has no database\nwrite `service.sqlite =` or `service.postgres =` under "
                       "[production] in app.ini\n",
                manifest->app_name);
    else if (name)
        fprintf(stderr, CALLED ": %s has no store %s\nit has %s\n", manifest->app_name, name, names.data);
    else
        fprintf(stderr, CALLED ": %s has several stores: %s\nsay which: --store %s\n", manifest->app_name,
                names.data, list->items[0].name);
    sl_buffer_done(&names);
    return NULL;
}

static bool is_installed(const char *program)
{
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
        size_t size = strcspn(at, ":");
        char *file = sl_printf_heap("%.*s/%s", (int)size, at, program);
        bool found = size && access(file, X_OK) == 0;
        free(file);
        if (found)
            return true;
        at += size + (at[size] == ':');
    }
    return false;
}

/* psql takes what libpq takes: from the environment, where nobody reads a password. */
static void set_connection(void)
{
    static const char *const pairs[][2] = {{"CONFIG_PG_DBNAME", "PGDATABASE"},
                                           {"CONFIG_PG_USER", "PGUSER"},
                                           {"CONFIG_PG_PASSWORD", "PGPASSWORD"},
                                           {"CONFIG_PG_HOST", "PGHOST"},
                                           {"CONFIG_PG_PORT", "PGPORT"}};
    for (size_t i = 0; i < sl_array_size(pairs); i++) {
        const char *value = getenv(pairs[i][0]);
        if (value && *value)
            setenv(pairs[i][1], value, 1);
    }
}

/* The application's own PostgreSQL runs as long as somebody uses it: for that this process stays. */
static int open_shell(const struct database *database, struct services *services)
{
    const char *program = database->path ? "sqlite3" : "psql";
    char *arguments[] = {(char *)program, database->path, NULL};
    if (!is_installed(program)) {
        fprintf(stderr, CALLED ": %s is not installed\ninstall it: `apt install %s`\n", program,
                database->path ? "sqlite3" : "postgresql-client");
        return 1;
    }
    if (!database->path)
        set_connection();
    if (services->postgres.application)
        return program_run(CALLED, services, arguments);
    execvp(program, arguments);
    fprintf(stderr, CALLED ": %s cannot be run: %s\n", program, strerror(errno));
    return 1;
}

/* With its services; PostgreSQL's server only where it is wanted. */
static int shell_of(struct manifest *manifest, const char *store)
{
    struct services services = {.postgres = {.users = -1}};
    struct databases list = {0};
    SL_AUTO_ERROR sl_error *error = NULL;
    int status = 1;
    if (store && strcmp(store, "postgres") != 0)
        manifest->postgres = false;
    if (services_start(manifest, &services, &error) < 0 || services_offer(manifest, &error) < 0) {
        say_failure(CALLED, error);
    } else {
        find_databases(manifest, &list);
        const struct database *database = choose(manifest, &list, store);
        if (database)
            status = open_shell(database, &services);
        databases_done(&list);
    }
    services_stop(&services);
    return status;
}

int run_db(const char *directory, const char *store)
{
    struct complaints complaints = {0};
    struct manifest *manifest = NULL;
    int status = 1;
    if (manifest_load(directory ? directory : ".", &complaints, &manifest) < 0)
        complaints_print(&complaints, stderr);
    else
        status = shell_of(manifest, store);
    complaints_done(&complaints);
    manifest_free(manifest);
    return status;
}
