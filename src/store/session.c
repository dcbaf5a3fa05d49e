/* session.c: a transaction's part in one store, and the statements that it runs.
 *
 * The connection is taken at the first statement. Each statement passes here: it is counted and timed for the
 * budget, told to the tracers, and its failure makes the transaction (or its savepoint) good for nothing but
 * being undone. */
#include "store/store.h"
#include "core/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- Which session ------------------------------------------------------------------------------------- */

static sl_session *session_new(sl_store *store, sl_transaction *t, sl_arena *arena)
{
    sl_session *session = sl_arena_zalloc(arena, sizeof *session);
    session->store = store;
    session->transaction = t;
    session->arena = arena;
    return session;
}

static SL_NORETURN void nothing_to_write_in(const sl_site *site)
{
    sl__fail_error(site,
                   sl_error_hint(sl__error_new(site, SL_EINVAL, "there is no transaction here to write in"),
                                 "write in a request's handler, or inside sl_transact"));
}

/* A request's work that goes on after its transaction (a streamed body, a hook) asks by itself. */
static sl_session *session_alone(const sl_site *site, sl_transaction *t, sl_store *store, bool writes)
{
    if (writes && t)
        sl__transaction_check(site, t);
    if (writes)
        nothing_to_write_in(site);
    return session_new(store, NULL, sl_task_arena());
}

static sl_session *session_in(const sl_site *site, sl_transaction *t, sl_store *store, bool writes)
{
    if (!t || (sl__transaction_is_over(t) && t->state != SL__DECIDING))
        return session_alone(site, t, store, writes);
    if (__builtin_expect(t->cause || t->savepoint || t->state != SL__ACTIVE, 0))
        sl__transaction_check(site, t);
    if (__builtin_expect(writes && t->savepoint, 0))
        sl__savepoint_stranger(site, t);
    if (__builtin_expect(writes && (t->options.read_only || t->in_hooks), 0))
        sl__fail_error(site, sl_error_hint(sl__error_new(site, SL_EINVAL, "%s may not write", t->name), "%s",
                                           t->in_hooks ? "it is being rolled back"
                                                       : "leave `.read_only` out of its sl_transact"));
    sl_session **link = &t->first;
    for (; *link; link = &(*link)->next)
        if ((*link)->store == store)
            return *link;
    return *link = session_new(store, t, t->arena);
}

sl_session *sl__session_of(const sl_site *site, sl_store *store, bool writes)
{
    return session_in(site, sl__transaction_here(), store, writes);
}

sl_session *sl__session_for(const sl_site *site, sl_model *model, bool writes, sl__table **ret_table)
{
    sl_transaction *t = sl__transaction_here();
    sl_stores *stores = t ? t->stores : sl__stores_here(false);
    if (!stores)
        sl__store_named(site, model->store); /* says what is missing */
    *ret_table = sl__table_of(site, stores, model);
    return session_in(site, t, (*ret_table)->store, writes);
}

void sl__session_leave(sl_session *session)
{
    if (session->transaction || !session->connection)
        return;
    session->store->driver->rollback(session->connection);
    session->connection = NULL;
}

SL_NORETURN void sl__session_fail(const sl_site *site, sl_session *session, sl_error *error)
{
    if (session->transaction)
        sl__transaction_failed(session->transaction, error);
    else
        sl__session_leave(session);
    sl__fail_error(site, error);
}

/* ---- The connection ------------------------------------------------------------------------------------ */

/* Others may come and go meanwhile. */
static sl_error *make_points(sl_session *session)
{
    sl_error *error = NULL;
    const sl_transaction *t = session->transaction;
    while (!error && t->savepoint && session->points < t->savepoint->number) {
        char sql[32];
        snprintf(sql, sizeof sql, "SAVEPOINT s%u", session->points + 1);
        error = sl__run_plain(session, sql);
        session->points += !error;
    }
    return error;
}

sl_error *sl__session_points(sl_session *session, const sl_site *site)
{
    sl_error *error = session->unready ? sl__session_wait(session, site) : NULL;
    return error || !session->connection ? error : make_points(session);
}

/* The transaction may end while its connection is waited for: then nobody else would give that back. */
static sl_error *unless_over(sl_session *session, const sl__statement *statement, sl_error *error)
{
    const sl_transaction *t = session->transaction;
    if (!t || !sl__transaction_is_over(t))
        return error;
    if (session->connection)
        session->store->driver->rollback(session->connection);
    session->connection = NULL;
    return error ? error : sl__transaction_over(statement->site, t);
}

static sl_error *take_connection(sl_session *session, const sl__statement *statement)
{
    sl_transaction *t = session->transaction;
    sl__begin how = {.site = statement->site, .deadline = statement->deadline};
    if (t) {
        how.writes = !t->options.read_only && (t->writes || statement->writes);
        how.read_only = t->options.read_only;
        how.serializable = t->options.serializable;
        how.schema = t->schema;
    } else {
        how.read_only = how.single = true;
    }
    session->unready = true;
    sl_error *error = session->store->driver->begin(session->store, &how, &session->connection);
    if (!error && t && !sl__transaction_is_over(t))
        error = make_points(session);
    session->unready = false;
    return unless_over(session, statement, error);
}

static sl_error *become_writer(sl_session *session, const sl__statement *statement)
{
    sl__begin how = {.site = statement->site, .deadline = statement->deadline, .writes = true};
    sl_error *error = session->store->driver->become_writer(session->connection, &how);
    return unless_over(session, statement, error);
}

sl_error *sl__session_wait(sl_session *session, const sl_site *site)
{
    while (session->connecting) {
        if (!session->connected)
            session->connected = sl_deferred_new(NULL, NULL);
        sl_result result = sl__take(site, sl_deferred_ref(session->connected));
        if (result.kind == SL_FAILURE)
            return result.error;
    }
    return NULL;
}

static void connecting_over(sl_session *session)
{
    sl_deferred *connected = session->connected;
    session->connecting = NULL;
    session->connected = NULL;
    if (connected) {
        sl_fire(connected, NULL, NULL);
        sl_forget(connected);
    }
}

void sl__session_claim(sl_session *session)
{
    session->unready = true;
    session->connecting = sl_task_current();
}

sl_error *sl__session_unclaim(const sl_site *site, sl_session *session, sl_error *error)
{
    session->unready = false;
    error = unless_over(session, &(sl__statement){.site = site}, error);
    connecting_over(session);
    return error;
}

static bool is_connected(const sl_session *session, bool writes)
{
    return session->connection && (!writes || session->connection->writer) &&
           (!session->unready || session->connecting == sl_task_current());
}

/* Several tasks of a transaction may be the first to ask, or to write: it has one connection all the same. */
static sl_error *connect_session(sl_session *session, const sl__statement *statement)
{
    const sl_transaction *t = session->transaction;
    sl_error *error = sl__session_wait(session, statement->site);
    if (error || is_connected(session, statement->writes))
        return error;
    if (t && sl__transaction_is_over(t))
        return sl__transaction_over(statement->site, t);
    session->connecting = sl_task_current();
    if (!session->connection)
        error = take_connection(session, statement);
    if (!error && !is_connected(session, statement->writes))
        error = become_writer(session, statement);
    connecting_over(session);
    return error;
}

/* ---- Statements ---------------------------------------------------------------------------------------- */

static sl_error *over_budget(const sl_session *session, const sl__statement *statement, const char *what,
                             uint64_t max, const char *unit)
{
    const sl_transaction *t = session->transaction;
    sl_error *error = sl__error_new(statement->site, SL_EBUDGET, "store %s: %s has %s %llu %s",
                                    session->store->name, t->name, what, (unsigned long long)max, unit);
    sl_error_detail(error, statement->sql, statement->size);
    return sl_error_hint(error, "ask for more at once (sl_preload, sl_in_array) or raise it with sl_budget");
}

/* sl_loop_now of when what is left of the budget is used up. */
static uint64_t budget_until(const sl_transaction *t)
{
    uint64_t spent = t->waited_ns / 1000000;
    uint64_t left = t->ms_max > spent ? t->ms_max - spent : 0;
    return sl_loop_now(sl_loop_current()) + left + 1;
}

/* What is left of the budget, as the statement's deadline. */
static sl_error *spend(sl_session *session, sl__statement *statement)
{
    sl_transaction *t = session->transaction;
    t->statements++;
    if (t->statements_max && t->statements > t->statements_max)
        return over_budget(session, statement, "run more than", t->statements_max, "statements");
    if (!t->ms_max)
        return NULL;
    if (t->waited_ns >= t->ms_max * 1000000)
        return over_budget(session, statement, "waited for the database for more than", t->ms_max, "ms");
    statement->deadline = budget_until(t);
    return NULL;
}

/* Reading the clock costs about as much as a short statement's own part here: it is left out where nobody
 * would see it. */
static bool is_timed(const sl_session *session, const sl__statement *statement)
{
    return !statement->quick || session->store->dialect == SL__POSTGRES || session->store->stores->tracers;
}

/* Ticks every few milliseconds, in an eighth of the time: over many rows the ticks fall where the time goes.
 */
static uint64_t coarse_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void sl__run_leave(sl__running *running)
{
    if (running->started_ns)
        running->left_ns = coarse_ns();
}

static void come_back(sl__running *running)
{
    if (!running->left_ns)
        return;
    running->away_ns += coarse_ns() - running->left_ns;
    running->left_ns = 0;
    if (running->statement.deadline)
        running->cursor->deadline = running->statement.deadline + running->away_ns / 1000000;
}

uint64_t sl__run_took_ns(const sl__running *running)
{
    uint64_t took = running->started_ns ? sl_monotonic_ns() - running->started_ns : 0;
    return took > running->away_ns ? took - running->away_ns : 0;
}

static void account(const sl__running *running)
{
    if (!running->started_ns)
        return;
    uint64_t took = sl__run_took_ns(running);
    sl_session *session = running->session;
    if (session->transaction)
        session->transaction->waited_ns += took;
    if (took / 1000000 >= session->store->options->slow_ms)
        sl_log_to(sl_log_current(), SL_WARNING, running->statement.site, "store %s: %llu ms (%s:%d): %.*s",
                  session->store->name, (unsigned long long)(took / 1000000), running->statement.site->file,
                  running->statement.site->line,
                  (int)(running->statement.size < 2000 ? running->statement.size : 2000),
                  running->statement.sql);
}

static sl_error *failed(sl__running *running, sl_error *error)
{
    running->over = true;
    if (running->session->store->stores->tracers)
        sl__trace(running->session->store->stores, running, error, /* before= */ false);
    account(running);
    return error;
}

sl_error *sl__run_begin(sl_session *session, const sl__statement *statement, sl__running *running)
{
    *running = (sl__running){.session = session, .statement = *statement};
    sl_error *error = NULL;
    if (is_timed(session, statement))
        running->started_ns = sl_monotonic_ns();
    if (session->store->stores->tracers)
        sl__trace(session->store->stores, running, NULL, /* before= */ true);
    if (session->transaction && (error = spend(session, &running->statement)))
        return failed(running, error);
    if (!is_connected(session, statement->writes))
        error = connect_session(session, &running->statement);
    if (!error)
        error = session->store->driver->run(session->connection, &running->statement, &running->cursor);
    if (statement->writes)
        sl__session_changed(session, statement->table);
    return error ? failed(running, error) : NULL;
}

sl_error *sl__run_step(sl__running *running, bool *ret_row)
{
    come_back(running);
    sl_error *error = running->cursor->driver->step(running->cursor, ret_row);
    if (error)
        return failed(running, error);
    if (*ret_row) {
        running->rows++;
        return NULL;
    }
    running->over = true;
    if (!running->rows)
        running->rows = running->cursor->changed;
    if (running->session->store->stores->tracers)
        sl__trace(running->session->store->stores, running, NULL, /* before= */ false);
    account(running);
    return NULL;
}

void sl__run_end(sl__running *running)
{
    if (!running->cursor)
        return;
    if (!running->over) {
        come_back(running);
        if (running->session->store->stores->tracers)
            sl__trace(running->session->store->stores, running, NULL, /* before= */ false);
        account(running);
    }
    running->cursor->driver->close_cursor(running->cursor);
    running->cursor = NULL;
}

void sl__run_fail(sl__running *running, sl_error *error)
{
    const sl_site *site = running->statement.site;
    sl_session *session = running->session;
    sl__run_end(running);
    sl__session_fail(site, session, error);
}

static sl_error *run_whole(sl_session *session, const sl__statement *statement, int64_t *ret_rows)
{
    sl__running running SL_CLEANUP(sl__run_end);
    bool row = true;
    sl_error *error = sl__run_begin(session, statement, &running);
    while (!error && row)
        error = sl__run_step(&running, &row);
    if (!error)
        *ret_rows = running.rows;
    return error;
}

int64_t sl__run_whole(sl_session *session, const sl__statement *statement)
{
    int64_t rows = 0;
    sl_error *error = run_whole(session, statement, &rows);
    if (error)
        sl__session_fail(statement->site, session, error);
    return rows;
}

sl_error *sl__run_plain(sl_session *session, const char *sql)
{
    size_t size = strlen(sql);
    int64_t rows;
    return run_whole(session,
                     &(sl__statement){.sql = sql,
                                      .size = (uint32_t)size,
                                      .shape = sl__shape_of(sql, size),
                                      .quick = true,
                                      .site = SL_HERE},
                     &rows);
}

void sl__session_connect(const sl_site *site, sl_session *session)
{
    sl__statement nothing = {.sql = "", .writes = true, .site = site};
    sl_error *error = is_connected(session, /* writes= */ true) ? NULL : connect_session(session, &nothing);
    if (error)
        sl__session_fail(site, session, error);
    sl__session_changed(session, 0);
    sl__session_bound(session);
}

void sl__session_bound(sl_session *session)
{
    const sl_transaction *t = session->transaction;
    uint64_t until = t->ms_max ? budget_until(t) : t->deadline;
    session->connection->deadline = t->deadline && t->deadline < until ? t->deadline : until;
}

/* ---- Budgets ------------------------------------------------------------------------------------------- */

void sl__budget(const sl_budget_options *options)
{
    sl_transaction *t = sl_transaction_current();
    if (!t)
        sl_fail(SL_EINVAL, "there is no request or transaction here that could have a budget");
    if (options->statements)
        t->statements_max = t->statements + options->statements;
    if (options->ms)
        t->ms_max = t->waited_ns / 1000000 + options->ms;
}
