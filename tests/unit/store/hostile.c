/* hostile.c: what a careless program, or whoever sends it something, may give the store: it is refused with
 * words, the same in both databases, and nothing is left half done. */
#include "world.h"

#include <jansson.h>
#include <math.h>

static void *transact(void *fn)
{
    return sl_transact((sl_task_fn *)fn, NULL);
}

/* What a function that runs in a transaction fails with. */
static const sl_error *error_in_transaction(sl_task_fn *fn)
{
    return error_of(transact, (void *)fn);
}

/* ---- SQL that ends the transaction --------------------------------------------------------------------- */

static const char *run;

/* sl_execute takes literals only. */
static void *execute(void *data)
{
    (void)data;
    sl__execute(SL_HERE, NULL, run, (const sl_node *const[]){NULL});
    return NULL;
}

static void *add_and_execute(void *data)
{
    (void)data;
    sl_add(sl_new(company, .name = "Works"));
    sl_save();
    const sl_error *error = error_of(execute, NULL);
    assert_non_null(error);
    sl_fail(error->code, "%s", error->message);
}

static void refuses(const char *sql, const char *part)
{
    run = sql;
    assert_error(error_in_transaction(add_and_execute), SL_EINVAL, part);
    assert_int_equal(sl_count(sl_find(company)), 0);
}

TEST(sql_may_not_end_the_transaction)
{
    static const char *const texts[] = {
        "COMMIT",
        "commit",
        " \n; /* a */ COMMIT WORK",
        "-- a\nEND",
        "ROLLBACK",
        "ABORT",
        "BEGIN",
        "START TRANSACTION",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO SAVEPOINT a",
        "PREPARE TRANSACTION 'a'",
        "DELETE FROM company; COMMIT",
    };
    for (size_t i = 0; i < sl_array_size(texts); i++)
        refuses(texts[i], "SQL may not begin or end transactions or savepoints");
    refuses("DELETE FROM company; DELETE FROM person", "more than one statement");
}

static void *execute_in_savepoint(void *data)
{
    sl_add(sl_new(company, .name = "Works"));
    sl_save();
    sl_error *error;
    sl_savepoint(execute, data, &error);
    assert_int_equal(error->code, SL_EINVAL);
    sl_execute(NULL, "DELETE FROM company WHERE name = 'a; COMMIT';");
    sl_execute(NULL, "UPDATE company SET name = '; COMMIT' ; -- all; of them\n");
    return NULL;
}

TEST(what_refused_sql_stood_in_goes_on)
{
    run = "RELEASE SAVEPOINT a";
    assert_null(error_in_transaction(execute_in_savepoint));
    assert_int_equal(sl_count(sl_find(company, sl_eq(company_.name, "; COMMIT"))), 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(sql_may_not_end_the_transaction),
        IN_BOTH(what_refused_sql_stood_in_goes_on),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
