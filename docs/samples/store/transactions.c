/* transactions.c: all or nothing, what may fail alone, and what happens when it is committed. */
#include "library.h"

#include <stdio.h>

static void *add_author(void *name)
{
    sl_add(sl_new(author, .name = name));
    return NULL;
}

static void say(void *text)
{
    printf("%s\n", (const char *)text);
}

static void *fail_after_writing(void *data)
{
    add_author("Nemo");
    sl_after_commit(say, "never said");
    sl_after_abort(say, "rolled back");
    sl_fail(SL_EFAILED, "something went wrong");
}

static void *transact_and_fail(void *data)
{
    return sl_transact(fail_after_writing, NULL);
}

static void *add_those_that_are_new(void *data)
{
    const char *const *names = data;
    for (; *names; names++) {
        sl_error *error;
        sl_savepoint(add_author, (void *)*names, &error); /* a name that is there already fails alone */
        if (error)
            printf("%s is there already\n", *names);
    }
    sl_after_commit(say, "committed");
    return NULL;
}

static void *program(void *data)
{
    sl_error *error;
    sl_check(sl_store_declare(sl_root_current(), "main", "sqlite::memory:", &error), "no store");
    sl_models(author_model, book_model);
    sl_migrate(NULL);

    sl_try(sl_spawn(transact_and_fail, NULL), &error);
    printf("%s: %lld authors\n", error->message, (long long)sl_count(sl_find(author)));

    const char *names[] = {"Lem", "Le Guin", "Lem", NULL};
    sl_transact(add_those_that_are_new, names, .retries = 3);
    printf("%lld authors\n", (long long)sl_count(sl_find(author)));
    return NULL;
}

int main(void)
{
    return sl_run("transactions", program, NULL, NULL) < 0;
}
