/* first.c: a database, a model, and the first objects. */
#include "library.h"

#include <stdio.h>

static void *stock(void *data)
{
    struct author *le_guin = sl_add(sl_new(author, .name = "Ursula K. Le Guin"));
    struct author *lem = sl_add(sl_new(author, .name = "Stanisław Lem"));

    struct book *book = sl_add(sl_new(book, .title = "The Dispossessed", .year = 1974, .price = {1250, 2}));
    sl_link(book, book, author, le_guin);
    book = sl_add(sl_new(book, .title = "Solaris", .state = USED));
    sl_link(book, book, author, lem);
    return NULL;
}

static void show(const struct book *b)
{
    char price[SL_DECIMAL_SIZE];
    printf("%lld: %s", (long long)b->id, b->title);
    if (!b->null.year)
        printf(" (%lld)", (long long)b->year);
    if (!b->null.price)
        printf(", %s", sl_decimal_text(b->price, price));
    printf("\n");
}

static void *reprice(void *data)
{
    const struct book *solaris = sl_one(sl_find(book, sl_eq(book_.title, "Solaris")));
    struct book *b = sl_edit(book, solaris);
    b->price = (sl_decimal){499, 2};
    sl_set(b, year, 1961);
    return NULL;
}

static void *program(void *data)
{
    sl_error *error;
    sl_check(sl_store_declare(sl_root_current(), "main", "sqlite::memory:", &error), "no store");
    sl_models(author_model, book_model);
    sl_migrate(/* directory= */ NULL); /* makes the tables, where there are none */

    sl_transact(stock, NULL);
    sl_transact(reprice, NULL);

    struct book_list all = sl_list(sl_find(book, sl_ascending(book_.year)));
    for (size_t i = 0; i < all.count; i++)
        show(all.items[i]);
    return NULL;
}

int main(void)
{
    return sl_run("first", program, NULL, NULL) < 0;
}
