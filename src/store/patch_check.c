/* patch_check.c: what is wrong with the files of schema/, found without a database: for `silver check`. */
#include "store/schema.h"
#include "core/task.h"

typedef struct checking {
    const char *directory;
    bool functions;
    sl__patch_wrong_fn *fn;
    void *data;
    sl__patch_files files;
} checking;

static void *read_files(void *data)
{
    checking *c = data;
    c->files = sl__patch_files_read(SL_HERE, c->directory);
    return NULL;
}

static void *make_plan(void *data)
{
    const checking *c = data;
    sl__plan_make_of(SL_HERE, sl__stores_here(false), c->directory, c->functions);
    return NULL;
}

/* A line of an error's detail begins with the file that it is about, mostly. */
static void tell_line(const checking *c, const char *line, size_t size, const char *hint)
{
    static const char folder[] = "schema/";
    size_t name = 0;
    if (size > sizeof(folder) - 1 && memcmp(line, folder, sizeof(folder) - 1) == 0)
        while (name < size && line[name] != ' ')
            name++;
    size_t from = name ? name + (name < size) : 0;
    c->fn(name ? sl_printf("%.*s", (int)name, line) : "schema", 0,
          sl_printf("%.*s", (int)(size - from), line + from), hint, c->data);
}

/* True where it went well. */
static bool look(checking *c, sl_task_fn *fn)
{
    sl_error *error = sl__catch(fn, c, NULL);
    if (!error)
        return true;
    sl__own_error(error);
    if (!error->detail)
        c->fn("schema", 0, error->message, error->hint, c->data);
    for (const char *line = error->detail; line && *line;) {
        size_t size = strcspn(line, "\n");
        bool last = !line[size];
        tell_line(c, line, size, last ? error->hint : NULL);
        line += size + !last;
    }
    return false;
}

/* The databases that a file may be for. */
static bool is_for(const sl__patch_file *file, sl__dialect dialect)
{
    if (!file->any_dialect)
        return file->dialect == dialect;
    for (const sl_store *store = sl__stores_here(false)->first; store; store = store->next)
        if ((!file->store || strcmp(file->store, store->name) == 0) && store->dialect == dialect)
            return true;
    return false;
}

/* Statements that do not end, or would end the transaction; told once where both databases refuse it. */
static void check_statements(const checking *c, const sl__patch_file *file)
{
    static const sl__dialect dialects[] = {SL__SQLITE, SL__POSTGRES};
    for (size_t i = 0; i < sl_array_size(dialects); i++) {
        sl__sql_parts parts;
        unsigned line;
        if (!is_for(file, dialects[i]))
            continue;
        sl_error *error = sl__sql_split(dialects[i], file->text, sl_task_arena(), &parts, &line);
        if (!error && parts.count)
            continue;
        if (!error) {
            error = sl__patch_is_empty(SL_HERE);
            line = 0;
        }
        c->fn(file->path, line, error->message, error->hint, c->data);
        sl_error_unref(error);
        return;
    }
}

void sl__patches_check(const char *directory, bool functions, sl__patch_wrong_fn *fn, void *data)
{
    checking c = {.directory = directory, .functions = functions, .fn = fn, .data = data};
    const sl_stores *stores = sl__stores_here(false);
    if (!look(&c, read_files) || !c.files.count)
        return;
    if (!stores || !stores->first) {
        fn(c.files.items->path, 0, "is a patch, and the application has no database",
           "write `service.sqlite =` or `service.postgres =` under [production] in app.ini", data);
        return;
    }
    look(&c, make_plan);
    for (size_t i = 0; i < c.files.count; i++)
        check_statements(&c, &c.files.items[i]);
}
