/* service.c: the service `search`, as a child process of the chat carries it out: one call at a time, so each
 * may block. */
#include "index.h"

#include <stdlib.h>

/* The child's. It is opened when the child begins, and anew when the file has turned out to be damaged. */
static search_index *opened;

const char *search_history_path(void)
{
    const char *path = getenv("CONFIG_SQLITE_PATH");
    if (!path || !*path)
        sl_fail_error(sl_error_hint(sl_error_new(SL_ECONFIG, "the chat has no database to search"),
                                    "write `service.sqlite =` under [production] in app.ini"));
    return path;
}

const char *search_index_path(void)
{
    const char *history = search_history_path(), *slash = strrchr(history, '/');
    return slash ? sl_printf("%.*s/search.sqlite", (int)(slash - history), history) : "search.sqlite";
}

static search_index *this_index(void)
{
    if (opened && search_index_damaged(opened))
        search_close();
    if (!opened)
        opened = search_index_open(search_index_path(), search_history_path());
    return opened;
}

void search_open(void)
{
    search_index_catch_up(this_index());
}

void search_close(void)
{
    search_index *index = opened;
    opened = NULL;
    search_index_close(index);
}

static void do_query(const struct search_query *asked, struct search_found *found)
{
    int64_t limit = asked->limit ? asked->limit : SEARCH_PAGE;
    if (asked->offset < 0 || limit < 1 || limit > SEARCH_PAGE_MAX)
        sl_fail(SL_EINVAL, "search.query: offset must be at least 0, and limit 1 to %d", SEARCH_PAGE_MAX);
    struct search_wanted wanted;
    search_parse(sl_task_arena(), asked->words, &wanted);
    found->wrong = wanted.wrong;
    if (wanted.wrong)
        return;
    search_index_catch_up(this_index());
    search_index_find(this_index(), &wanted, asked->offset, limit, found);
}

static void do_index(const struct search_documents *documents, struct sl_nothing *nothing)
{
    search_index_add(this_index(), documents->items.items, documents->items.count);
}

static void do_catch_up(const struct sl_nothing *none, struct sl_nothing *nothing)
{
    search_index_catch_up(this_index());
}

static void do_flush(const struct sl_nothing *none, struct sl_nothing *nothing)
{
    search_index_catch_up(this_index());
    search_index_flush(this_index());
}

const struct search_methods search_methods = {
    .query = do_query,
    .index = do_index,
    .catch_up = do_catch_up,
    .flush = do_flush,
};
