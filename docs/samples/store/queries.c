/* queries.c: what can be asked. */
#include "library.h"

#include <stdio.h>

static void *stock(void *data)
{
    struct author *adams = sl_add(sl_new(author, .name = "Adams")),
                  *lem = sl_add(sl_new(author, .name = "Lem"));
    sl_add(sl_new(author, .name = "Nobody"));
    sl_save(); /* writes what was added, so that the keys are there */
    sl_add(sl_new(book, .title = "Solaris", .author = lem->id, .year = 1961, .price = {899, 2}));
    sl_add(sl_new(book, .title = "Fiasco", .author = lem->id, .year = 1986, .price = {1100, 2}));
    sl_add(sl_new(book, .title = "Watership Down", .author = adams->id, .year = 1972));
    return NULL;
}

/* What a query gives that is no table: its columns, with their types. */
#define SHELF(F) F(name, text) F(books, integer) F(newest, integer)
SL_RESULT(shelf, SHELF);

static void by_author(void)
{
    struct shelf_found *shelves =
        sl_select(shelf, author_,
                  SL_AS(.name = author_.name, .books = sl_count_of(book_.id), .newest = sl_max(book_.year)),
                  sl_left_join(book_, sl_eq(book_.author, author_.id)), sl_group_by(author_.name),
                  sl_ascending(author_.name));
    SL_EACH(s, shelves)
        printf("%s: %lld, the newest of %s\n", s->name, (long long)s->books,
               s->null.newest ? "no year" : sl_printf("%lld", (long long)s->newest));
}

static void *ask(void *data)
{
    struct book_found *old = sl_find(book, sl_lt(book_.year, 1980), sl_newest(book_.year));
    printf("%lld old ones, the first is %s\n", (long long)sl_count(old), sl_first(old)->title);

    struct book_found *cheap =
        sl_find(book, sl_or(sl_lt(book_.price, ((sl_decimal){900, 2})), sl_is_null(book_.price)),
                sl_oldest(book_.title));
    SL_EACH(b, cheap)
        printf("cheap: %s\n", b->title);

    sl_decimal sum = sl_value(sl_find(book), sl_sum(book_.price));
    char text[SL_DECIMAL_SIZE];
    printf("all cost %s\n", sl_decimal_text(sum, text));

    by_author();

    struct book_list all = sl_list(sl_find(book, sl_ascending(book_.id), sl_preload(book, author)));
    for (size_t i = 0; i < all.count; i++) /* sl_preload has read the authors in one query */
        printf("%s by %s\n", all.items[i]->title, sl_follow(book, all.items[i], author)->name);

    int64_t changed = sl_update(sl_find(book, sl_lt(book_.year, 1970)), sl_to(book_.state, USED));
    printf("%lld are used now\n", (long long)changed);

    struct book_list gone = sl_delete_returning(sl_find(book, sl_is_null(book_.price)));
    for (size_t i = 0; i < gone.count; i++)
        printf("%s is gone\n", gone.items[i]->title);
    return NULL;
}

static void *program(void *data)
{
    sl_error *error;
    sl_check(sl_store_declare(sl_root_current(), "main", "sqlite::memory:", &error), "no store");
    sl_models(author_model, book_model);
    sl_migrate(NULL);
    sl_transact(stock, NULL);
    sl_transact(ask, NULL);
    return NULL;
}

int main(void)
{
    return sl_run("queries", program, NULL, NULL) < 0;
}
