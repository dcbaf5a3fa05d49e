/* transactions.c: commit, doom, savepoints, hooks, resources, budgets, and events that go out on commit. */
#include "world.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

static void *add_named(void *name)
{
    struct company *c = sl_add(sl_new(company, .name = name));
    sl_save();
    return c;
}

static void *add_and_fail(void *name)
{
    add_named(name);
    sl_fail(SL_EFAILED, "%s failed", (const char *)name);
}

static void *transact_failing(void *name)
{
    return sl_transact(add_and_fail, name);
}

static int64_t companies(void)
{
    return sl_count(sl_find(company));
}

TEST(success_commits_and_failure_rolls_back)
{
    sl_transact(add_named, "one");
    assert_int_equal(companies(), 1);
    assert_error(error_of(transact_failing, "two"), SL_EFAILED, "two failed");
    assert_int_equal(companies(), 1);
    assert_null(sl_transaction_current());
}

static void *forget_all(void *data)
{
    (void)data;
    sl_delete(sl_find(company));
    return NULL;
}

/* ---- Nesting and doom ---------------------------------------------------------------------------------- */

static void *nested_success(void *data)
{
    (void)data;
    sl_transact(add_named, "inner");
    assert_int_equal(sl_transact(add_named, "other") != NULL, 1);
    return NULL;
}

static void *nest_and_fail(void *data)
{
    nested_success(data);
    sl_fail(SL_EFAILED, "outer failed");
}

static void *transact_nested_failure(void *data)
{
    return sl_transact(nest_and_fail, data);
}

/* Swallows the inner failure. */
static void *swallow(void *data)
{
    (void)data;
    add_named("outer");
    sl_error *error = NULL;
    sl_try(sl_spawn(transact_failing, "inner"), &error);
    assert_non_null(error);
    assert_true(sl_doomed());
    return NULL;
}

static void *transact_swallow(void *data)
{
    return sl_transact(swallow, data);
}

static void *swallow_and_go_on(void *data)
{
    swallow(data);
    add_named("further");
    return NULL;
}

static void *transact_go_on(void *data)
{
    return sl_transact(swallow_and_go_on, data);
}

static void *doom(void *data)
{
    (void)data;
    add_named("x");
    sl_doom("the moon is %s", "full");
    sl_doom("a second reason");
    return NULL;
}

static void *transact_doom(void *data)
{
    return sl_transact(doom, data);
}

static void *durable_inside(void *data)
{
    (void)data;
    sl_transact(add_named, "x", .durable = true);
    return NULL;
}

static void *transact_durable(void *data)
{
    return sl_transact(durable_inside, data);
}

TEST(an_inner_failure_dooms_the_whole)
{
    sl_transact(nested_success, NULL);
    assert_int_equal(companies(), 2);
    sl_transact(forget_all, NULL);
    assert_error(error_of(transact_nested_failure, NULL), SL_EFAILED, "outer failed");
    assert_error(error_of(transact_swallow, NULL), SL_EFAILED, "inner failed");
    assert_error(error_of(transact_go_on, NULL), SL_EFAILED, "inner failed");
    assert_error(error_of(transact_doom, NULL), SL_EDOOMED, "the moon is full");
    assert_error(error_of(transact_durable, NULL), SL_EINVAL, "durable");
    assert_int_equal(companies(), 0);
}

static void *statement_fails(void *data)
{
    (void)data;
    sl_error *error = NULL;
    add_named("first");
    sl_try(sl_spawn(add_named, "first"), &error); /* unique: the statement fails, and that is swallowed */
    assert_int_equal(error->code, SL_EEXIST);
    return NULL;
}

static void *transact_statement_fails(void *data)
{
    return sl_transact(statement_fails, data);
}

TEST(a_failed_statement_cannot_be_committed_by_forgetting_it)
{
    assert_error(error_of(transact_statement_fails, NULL), SL_EEXIST, "a new company");
    assert_int_equal(companies(), 0);
}

static void *read_only_writes(void *data)
{
    return sl_transact(add_named, data, .read_only = true);
}

TEST(read_only_transactions_do_not_write)
{
    assert_error(error_of(read_only_writes, "x"), SL_EINVAL, "may not write");
}

/* ---- Savepoints ---------------------------------------------------------------------------------------- */

static void *edit_and_fail(void *data)
{
    struct company *c = data;
    sl_edit(company, c)->name = "edited";
    sl_save();
    sl_remove(sl_one(sl_find(company, sl_eq(company_.name, "gone"))));
    add_named("added");
    sl_fail(SL_EFAILED, "inside");
}

static void *inner_ok(void *data)
{
    (void)data;
    add_named("kept");
    return NULL;
}

static void *with_savepoints(void *data)
{
    (void)data;
    struct company *c = add_named("outer");
    const struct company *gone = add_named("gone");
    sl_error *error;
    sl_savepoint(edit_and_fail, c, &error);
    assert_error(error, SL_EFAILED, "inside");
    assert_string_equal(c->name, "outer"); /* read anew */
    assert_ptr_equal(sl_load(company, gone->id), gone);
    sl_savepoint(add_named, "outer", &error); /* unique: a statement's failure is undone, too */
    assert_int_equal(error->code, SL_EEXIST);
    sl_savepoint(transact_failing, "nested", &error); /* and so is a transaction that joined this one */
    assert_error(error, SL_EFAILED, "nested failed");
    sl_savepoint(inner_ok, NULL, &error);
    assert_null(error);
    assert_false(sl_doomed());
    return NULL;
}

TEST(savepoints_fail_alone)
{
    sl_transact(with_savepoints, NULL);
    struct company_list all = sl_list(sl_find(company, sl_ascending(company_.name)));
    assert_int_equal(all.count, 3);
    assert_string_equal(all.items[0]->name, "gone");
    assert_string_equal(all.items[1]->name, "kept");
    assert_string_equal(all.items[2]->name, "outer");
}

static void *fail_within(void *data)
{
    add_named("undone");
    sl_fail(SL_EFAILED, "within");
}

static void *add_around(void *data)
{
    struct company *c = add_named("around");
    sl_error *error;
    sl_savepoint(fail_within, data, &error);
    assert_error(error, SL_EFAILED, "within");
    assert_ptr_equal(sl_load(company, c->id), c);
    assert_string_equal(c->name, "around");
    return NULL;
}

/* The store that is written to is the last of many. */
static void *with_many_stores(void *data)
{
    (void)data;
    enum { MANY = 20 };
    for (int i = 0; i < MANY; i++) {
        sl_error *error = NULL;
        const char *name = sl_printf("store-%d", i);
        assert_int_equal(sl_store_declare(sl_root_current(), name, "sqlite::memory:", &error), 0);
        sl__session_of(SL_HERE, sl_store_open(name), /* writes= */ false);
    }
    sl_error *error;
    sl_savepoint(add_around, NULL, &error);
    if (error)
        fail_msg("%s", error->message);
    return NULL;
}

TEST(savepoints_hold_in_any_number_of_stores)
{
    assert_int_equal(companies(), 0); /* it is known in which store they are */
    sl_transact(with_many_stores, NULL);
    assert_int_equal(companies(), 1);
}

/* ---- Hooks, resources, events -------------------------------------------------------------------------- */

static char calls[512];

static void note(void *data)
{
    strcat(calls, data);
    strcat(calls, " ");
}

static void add_in_hook(void *data)
{
    note("before-commit");
    add_named(data);
}

static void fail_in_hook(void *data)
{
    note(data);
    sl_fail(SL_EFAILED, "hook");
}

static void *hooks_in_savepoint(void *data)
{
    (void)data;
    sl_after_commit(note, "never");
    sl_after_abort(note, "savepoint-abort");
    sl_fail(SL_EFAILED, "inside");
}

static void *hook_everything(void *data)
{
    (void)data;
    sl_before_commit(add_in_hook, "by-hook");
    sl_after_commit(note, "after-commit");
    sl_before_abort(note, "before-abort");
    sl_after_abort(note, "after-abort");
    sl_error *error;
    sl_savepoint(hooks_in_savepoint, NULL, &error);
    return NULL;
}

static void *hook_and_fail(void *data)
{
    hook_everything(data);
    sl_fail(SL_EFAILED, "after all");
}

static void *transact_hook_and_fail(void *data)
{
    return sl_transact(hook_and_fail, data);
}

static void *failing_hook(void *data)
{
    (void)data;
    add_named("x");
    sl_before_commit(fail_in_hook, "failing");
    return NULL;
}

static void *transact_failing_hook(void *data)
{
    return sl_transact(failing_hook, data);
}

TEST(hooks_are_called_once_and_belong_to_their_savepoint)
{
    calls[0] = '\0';
    sl_transact(hook_everything, NULL);
    assert_string_equal(calls, "savepoint-abort before-commit after-commit ");
    assert_int_equal(companies(), 1);
    calls[0] = '\0';
    assert_non_null(error_of(transact_hook_and_fail, NULL));
    assert_string_equal(calls, "savepoint-abort before-abort after-abort ");
    calls[0] = '\0';
    assert_error(error_of(transact_failing_hook, NULL), SL_EFAILED, "hook");
    assert_int_equal(companies(), 1);
}

static void *remember(void *data)
{
    note("savepoint");
    return data;
}

static void roll_back_to(void *data, void *saved)
{
    assert_ptr_equal(data, saved);
    note("back");
}

static void refuse_vote(void *data)
{
    (void)data;
    note("vote");
    sl_fail(SL_EFAILED, "voted no");
}

#define NOTE(what)                                                                                           \
    static void note_##what(void *data)                                                                      \
    {                                                                                                        \
        (void)data;                                                                                          \
        note(#what);                                                                                         \
    }
NOTE(begin)
NOTE(flush)
NOTE(prepare)
NOTE(vote)
NOTE(finish)
NOTE(abort)
static const sl_resource willing = {"willing", 0,           note_begin, note_flush, note_prepare,
                                    note_vote, note_finish, note_abort, remember,   roll_back_to};
static const sl_resource unwilling = {.name = "unwilling", .order = 1, .vote = refuse_vote};

static void *fail_now(void *data)
{
    (void)data;
    sl_fail(SL_EFAILED, "now");
}

static void *join(void *data)
{
    add_named("x");
    sl_join_transaction(&willing, &calls);
    sl_join_transaction(&willing, &calls);
    sl_error *error;
    sl_savepoint(fail_now, NULL, &error);
    if (data)
        sl_join_transaction(data, &calls);
    return NULL;
}

static void *transact_join(void *data)
{
    return sl_transact(join, data);
}

TEST(resources_take_part)
{
    calls[0] = '\0';
    sl_transact(join, NULL);
    assert_string_equal(calls, "begin savepoint back flush prepare vote finish ");
    assert_int_equal(companies(), 1);
    sl_transact(forget_all, NULL);
    calls[0] = '\0';
    assert_error(error_of(transact_join, (void *)&unwilling), SL_EFAILED, "voted no");
    assert_string_equal(calls, "begin savepoint back flush prepare vote vote abort ");
    assert_int_equal(companies(), 0);
}

static void *write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return NULL;
}

static void *move_file(void *data)
{
    char *const *paths = data;
    write_file(paths[0], "new");
    sl_move_on_commit(paths[0], paths[1]);
    assert_int_equal(access(paths[1], F_OK), -1);
    return NULL;
}

static void *move_and_fail(void *data)
{
    move_file(data);
    sl_fail(SL_EFAILED, "no");
}

static void *transact_move_and_fail(void *data)
{
    return sl_transact(move_and_fail, data);
}

TEST(a_file_is_moved_with_the_commit)
{
    char directory[] = "/tmp/silver-move-XXXXXX";
    assert_non_null(mkdtemp(directory));
    char *paths[] = {sl_printf("%s/new", directory), sl_printf("%s/place", directory)};
    assert_error(error_of(transact_move_and_fail, paths), SL_EFAILED, "no");
    assert_int_equal(access(paths[0], F_OK), -1);
    assert_int_equal(access(paths[1], F_OK), -1);
    sl_transact(move_file, paths);
    assert_int_equal(access(paths[0], F_OK), -1);
    assert_int_equal(access(paths[1], F_OK), 0);
    unlink(paths[1]);
    rmdir(directory);
}

SL_EVENT(said);

static void *say_and_look(void *data)
{
    sl_inbox *inbox = data;
    sl_emit_on_commit(sl_channel("room"), said, json_string("hello"));
    bool silent;
    sl_next_within(inbox, 1, &silent);
    assert_true(silent);
    return NULL;
}

static void *say_and_fail(void *data)
{
    say_and_look(data);
    sl_fail(SL_EFAILED, "no");
}

static void *transact_say_and_fail(void *data)
{
    return sl_transact(say_and_fail, data);
}

TEST(events_go_out_on_commit)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("room"), said);
    bool silent;
    assert_non_null(error_of(transact_say_and_fail, inbox));
    sl_next_within(inbox, 1, &silent);
    assert_true(silent);
    sl_transact(say_and_look, inbox);
    assert_string_equal(json_string_value(sl_next_within(inbox, 1000, &silent)), "hello");
}

static void *say(void *data)
{
    sl_emit_on_commit(sl_channel("room"), said, json_pack("{s:s}", "says", "hello"));
    return data;
}

static void *say_and_end(void *data)
{
    sl_await(sl_spawn(say, NULL));
    SL_SCRATCH()
    {
        say(NULL);
    }
    return data;
}

static void *say_and_undo(void *data)
{
    sl_error *error;
    say(data);
    sl_savepoint(say_and_fail, data, &error);
    return data;
}

TEST(events_outlive_the_task_that_made_them)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("room"), said);
    bool silent;
    sl_transact(say_and_end, inbox);
    for (int i = 0; i < 2; i++) {
        const json_t *heard = sl_next_within(inbox, 1000, &silent);
        assert_string_equal(json_string_value(json_object_get(heard, "says")), "hello");
    }
    sl_transact(say_and_undo, inbox);
    assert_non_null(sl_next_within(inbox, 1000, &silent));
    sl_next_within(inbox, 1, &silent);
    assert_true(silent);
}

static void hook_again(void *data)
{
    if (++*(int *)data < 1000000)
        sl_before_commit(hook_again, data);
}

static void *hook_for_ever(void *data)
{
    sl_before_commit(hook_again, data);
    return NULL;
}

static void *transact_for_ever(void *data)
{
    return sl_transact(hook_for_ever, data);
}

TEST(hooks_that_never_end_are_told)
{
    int count = 0;
    assert_error(error_of(transact_for_ever, &count), SL_ELOOP, "go on making work");
}

static void count_call(void *data)
{
    ++*(int *)data;
}

static void hook_once(void *data)
{
    if (!*(int *)data)
        sl_before_commit(count_call, data);
}

static void *hook_in_flush(void *data)
{
    static const sl_resource late = {.name = "late", .flush = hook_once};
    sl_join_transaction(&late, data);
    return NULL;
}

TEST(hooks_of_a_flush_are_called)
{
    int count = 0;
    sl_transact(hook_in_flush, &count);
    assert_int_equal(count, 1);
}

/* ---- Retries ----------------------------------------------------------------------------------------- */

static void *conflict_twice(void *data)
{
    int *tries = data;
    add_named(sl_printf("try %d", *tries));
    if (++*tries < 3)
        sl_fail(SL_ECONFLICT, "met another");
    return NULL;
}

static void *retry_once(void *data)
{
    return sl_transact(conflict_twice, data, .retries = 1);
}

TEST(conflicts_are_tried_again_as_often_as_asked)
{
    int tries = 0;
    sl_transact(conflict_twice, &tries, .retries = 5);
    assert_int_equal(tries, 3);
    assert_int_equal(companies(), 1);
    assert_string_equal(sl_one(sl_find(company))->name, "try 2");
    tries = 0;
    assert_error(error_of(retry_once, &tries), SL_ECONFLICT, "met another");
    assert_int_equal(tries, 2);
}

static void *sleep_long(void *data)
{
    (void)data;
    add_named("slow");
    sl_await(sl_sleep(60000));
    return NULL;
}

static void *transact_slow(void *data)
{
    return sl_transact(sleep_long, data, .deadline_ms = 20);
}

TEST(a_deadline_rolls_back)
{
    assert_error(error_of(transact_slow, NULL), SL_ETIMEDOUT, "");
    assert_int_equal(companies(), 0);
}

static void sleep_before_commit(void *data)
{
    (void)data;
    sl_await(sl_sleep(60000));
}

static void *write_slowly(void *data)
{
    add_named("slow");
    sl_before_commit(sleep_before_commit, data);
    return NULL;
}

static void *transact_write_slowly(void *data)
{
    return sl_transact(write_slowly, data, .deadline_ms = 20);
}

TEST(a_deadline_holds_while_it_is_written)
{
    assert_error(error_of(transact_write_slowly, NULL), SL_ETIMEDOUT, "");
    assert_int_equal(companies(), 0);
}

/* ---- Budgets and tracers ------------------------------------------------------------------------------- */

static void *one_by_one(void *data)
{
    (void)data;
    sl_budget(.statements = 10);
    for (int64_t i = 0; i < 20; i++)
        sl_load(company, i + 1000);
    return NULL;
}

static void *transact_one_by_one(void *data)
{
    return sl_transact(one_by_one, data);
}

TEST(a_budget_catches_one_query_for_each)
{
    assert_error(error_of(transact_one_by_one, NULL), SL_EBUDGET, "more than 10 statements");
}

static void *add_many(void *data)
{
    (void)data;
    for (int i = 0; i < 400; i++)
        sl_add(sl_new(company, .name = sl_printf("%d", i)));
    return NULL;
}

/* Gives how long the reader took. */
static void *read_slowly(void *data)
{
    uint64_t *away_ns = data;
    int count = 0;
    sl_budget(.ms = 500);
    SL_EACH(c, sl_find(company))
    {
        uint64_t left = sl_monotonic_ns();
        if (count++ < 3)
            sl_await(sl_sleep(250));
        *away_ns += sl_monotonic_ns() - left;
    }
    assert_int_equal(count, 400);
    assert_int_equal(companies(), 400); /* there is some left */
    return NULL;
}

TEST(only_time_in_the_database_counts)
{
    sl_transact(add_many, NULL);
    const sl_captured *captured = sl_capture();
    uint64_t away_ns = 0, began = sl_monotonic_ns();
    sl_transact(read_slowly, &away_ns);
    uint64_t took_ns = sl_monotonic_ns() - began;
    /* The coarse clock ticks every ten milliseconds at the most. */
    assert_true(captured->items[0].duration_us * 1000 <= took_ns - away_ns + 3 * UINT64_C(20000000));
}

TEST(what_was_run_can_be_captured)
{
    const sl_captured *captured = sl_capture();
    assert_int_equal(sl_list(sl_find(company, sl_eq(company_.name, "it's"))).count, 0);
    assert_int_equal(captured->count, 1);
    assert_string_equal(captured->items[0].parameters, "('it''s')");
    assert_non_null(strstr(captured->items[0].site->file, "transactions.c"));
    assert_int_equal(captured->items[0].rows, 0);
}

/* ---- Others on the same connection, and tasks that share a transaction --------------------------------- */

static void *raw(void *data)
{
    (void)data;
    struct company *c = add_named("before");
    assert_int_equal(sl_execute(NULL, "UPDATE company SET name = ? WHERE id = ?", sl_p("after"), sl_p(c->id)),
                     1);
    assert_string_equal(((const struct company *)sl_load(company, c->id))->name, "after");
    return NULL;
}

TEST(raw_sql_runs_in_the_transaction)
{
    sl_transact(raw, NULL);
    assert_string_equal(sl_one(sl_find(company))->name, "after");
}

/* As another library would: with the database's own functions. */
static void insert_by_hand(void *connection, void *data)
{
    const sl_store *store = data;
    static const char sql[] = "INSERT INTO company (name) VALUES ('lent')";
    if (store->dialect == SL__SQLITE) {
        assert_int_equal(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
        return;
    }
    void *pq = dlopen("libpq.so.5", RTLD_NOW);
    void *(*exec)(void *, const char *) = (void *(*)(void *, const char *))dlsym(pq, "PQexec");
    int (*status)(const void *) = (int (*)(const void *))dlsym(pq, "PQresultStatus");
    void (*clear)(void *) = (void (*)(void *))dlsym(pq, "PQclear");
    void *result = exec(connection, sql);
    assert_int_equal(status(result), 1 /* PGRES_COMMAND_OK */);
    clear(result);
    dlclose(pq);
}

static void commit_by_hand(void *connection, void *data)
{
    const sl_store *store = data;
    if (store->dialect == SL__SQLITE) {
        sqlite3_exec(connection, "COMMIT", NULL, NULL, NULL);
        return;
    }
    void *pq = dlopen("libpq.so.5", RTLD_NOW);
    void *(*exec)(void *, const char *) = (void *(*)(void *, const char *))dlsym(pq, "PQexec");
    void (*clear)(void *) = (void (*)(void *))dlsym(pq, "PQclear");
    clear(exec(connection, "COMMIT"));
    dlclose(pq);
}

static void *lend(void *data)
{
    sl_store *store = sl_store_open(NULL);
    add_named("own");
    sl_add(sl_new(company, .name = "not yet written"));
    sl_lend(NULL, insert_by_hand, store);
    assert_int_equal(companies(), 3);
    if (data)
        sl_fail(SL_EFAILED, "no");
    return NULL;
}

static void *transact_lend(void *data)
{
    return sl_transact(lend, data);
}

static void *lend_to_a_thief(void *data)
{
    (void)data;
    add_named("stolen");
    sl_lend(NULL, commit_by_hand, sl_store_open(NULL));
    return NULL;
}

static void *transact_thief(void *data)
{
    return sl_transact(lend_to_a_thief, data);
}

TEST(another_library_works_on_the_same_connection)
{
    assert_error(error_of(transact_lend, "fail"), SL_EFAILED, "no");
    assert_int_equal(companies(), 0);
    transact_lend(NULL);
    assert_int_equal(companies(), 3);
    assert_non_null(error_of(transact_thief, NULL));
    sl_transact(add_named, "and on");
}

/* ---- Hooks of models ----------------------------------------------------------------------------------- */

static unsigned loaded, before, flushed, invalidated;

static void count_loaded(void *object)
{
    (void)object;
    loaded++;
}

static void shout(void *object);
static void count_flushed(void *object)
{
    (void)object;
    flushed++;
}

static void count_invalidated(void *object)
{
    (void)object;
    invalidated++;
}

#define SHOUT(F) F(id, integer, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED) F(parent, refers(company))
SL_MODEL(shout_, SHOUT, .table = "company", .loaded = count_loaded, .before_flush = shout,
         .flushed = count_flushed, .invalidated = count_invalidated);

static void shout(void *object)
{
    struct shout_ *s = object;
    before++;
    s->name = sl_printf("%s!", s->name);
}

static void *shout_once(void *data)
{
    struct shout_ *s = sl_add(sl_new(shout_, .name = "hey"));
    sl_save();
    assert_string_equal(s->name, "hey!");
    if (data)
        sl_fail(SL_EFAILED, "no");
    return NULL;
}

static void *transact_shout(void *data)
{
    return sl_transact(shout_once, data);
}

static void *read_shouts(void *data)
{
    (void)data;
    assert_int_equal(sl_list(sl_find(shout_)).count, 1);
    return NULL;
}

TEST(models_have_hooks)
{
    loaded = before = flushed = invalidated = 0;
    sl_transact(shout_once, NULL);
    assert_int_equal(before, 1);
    assert_int_equal(flushed, 1);
    assert_int_equal(loaded, 0);
    sl_transact(read_shouts, NULL);
    assert_int_equal(loaded, 1);
    assert_int_equal(invalidated, 0);
    sl_transact(forget_all, NULL);
    assert_non_null(error_of(transact_shout, "fail"));
    assert_int_equal(invalidated, 1);
}

static void *add_many_in_scope(void *data)
{
    (void)data;
    SL_SCOPE(scope)
    {
        for (int i = 0; i < 20; i++)
            sl_go(add_named, sl_printf("task %d", i));
    }
    assert_int_equal(companies(), 20);
    return NULL;
}

TEST(tasks_of_a_transaction_share_it)
{
    sl_transact(add_many_in_scope, NULL);
    assert_int_equal(companies(), 20);
}

static void *many_transactions(void *data)
{
    return sl_transact(add_named, data, .retries = 3);
}

TEST(many_transactions_at_once)
{
    SL_SCOPE(scope)
    {
        for (int i = 0; i < 100; i++)
            sl_go(many_transactions, sl_printf("task %d", i));
    }
    assert_int_equal(companies(), 100);
}

/* ---- Retries within a deadline --------------------------------------------------------------------------
 */

struct dawdling {
    uint64_t began_ns;
    bool dawdled;
};

static void *conflict_and_dawdle(void *data)
{
    struct dawdling *d = data;
    if (sl_monotonic_ns() - d->began_ns > 30000000) {
        sl_await(sl_sleep(3000)); /* the deadline has passed in a pause: it holds all the same */
        d->dawdled = true;
    }
    sl_fail(SL_ECONFLICT, "again");
}

static void *transact_conflicts(void *data)
{
    struct dawdling *d = data;
    d->began_ns = sl_monotonic_ns();
    return sl_transact(conflict_and_dawdle, d, .retries = 50, .deadline_ms = 30);
}

TEST(a_deadline_that_passes_between_tries_holds)
{
    struct dawdling d = {0};
    for (int i = 0; i < 5; i++)
        assert_non_null(error_of(transact_conflicts, &d));
    assert_false(d.dawdled);
}

/* ---- Cancelled ----------------------------------------------------------------------------------------- */

static void await_and_note(void *data)
{
    sl_await(sl_sleep(1));
    note(data);
}

static const sl_resource awaiting = {.name = "awaiting", .abort = await_and_note};

static void *hook_and_be_cancelled(void *data)
{
    (void)data;
    sl_before_abort(await_and_note, "before");
    sl_after_abort(await_and_note, "after");
    sl_join_transaction(&awaiting, "abort");
    sl_await(sl_sleep(5000));
    return NULL;
}

static void *transact_cancelled(void *data)
{
    return sl_transact(hook_and_be_cancelled, data, .deadline_ms = 5000);
}

TEST(who_is_told_of_the_end_may_await_in_a_cancelled_task)
{
    calls[0] = '\0';
    sl_error *error = NULL;
    sl_try(sl_timeout(sl_spawn(transact_cancelled, NULL), 5), &error);
    sl_await(sl_sleep(50));
    assert_string_equal(calls, "before abort after ");
}

/* ---- Tracers --------------------------------------------------------------------------------------------
 */

static uint64_t traced_us;
static unsigned refused;

static void see(sl_tracer *tracer, const sl_traced *statement)
{
    (void)tracer;
    traced_us = statement->duration_us;
    refused += statement->error && statement->error->code == SL_EBUDGET;
}

static void *ask_past_budget(void *data)
{
    (void)data;
    sl_budget(.statements = 1);
    companies();
    companies();
    return NULL;
}

static void *transact_past_budget(void *data)
{
    return sl_transact(ask_past_budget, data);
}

TEST(tracers_see_what_is_refused_and_what_had_begun)
{
    sl_tracer tracer = {.after = see};
    traced_us = 1;
    sl_transact(add_named, "one");
    SL_EACH(c, sl_find(company))
    sl_tracer_add(sl_root_current(), &tracer);
    assert_true(traced_us < 10000000);
    assert_error(error_of(transact_past_budget, NULL), SL_EBUDGET, "more than");
    assert_int_equal(refused, 1);
    sl_tracer_remove(sl_root_current(), &tracer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(success_commits_and_failure_rolls_back),
        IN_BOTH(an_inner_failure_dooms_the_whole),
        IN_BOTH(a_failed_statement_cannot_be_committed_by_forgetting_it),
        IN_BOTH(read_only_transactions_do_not_write),
        IN_BOTH(savepoints_fail_alone),
        IN_BOTH(savepoints_hold_in_any_number_of_stores),
        IN_BOTH(hooks_are_called_once_and_belong_to_their_savepoint),
        IN_BOTH(resources_take_part),
        IN_BOTH(a_file_is_moved_with_the_commit),
        IN_BOTH(events_go_out_on_commit),
        IN_BOTH(events_outlive_the_task_that_made_them),
        IN_SQLITE(hooks_that_never_end_are_told),
        IN_SQLITE(hooks_of_a_flush_are_called),
        IN_BOTH(conflicts_are_tried_again_as_often_as_asked),
        IN_BOTH(a_deadline_rolls_back),
        IN_BOTH(a_deadline_holds_while_it_is_written),
        IN_BOTH(a_budget_catches_one_query_for_each),
        IN_BOTH(only_time_in_the_database_counts),
        IN_BOTH(what_was_run_can_be_captured),
        IN_BOTH(raw_sql_runs_in_the_transaction),
        IN_BOTH(another_library_works_on_the_same_connection),
        IN_BOTH(models_have_hooks),
        IN_BOTH(tasks_of_a_transaction_share_it),
        IN_BOTH(many_transactions_at_once),
        IN_SQLITE(a_deadline_that_passes_between_tries_holds),
        IN_BOTH(who_is_told_of_the_end_may_await_in_a_cancelled_task),
        IN_BOTH(tracers_see_what_is_refused_and_what_had_begun),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
