/* facets.c: an object is what it has facets for. */
#include <silver/silver.h>

#include <stdio.h>
#include <stdlib.h>

/* Interfaces: usually in a header that those who have them and those who ask for them include. */
struct priced {
    int cents;
};
SL_INTERFACE(priced);

struct described {
    const char *text;
};
SL_INTERFACE(described);

struct book { /* a book is described, too: its struct begins with that of the interface it extends */
    struct described base;
    int pages;
};
SL_INTERFACE_EXTENDS(book, described);

static void show(sl_object *ware) /* knows nothing of books or trees */
{
    const struct described *what = sl_facet_needed(ware, described);
    const struct priced *price = sl_facet(ware, priced);
    printf("%s, %d cents\n", what->text, price ? price->cents : 0);
}

/* What a book costs, for those that do not say it themselves. */
static void *price_of_book(void *facet, sl_object *object)
{
    const struct book *book = facet;
    struct priced *made = sl_malloc(sizeof *made);
    made->cents = 100 + 2 * book->pages;
    return made;
}

static void *program(void *unused)
{
    struct book novel = {.base = {"a novel"}, .pages = 300};
    struct described fir = {"a fir"};
    struct priced twenty = {2000};
    sl_object *read = sl_object_new("novel"), *grown = sl_object_new("fir");
    sl_object_add(read, book, &novel, NULL);
    sl_object_add(grown, described, &fir, NULL);
    sl_object_add(grown, priced, &twenty, NULL);
    show(read);
    show(grown);

    sl_adapter_add(sl_root_current(), book, priced, price_of_book, free);
    show(read);

    sl_object_unref(read);
    sl_object_unref(grown);
    return NULL;
}

int main(void)
{
    return sl_run("facets", program, NULL, NULL) < 0;
}
