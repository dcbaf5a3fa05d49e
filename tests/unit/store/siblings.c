/* siblings.c: tasks that work in one transaction at the same time. */
#include "world.h"
#include "store/request.h"

static void *find_all(void *data)
{
    (void)data;
    return (void *)(intptr_t)sl_count(sl_find(company));
}

static void *add_named(void *name)
{
    sl_add(sl_new(company, .name = name));
    sl_save();
    return NULL;
}

/* Both are the first to want the transaction's connection. */
static void *begin_together(void *data)
{
    (void)data;
    sl_deferred *tasks[] = {sl_spawn(add_named, "a"), sl_spawn(find_all, NULL), sl_spawn(add_named, "c")};
    sl_await(sl_all(tasks, sl_array_size(tasks)));
    return NULL;
}

static void *transact_together(void *data)
{
    SL_SCOPE(scope, .deadline_ms = 3000)
    {
        sl_transact(begin_together, data);
    }
    return NULL;
}

static void *hold_place(void *data)
{
    add_named("holder");
    sl_await(sl_sleep(60));
    return data;
}

static void *transact_hold(void *data)
{
    return sl_transact(hold_place, data);
}

/* ---- A savepoint that cannot be undone ------------------------------------------------------------------
 */

static void *add_and_fail(void *data)
{
    add_named(data);
    sl_fail(SL_EINVAL, "no");
}

static void *undo_past_the_budget(void *data)
{
    (void)data;
    sl_error *error;
    add_named("outside");
    sl_budget(.statements = 2); /* to begin it, and for the row */
    sl_savepoint(add_and_fail, "inside", &error);
    return NULL;
}

static void *transact_past_the_budget(void *data)
{
    return sl_transact(undo_past_the_budget, data);
}

TEST(why_a_savepoint_cannot_be_undone_is_told)
{
    const sl_error *error = error_of(transact_past_the_budget, NULL);
    assert_error(error, SL_EBUDGET, "has run more than");
    assert_error(error->cause, SL_EINVAL, "no");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

/* ---- What others write meanwhile ------------------------------------------------------------------------
 */

struct meanwhile {
    sl_deferred *begun, *go;
    bool fails, saves;
};

static void *wait_inside(void *data)
{
    struct meanwhile *m = data;
    add_named("inside");
    sl_fire(m->begun, NULL, NULL);
    sl_await(sl_deferred_ref(m->go));
    if (m->fails)
        sl_fail(SL_EINVAL, "no");
    return NULL;
}

static void *wait_in_savepoint(void *data)
{
    sl_error *error;
    sl_savepoint(wait_inside, data, &error);
    return NULL;
}

static void *write_meanwhile(void *data)
{
    struct meanwhile *m = data;
    m->begun = sl_deferred_new(NULL, NULL);
    m->go = sl_deferred_new(NULL, NULL);
    sl_deferred *child = sl_spawn(wait_in_savepoint, m);
    sl_await(m->begun);
    sl_add(sl_new(company, .name = "meanwhile"));
    if (m->saves)
        sl_save();
    sl_fire(m->go, NULL, NULL);
    sl_await(child);
    sl_forget(m->go);
    return NULL;
}

static void *transact_meanwhile(void *data)
{
    return sl_transact(write_meanwhile, data);
}

/* Either all that its tasks wrote, or nothing: never a part without a word. */
TEST(what_others_write_is_not_undone_without_a_word)
{
    for (int saves = 0; saves < 2; saves++) {
        assert_error(error_of(transact_meanwhile, &(struct meanwhile){.fails = true, .saves = saves}),
                     SL_EINVAL, "what another task wrote in write_meanwhile (");
        assert_int_equal(sl_count(sl_find(company)), 0);
    }
    assert_null(error_of(transact_meanwhile, &(struct meanwhile){.saves = true}));
    assert_int_equal(sl_count(sl_find(company)), 2);
}

/* ---- A child that is not awaited ------------------------------------------------------------------------
 */

static void *add_and_wait(void *go)
{
    add_named("in a savepoint");
    sl_await(sl_deferred_ref(go));
    return NULL;
}

static void *work_in_savepoint(void *go)
{
    return sl_savepoint(add_and_wait, go, NULL);
}

struct child {
    sl_deferred *go, *task;
};

static void *leave_child_behind(void *data)
{
    struct child *child = data;
    add_named("outside");
    child->task = sl_spawn(work_in_savepoint, child->go);
    sl_await(sl_sleep(1));
    return NULL;
}

static void *transact_with_child(void *data)
{
    return sl_transact(leave_child_behind, data);
}

TEST(a_transaction_does_not_end_in_the_midst_of_a_savepoint)
{
    struct child child = {.go = sl_deferred_new(NULL, NULL)};
    assert_error(error_of(transact_with_child, &child), SL_EINVAL,
                 "ends while a task of it is in the savepoint of work_in_savepoint");
    sl_fire(child.go, NULL, NULL);
    sl_error *error;
    sl_try(child.task, &error);
    assert_non_null(error);
    sl_forget(child.go);
    assert_int_equal(sl_count(sl_find(company)), 0);
}

TEST(a_transaction_has_one_connection)
{
    sl_deferred *holder = sl_spawn(transact_hold, NULL);
    sl_await(sl_sleep(5));
    const sl_error *error = error_of(transact_together, NULL);
    if (error)
        fail_msg("%s", error->message);
    sl_await(holder);
    for (int i = 0; i < 12; i++)
        assert_error(error_of(transact_together, NULL), SL_EEXIST, "cannot be stored");
    assert_int_equal(sl_count(sl_find(company)), 3);
}

/* Goes on working after its transaction's function has returned. */
static void *go_on(void *data)
{
    int *left = data;
    while (--*left > 0) {
        sl_error *error = NULL;
        sl_try(sl_spawn(find_all, NULL), &error);
        sl_await(sl_sleep(0));
    }
    return NULL;
}

static void *leave_behind(void *data)
{
    add_named(data);
    static int left;
    left = 400;
    sl_forget(sl_spawn(go_on, &left));
    sl_await(sl_sleep(1));
    return NULL;
}

static void *transact_name(void *name)
{
    SL_SCOPE(scope, .deadline_ms = 3000)
    {
        sl_transact(leave_behind, name);
    }
    return NULL;
}

TEST(who_works_on_while_it_is_committed_takes_no_new_connection)
{
    char names[12][8];
    for (int i = 0; i < 12; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        const sl_error *error = error_of(transact_name, names[i]);
        if (error)
            fail_msg("%d: %s", i, error->message);
    }
    assert_int_equal(sl_count(sl_find(company)), 12);
}

static void *turn_writer(void *data)
{
    return add_named(data);
}

static void *fail_meanwhile(void *data)
{
    (void)data;
    find_all(NULL);
    sl_forget(sl_spawn(turn_writer, "x"));
    sl_await(sl_sleep(5));
    sl_fail(SL_EFAILED, "meanwhile");
}

static void *transact_fail_meanwhile(void *data)
{
    return sl__transact_request(SL_HERE, fail_meanwhile, data, /* safe= */ true);
}

static void *fail_before(void *data)
{
    (void)data;
    sl_forget(sl_spawn(turn_writer, "y"));
    sl_await(sl_sleep(5));
    sl_fail(SL_EFAILED, "before");
}

static void *transact_fail_before(void *data)
{
    return sl_transact(fail_before, data);
}

TEST(who_waits_while_it_is_rolled_back_is_told)
{
    sl_deferred *holder = sl_spawn(transact_hold, NULL);
    sl_await(sl_sleep(5));
    assert_error(error_of(transact_fail_meanwhile, NULL), SL_EFAILED, "meanwhile");
    assert_error(error_of(transact_fail_before, NULL), SL_EFAILED, "before");
    sl_await(holder);
    sl_transact(add_named, "next"); /* nobody has the writer's place any more */
    assert_int_equal(sl_count(sl_find(company)), 2);
}

static void *run_long(void *data)
{
    (void)data;
    sl_execute(NULL, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000000) "
                     "INSERT INTO company (name) SELECT 'n' || max(i) FROM n");
    return NULL;
}

static void *fail_behind_thread(void *data)
{
    add_named(data);
    sl_forget(sl_spawn(run_long, NULL));
    sl_await(sl_sleep(5));
    sl_forget(sl_spawn(find_all, NULL)); /* waits for the thread */
    sl_await(sl_sleep(5));
    sl_fail(SL_EFAILED, "behind");
}

static void *transact_behind(void *data)
{
    return sl_transact(fail_behind_thread, data);
}

TEST(who_waits_for_a_thread_while_it_is_rolled_back_is_told)
{
    assert_error(error_of(transact_behind, "z"), SL_EFAILED, "behind");
    sl_transact(add_named, "next");
    assert_int_equal(sl_count(sl_find(company)), 1);
}

static void add_late(void *data)
{
    sl_add(sl_new(company, .name = data));
}

static const sl_resource late = {.name = "a late one", .vote = add_late};

static void *join_late(void *data)
{
    add_named("early");
    sl_join_transaction(&late, data);
    return NULL;
}

static void *transact_late(void *data)
{
    return sl_transact(join_late, data);
}

TEST(what_comes_too_late_to_be_written_is_told)
{
    assert_error(error_of(transact_late, "late"), SL_EINVAL, "changed while it was committed");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

/* ---- Savepoints ---------------------------------------------------------------------------------------- */

typedef struct work {
    const char *name;
    unsigned before_ms, after_ms;
    bool fails;
} work;

static void *add_slowly(void *data)
{
    const work *w = data;
    sl_await(sl_sleep(w->before_ms));
    add_named((void *)w->name);
    sl_await(sl_sleep(w->after_ms));
    if (w->fails)
        sl_fail(SL_EFAILED, "%s failed", w->name);
    return NULL;
}

static void *add_in_savepoint(void *data)
{
    sl_error *error;
    sl_savepoint(add_slowly, data, &error);
    if (error && error->code != SL_ECANCELED)
        assert_error(error, SL_EFAILED, "failed");
    return NULL;
}

static void *savepoints_together(void *data)
{
    work *works = data;
    SL_SCOPE(scope)
    {
        for (work *w = works; w->name; w++)
            sl_go(add_in_savepoint, w);
    }
    return NULL;
}

/* The last that was begun would not be the first to end. */
TEST(savepoints_of_several_tasks_come_one_after_the_other)
{
    work works[] = {{"a", 1, 5, false}, {"b", 2, 20, false}, {"c", 0, 3, true},
                    {"d", 3, 0, true},  {"e", 0, 0, false},  {0}};
    sl_transact(savepoints_together, works);
    struct company_list all = sl_list(sl_find(company, sl_ascending(company_.name)));
    assert_int_equal(all.count, 3);
    assert_string_equal(all.items[0]->name, "a");
    assert_string_equal(all.items[1]->name, "b");
    assert_string_equal(all.items[2]->name, "e");
}

static void *savepoints_in_one(void *data)
{
    static work left = {"left", 0, 5, false};
    savepoints_together(data);
    sl_forget(sl_spawn(add_in_savepoint, &left)); /* it is waited for, too */
    sl_yield();
    sl_fail(SL_EFAILED, "all of it");
}

static void *nest_savepoints(void *data)
{
    sl_error *error;
    add_named("outer");
    sl_savepoint(savepoints_in_one, data, &error);
    assert_error(error, SL_EFAILED, "all of it");
    sl_savepoint(savepoints_together, data, &error);
    assert_null(error);
    return NULL;
}

TEST(savepoints_nest_in_the_one_that_their_task_works_in)
{
    work works[] = {{"a", 0, 5, false}, {"b", 2, 8, true}, {"c", 1, 5, false}, {0}};
    SL_SCOPE(scope, .deadline_ms = 5000)
    {
        sl_transact(nest_savepoints, works);
    }
    assert_int_equal(sl_count(sl_find(company)), 3);
}

static void *add_twice(void *data)
{
    add_named(data);
    sl_await(sl_sleep(5));
    sl_error *error = NULL;
    sl_try(sl_spawn(add_named, data), &error); /* unique: swallowed */
    assert_non_null(error);
    return NULL;
}

static void *fail_beside_savepoint(void *data)
{
    work slow = {"slow", 0, 30, true};
    sl_deferred *tasks[] = {sl_spawn(add_twice, data), sl_spawn(add_in_savepoint, &slow)};
    sl_await(sl_settled(tasks, 2));
    return NULL;
}

static void *transact_fail_beside(void *data)
{
    return sl_transact(fail_beside_savepoint, data);
}

TEST(what_fails_beside_a_savepoint_is_not_undone_by_it_alone)
{
    assert_error(error_of(transact_fail_beside, "x"), SL_EEXIST, "cannot be stored");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

static void *savepoint_is_cancelled(void *data)
{
    (void)data;
    work slow = {"slow", 0, 1000, false}, next = {"next", 0, 0, false};
    sl_deferred *first = sl_spawn(add_in_savepoint, &slow);
    sl_await(sl_sleep(3));
    sl_deferred *second = sl_spawn(add_in_savepoint, &next);
    sl_await(sl_sleep(3));
    sl_cancel(first);
    sl_error *error = NULL;
    sl_try(first, &error);
    sl_await(second);
    return NULL;
}

static void *transact_cancelled(void *data)
{
    SL_SCOPE(scope, .deadline_ms = 900)
    {
        sl_transact(savepoint_is_cancelled, data);
    }
    return NULL;
}

TEST(who_waits_for_a_savepoint_that_is_cancelled_is_told)
{
    /* SQLite undoes it although the task is cancelled; PostgreSQL's answer would have to be waited for. */
    const sl_error *error = error_of(transact_cancelled, NULL);
    if (error)
        assert_int_not_equal(error->code, SL_ETIMEDOUT);
    assert_int_equal(sl_count(sl_find(company)), error ? 0 : 1);
}

static void *fail_together(void *data)
{
    sl_deferred *tasks[] = {sl_spawn(find_all, NULL), sl_spawn(add_named, data),
                            sl_spawn(add_named, "other")};
    sl_await(sl_all(tasks, sl_array_size(tasks)));
    sl_fail(SL_EFAILED, "together");
}

static void *nest_and_fail_together(void *data)
{
    sl_error *error;
    sl_savepoint(fail_together, data, &error);
    assert_error(error, SL_EFAILED, "together");
    return NULL;
}

static void *first_in_savepoints(void *data)
{
    sl_error *error;
    sl_savepoint(nest_and_fail_together, data, &error);
    assert_null(error);
    return NULL;
}

/* The connection is the others' only when it has the savepoints. */
TEST(who_is_first_to_ask_makes_the_savepoints_first)
{
    sl_transact(first_in_savepoints, "x");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

/* ---- Hooks that let others work ------------------------------------------------------------------------ */

static sl_deferred *go, *waiter;
static intptr_t hook_saw;

static void ask_in_a_task(void *object)
{
    (void)object;
    hook_saw = (intptr_t)sl_await(sl_spawn(find_all, NULL));
}

static void add_in_a_task(void *object)
{
    (void)object;
    sl_await(sl_spawn(add_named, "of the hook"));
}

static void let_one_go(void *object)
{
    (void)object;
    sl_fire(go, NULL, NULL);
    sl_await(waiter);
}

static const char *ask_to_validate(sl_value *value)
{
    ask_in_a_task(value);
    return NULL;
}

#define ASKER(F) F(id, integer, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED)
SL_MODEL(asker, ASKER, .table = "company", .before_flush = ask_in_a_task, .flushed = add_in_a_task);
#define WAITER(F) F(id, integer, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED)
SL_MODEL(waiting, WAITER, .table = "company", .before_flush = let_one_go);
#define CHECKED(F) F(id, integer, SL_PRIMARY_KEY) F(name, text, SL_REQUIRED, SL_VALIDATED(ask_to_validate))
SL_MODEL(checked, CHECKED, .table = "company");

static void *write_asker(void *data)
{
    add_named("first");
    sl_add(sl_new(asker, .name = "second"));
    assert_int_equal(sl_count(sl_find(company)), 2);
    assert_int_equal(hook_saw, 1);
    assert_int_equal(sl_count(sl_find(company)), 3); /* what was added meanwhile is written by the next one */
    sl_add(sl_new(checked, .name = "fourth"));
    sl_save();
    assert_int_equal(hook_saw, 3);
    return data;
}

static void *wait_and_ask(void *data)
{
    sl_await(go);
    return find_all(data);
}

static void *write_waiting(void *data)
{
    go = sl_deferred_new(NULL, NULL);
    waiter = sl_spawn(wait_and_ask, NULL);
    sl_add(sl_new(waiting, .name = "first"));
    sl_save();
    return data;
}

static void *in_time(void *fn)
{
    SL_SCOPE(scope, .deadline_ms = 3000)
    {
        sl_transact((sl_task_fn *)fn, NULL);
    }
    return NULL;
}

TEST(a_hook_may_await_tasks_that_it_starts)
{
    const sl_error *error = error_of(in_time, (void *)write_asker);
    if (error)
        fail_msg("%s", error->message);
    assert_int_equal(sl_count(sl_find(company)), 4);
}

TEST(a_hook_that_awaits_who_waits_for_it_is_told)
{
    const sl_error *error = error_of(in_time, (void *)write_waiting);
    assert_error(error, SL_ECYCLE, "are being written, by a task that waits for this one");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

/* ---- Many at once -------------------------------------------------------------------------------------- */

enum { MANY = 3000 };

static void *add_by_the_thousand(void *data)
{
    struct company **many = sl_alloc(MANY * sizeof *many);
    for (int i = 0; i < MANY; i++)
        many[i] = sl_new(company, .name = sl_printf("%d", i));
    sl_add_many(company, many, MANY);
    return data;
}

static void *ask_until_all_are_there(void *data)
{
    while (sl_count(sl_find(company)) < MANY)
        sl_yield();
    return data;
}

static void *add_and_ask(void *data)
{
    sl_deferred *tasks[] = {sl_spawn(add_by_the_thousand, NULL), sl_spawn(ask_until_all_are_there, NULL)};
    sl_await(sl_all(tasks, sl_array_size(tasks)));
    return data;
}

TEST(who_asks_while_many_are_stored_waits)
{
    const sl_error *error = error_of(in_time, (void *)add_and_ask);
    if (error)
        fail_msg("%s", error->message);
    assert_int_equal(sl_count(sl_find(company)), MANY);
}

/* ---- Savepoints and what is being written -------------------------------------------------------------- */

static void *fail_at_once(void *data)
{
    (void)data;
    sl_fail(SL_EFAILED, "no");
}

static void try_something(void *object)
{
    (void)object;
    sl_error *error;
    sl_savepoint(fail_at_once, NULL, &error);
}

static void *try_in_a_task(void *data)
{
    return try_something(data), data;
}

static void let_try(void *object)
{
    sl_await(sl_spawn(try_in_a_task, object));
}

static void reload_itself(void *object);

SL_MODEL(trier, ASKER, .table = "company", .before_flush = try_something);
SL_MODEL(late_trier, ASKER, .table = "company", .flushed = try_something);
SL_MODEL(task_trier, ASKER, .table = "company", .before_flush = let_try);
SL_MODEL(reloader, ASKER, .table = "company", .before_flush = reload_itself);

static void reload_itself(void *object)
{
    const struct reloader *r = object;
    sl_reload(reloader, r);
}

static void *write_trier(void *which)
{
    add_named("first");
    switch (*(int *)which) {
    case 0:
        return sl_add(sl_new(trier, .name = "second"));
    case 1:
        return sl_add(sl_new(late_trier, .name = "second"));
    case 2:
        return sl_add(sl_new(task_trier, .name = "second"));
    default:
        return sl_add(sl_new(reloader, .name = "second"));
    }
}

static void *transact_trier(void *which)
{
    return sl_transact(write_trier, which);
}

TEST(a_hook_undoes_nothing_of_what_is_being_written)
{
    for (int i = 0; i < 3; i++)
        assert_error(error_of(transact_trier, &i), SL_EINVAL, "sl_savepoint cannot be called by the hooks");
    assert_error(error_of(transact_trier, &(int){3}), SL_EINVAL,
                 "a new reloader cannot be read anew: it is to be stored");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

static sl_deferred *begun, *told;

static void wait_a_little(void *object)
{
    (void)object;
    if (!told)
        return;
    sl_fire(told, NULL, NULL);
    told = NULL;
    sl_await(sl_sleep(20));
}

SL_MODEL(slow, ASKER, .table = "company", .flushed = wait_a_little);

static void *fail_when_told(void *data)
{
    sl_deferred *until = told;
    sl_fire(begun, NULL, NULL);
    sl_await(until);
    return fail_at_once(data);
}

static void *undo_when_told(void *data)
{
    sl_error *error;
    sl_savepoint(fail_when_told, data, &error);
    assert_error(error, SL_EFAILED, "no");
    return NULL;
}

static void *write_slowly(void *data)
{
    sl_await(begun);
    for (int i = 0; i < 5; i++)
        sl_add(sl_new(slow, .name = sl_printf("slow %d", i)));
    sl_save();
    return data;
}

static void *write_while_it_is_undone(void *data)
{
    begun = sl_deferred_new(NULL, NULL);
    told = sl_deferred_new(NULL, NULL);
    sl_deferred *undoing = sl_spawn(undo_when_told, NULL), *writing = sl_spawn(write_slowly, NULL);
    sl_await(undoing);
    sl_await(writing);
    return add_named("after");
}

TEST(what_is_being_written_is_undone_when_it_is_through)
{
    assert_error(error_of(in_time, (void *)write_while_it_is_undone), SL_EINVAL,
                 "what another task wrote in write_slowly (");
    assert_int_equal(sl_count(sl_find(company)), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(why_a_savepoint_cannot_be_undone_is_told),
        IN_BOTH(what_others_write_is_not_undone_without_a_word),
        IN_BOTH(a_transaction_does_not_end_in_the_midst_of_a_savepoint),
        IN_BOTH(a_transaction_has_one_connection),
        IN_BOTH(who_works_on_while_it_is_committed_takes_no_new_connection),
        IN_BOTH(who_waits_while_it_is_rolled_back_is_told),
        IN_BOTH(what_comes_too_late_to_be_written_is_told),
        IN_BOTH(who_waits_for_a_thread_while_it_is_rolled_back_is_told),
        IN_BOTH(savepoints_of_several_tasks_come_one_after_the_other),
        IN_BOTH(savepoints_nest_in_the_one_that_their_task_works_in),
        IN_BOTH(what_fails_beside_a_savepoint_is_not_undone_by_it_alone),
        IN_BOTH(who_waits_for_a_savepoint_that_is_cancelled_is_told),
        IN_BOTH(who_is_first_to_ask_makes_the_savepoints_first),
        IN_BOTH(a_hook_may_await_tasks_that_it_starts),
        IN_BOTH(a_hook_that_awaits_who_waits_for_it_is_told),
        IN_BOTH(who_asks_while_many_are_stored_waits),
        IN_BOTH(a_hook_undoes_nothing_of_what_is_being_written),
        IN_BOTH(what_is_being_written_is_undone_when_it_is_through),
    };
    return world_main(argc, argv, tests, sl_array_size(tests));
}
