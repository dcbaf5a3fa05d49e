/* postgres.c: the PostgreSQL driver: transactions.
 *
 * A transaction takes a line when it begins, and says nothing. BEGIN goes out together with its first
 * statement, at READ COMMITTED, PostgreSQL's own default, whatever the server is configured to, or
 * SERIALIZABLE where that was asked for.
 *
 * A commit waits until all statements are answered, so that it is known whether one failed. COMMIT alone does
 * not tell: in a transaction that has failed the server answers it with a success whose tag is ROLLBACK. Once
 * COMMIT was sent, its answer is waited for even if the task is cancelled, because nothing else says what
 * became of the transaction: until the deadline, or a little longer where that is near. Then the connection
 * is given up, and the caller told that nobody knows. */
#include "store/commit.h"
#include "store/postgres_inside.h"

#include <stdlib.h>

#define VERDICT_MS 60000 /* that the server may take to answer COMMIT where there is no deadline */
#define GRACE_MS 500     /* … and at least, however near that is */
#define UNDEFINED_OBJECT "42704"
#define GID_MAX 199 /* PostgreSQL's GIDSIZE, without the NUL */

/* ---- Life -------------------------------------------------------------------------------------------- */

static sl__pg_transaction *transaction_new(sl__postgres *pool, const sl__begin *how)
{
    sl__pg_transaction *t = pool->free_transactions;
    if (t)
        pool->free_transactions = t->next;
    else
        t = sl_malloc(sizeof *t);
    *t = (sl__pg_transaction){
        .base = {.driver = &sl__postgres_driver, .store = pool->store, .writer = !how->read_only},
        .pool = pool,
        .how = *how,
    };
    t->last_cursor = &t->cursors;
    pool->users++;
    return t;
}

static void detach_cursors(sl__pg_transaction *t)
{
    while (t->cursors) {
        sl__pg_cursor *cursor = t->cursors;
        t->cursors = cursor->next;
        sl__pg_cursor_detach(cursor);
    }
    t->last_cursor = &t->cursors;
}

/* Its line, if it has one, is somebody else's business by now. */
static void transaction_free(sl__pg_transaction *t)
{
    sl__postgres *pool = t->pool;
    detach_cursors(t);
    sl_error_unref(t->first);
    sl_error_unref(t->doomed);
    t->next = pool->free_transactions;
    pool->free_transactions = t;
    sl__pg_release_pool(pool);
}

/* Gives the line back, and ends. Where another task is at work outside the pipeline, as COPY, that one does
 * it when it notices. */
static void end(sl__pg_transaction *t, bool rollback)
{
    sl__pg_line *line = t->line;
    if (t->held) {
        t->over = true;
        detach_cursors(t);
        if (line && !t->lending) { /* strangers may be reading from it */
            sl__pg_cancel_start(line);
            sl__pg_lose(line, "the transaction has ended");
        }
        return;
    }
    t->restart = false;
    t->line = NULL;
    if (line)
        line->user = NULL;
    transaction_free(t);
    if (line)
        sl__pg_clean(line, rollback);
}

sl__pg_transaction *sl__pg_hold(sl__pg_transaction *t)
{
    t->held++;
    return t;
}

void sl__pg_let_go(sl__pg_transaction *t)
{
    if (--t->held == 0 && t->over)
        end(t, /* rollback= */ true);
}

static sl_error *begin(sl_store *store, const sl__begin *how, sl__connection **ret_connection)
{
    if (!store->data)
        return sl__error_new(how->site ? how->site : SL_HERE, SL_ECLOSED, "store %s: it is not open",
                             store->name);
    sl__pg_transaction *t = transaction_new(store->data, how);
    sl_error *error = how->single ? NULL : sl__pg_acquire(t->pool, how->deadline, how->site, &t->line);
    if (error) {
        transaction_free(t);
        return error;
    }
    if (t->line)
        t->line->user = t;
    *ret_connection = &t->base;
    return NULL;
}

void sl__pg_begin(sl__pg_transaction *t)
{
    static const char *const begins[] = {
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
    };
    if (t->begun || t->how.single)
        return;
    t->begun = true;
    sl__pg_say(t->line, begins[2 * t->how.serializable + t->how.read_only], /* silent= */ false);
}

static sl_error *become_writer(sl__connection *connection, const sl__begin *how)
{
    sl__pg_transaction *t = (sl__pg_transaction *)connection;
    if (t->how.read_only || t->how.single)
        return sl__pg_error(t->pool, how->site, SL_EINVAL, "this transaction can only read");
    connection->writer = true;
    return NULL;
}

/* ---- Failures ------------------------------------------------------------------------------------------ */

sl_error *sl__pg_refusal(const sl__pg_transaction *t, const sl_site *site)
{
    if (t->doomed) {
        sl_error *error = sl__pg_error(t->pool, site, t->doomed->code,
                                       "the transaction can only be rolled back: %s", t->doomed->message);
        return sl_error_cause(error, sl_error_ref(t->doomed));
    }
    if (t->line && !t->line->conn)
        return sl__pg_lost_error(t->pool, NULL, site, t->line->lost_why);
    if (t->line && t->line->outside)
        return sl__pg_error(t->pool, site, SL_EBUSY, "the connection is lent to somebody else");
    return NULL;
}

sl_error *sl__pg_not_carried_out(const sl__pg_transaction *t, const sl__pg_cursor *cursor)
{
    sl_error *error = sl__pg_error(t->pool, cursor->statement->site, t->first ? t->first->code : SL_EDATABASE,
                                   "not carried out, because the transaction had failed: %s",
                                   t->first ? t->first->message : "?");
    return sl_error_cause(sl__pg_with_sql(error, cursor->statement),
                          t->first ? sl_error_ref(t->first) : NULL);
}

sl_error *sl__pg_give_up(sl__pg_transaction *t, sl_error *error, sl__pg_cursor *cursor)
{
    const sl__statement *statement = cursor->statement;
    if (error->code == SL_EBUDGET) {
        sl_error *late = sl__pg_error(t->pool, statement->site, SL_EBUDGET,
                                      "the statement was cancelled, because it took longer than it may");
        error = sl_error_cause(sl__pg_with_sql(late, statement), error);
    }
    if (cursor->line && cursor->line == t->line) /* on the shared line it is cancelled when it is its turn */
        sl__pg_cancel_start(cursor->line);
    if (!t->doomed)
        t->doomed = sl_error_ref(error);
    sl__pg_cursor_abandon(cursor);
    return error;
}

/* Behind a pooler a prepared statement was not there. Nothing was done yet, so the whole is done again. */
void sl__pg_restart(sl__pg_transaction *t)
{
    sl_error *error = NULL;
    t->restart = false;
    t->restarted = true;
    if (t->begun) {
        t->begun = false;
        if (!sl__pg_say(t->line, "ROLLBACK", /* silent= */ true) || !sl__pg_sync(t->line))
            return;
    }
    if (t->closed) { /* what was closed cannot be sent again */
        t->first = sl__pg_error(t->pool, t->how.site, SL_ECONFLICT, "a prepared statement was lost");
        sl_error_hint(t->first, "run the transaction again: sl_transact(…, .retries = 3)");
        t->doomed = sl_error_ref(t->first);
    } else {
        sl__pg_begin(t);
    }
    for (sl__pg_cursor *next, *cursor = t->cursors; cursor && t->line->conn; cursor = next) {
        next = cursor->next;
        if (cursor->done)
            continue;
        error = t->doomed ? sl_error_ref(t->doomed) : sl__pg_send(t->line, cursor);
        if (error)
            sl__pg_cursor_done(cursor, error);
        else
            t->pool->counts.resent++;
    }
}

/* ---- Statements ---------------------------------------------------------------------------------------- */

/* On the transaction's own line. */
static sl_error *send_own(sl__pg_transaction *t, sl__pg_cursor *cursor)
{
    const sl__statement *s = cursor->statement;
    if (t->restart) /* it goes out with the others */
        return NULL;
    sl__pg_begin(t);
    /* ROLLBACK TO must be carried out also when what was sent just before it fails. */
    if (t->line->conn && s->size > 8 && strncasecmp(s->sql, "ROLLBACK", 8) == 0)
        sl__pg_sync(t->line);
    return t->line->conn ? sl__pg_send(t->line, cursor)
                         : sl__pg_lost_error(t->pool, s, NULL, t->line->lost_why);
}

/* A read by itself: with others on the shared line, or where it may take long on a line of its own, without
 * BEGIN. */
static sl_error *send_single(sl__pg_transaction *t, sl__pg_cursor *cursor)
{
    const sl__statement *s = cursor->statement;
    if (!t->line && s->quick)
        return sl__pg_single(cursor, s->deadline ? s->deadline : t->how.deadline);
    if (!t->line) {
        sl_error *error =
            sl__pg_acquire(t->pool, s->deadline ? s->deadline : t->how.deadline, s->site, &t->line);
        if (error)
            return error;
        t->line->user = t;
    }
    return send_own(t, cursor);
}

static sl_error *run(sl__connection *connection, const sl__statement *statement, sl__cursor **ret_cursor)
{
    sl__pg_transaction *t = (sl__pg_transaction *)connection;
    sl_error *error = sl__pg_refusal(t, statement->site);
    if (error)
        return error;
    sl__pg_cursor *cursor = sl__pg_cursor_new(t, statement);
    error = t->how.single ? send_single(t, cursor) : send_own(t, cursor);
    if (error) {
        cursor->done = true;
        sl__pg_close_cursor(&cursor->base);
        return error;
    }
    *ret_cursor = &cursor->base;
    return NULL;
}

/* ---- Ends -------------------------------------------------------------------------------------------- */

static void rollback(sl__connection *connection)
{
    sl__pg_transaction *t = (sl__pg_transaction *)connection;
    end(t, t->begun);
}

typedef struct outcome {
    bool rolled_back; /* the tag said so */
    bool unknown;     /* there is no transaction of that name */
} outcome;

static uint64_t verdict_until(const sl__pg_transaction *t)
{
    uint64_t now = sl_loop_now(t->pool->loop), deadline = t->base.deadline;
    if (!deadline)
        return now + VERDICT_MS;
    return deadline > now + GRACE_MS ? deadline : now + GRACE_MS;
}

static sl_error *unknown_outcome(const sl__pg_transaction *t, const char *doubt, bool late, sl_error *cause)
{
    const char *why = late ? "the database did not answer in time, and the connection was given up"
                           : "the connection to the database was lost";
    sl_error *error =
        sl__pg_error(t->pool, t->how.site, SL_EDISCONNECTED, "%s: it is unknown whether %s", why, doubt);
    return sl_error_hint(sl_error_cause(error, cause),
                         "look whether the rows are there before you try again");
}

/* Runs a command that ends the transaction, and waits for its answer whatever happens. `doubt`: what is
 * unknown when the answer does not come. */
static sl_error *verdict(sl__pg_transaction *t, const char *sql, const char *doubt, outcome *ret_outcome)
{
    sl__pg_cursor *cursor = sl__pg_cursor_of(t, sql);
    sl_error *error = sl__pg_send(t->line, cursor);
    SL_SHIELD()
    {
        if (!error)
            error = sl__pg_cursor_finish(cursor, verdict_until(t));
    }
    bool late = error && error->code == SL_EBUDGET && !*cursor->state;
    *ret_outcome = (outcome){cursor->rolled_back, strcmp(cursor->state, UNDEFINED_OBJECT) == 0};
    sl__pg_close_cursor(&cursor->base);
    if (late && t->line->conn)
        sl__pg_lose(t->line, "the server does not answer");
    if (error && (error->code == SL_EDISCONNECTED || !t->line->conn))
        error = unknown_outcome(t, doubt, late, error);
    return error;
}

/* Waits for what was sent; then the transaction can be ended, or an error says why not. */
static sl_error *ready_to_end(sl__pg_transaction *t)
{
    sl_error *error = sl__pg_refusal(t, t->how.site);
    if (!error) {
        error = sl__pg_drain(t->line, t->base.deadline, t->how.site);
        if (error && error->code == SL_EBUDGET)
            error = sl_error_cause(
                sl__pg_error(t->pool, t->how.site, SL_EBUDGET, "the transaction took longer than it may"),
                error);
    }
    if (!error && t->pool->pq.transactionStatus(t->line->conn) == PQTRANS_IDLE)
        error = sl_error_hint(sl__pg_error(t->pool, t->how.site, SL_EDATABASE,
                                           "a statement has ended the transaction before its time"),
                              "do not run COMMIT and ROLLBACK as statements");
    return error;
}

static sl_error *rolled_back_error(const sl__pg_transaction *t, const char *instead)
{
    sl_error *error =
        sl__pg_error(t->pool, t->how.site, t->first ? t->first->code : SL_EDATABASE,
                     "the transaction was rolled back and not %s, because a statement in it had failed%s%s",
                     instead, t->first ? ": " : "", t->first ? t->first->message : "");
    return sl_error_cause(error, t->first ? sl_error_ref(t->first) : NULL);
}

static sl_error *end_by(sl__pg_transaction *t, const char *sql, const char *instead, const char *doubt)
{
    outcome o;
    sl_error *error = ready_to_end(t);
    if (error) {
        end(t, t->begun);
        return error;
    }
    error = verdict(t, sql, doubt, &o);
    if (!error && o.rolled_back)
        error = rolled_back_error(t, instead);
    /* A COMMIT that fails has rolled back; an error before it was carried out has not. */
    end(t, error && t->line->conn && t->pool->pq.transactionStatus(t->line->conn) != PQTRANS_IDLE);
    return error;
}

static sl_error *commit(sl__connection *connection)
{
    sl__pg_transaction *t = (sl__pg_transaction *)connection;
    sl_error *error = NULL;
    if (t->how.single || !t->begun) {
        error = t->doomed && !t->how.single ? sl__pg_refusal(t, t->how.site) : NULL;
        end(t, /* rollback= */ false);
        return error;
    }
    if (t->how.read_only && !t->how.serializable && !t->doomed && !t->first && t->line->conn) {
        /* It cannot fail in a way that anybody would have to know of. */
        end(t, /* rollback= */ true);
        return NULL;
    }
    return end_by(t, "COMMIT", "committed", "the transaction was committed");
}

/* ---- Two-phase commit ---------------------------------------------------------------------------------- */

/* "PREPARE TRANSACTION 'gid'", quoted. malloc'ed. */
static sl_error *gid_command(const sl__postgres *pool, const sl_site *site, const char *verb, const char *gid,
                             char **ret_sql)
{
    size_t size = strlen(gid);
    sl_buffer sql = {0};
    if (size == 0 || size > GID_MAX || strchr(gid, '\\'))
        return sl__pg_error(
            pool, site, SL_EINVAL,
            "\"%.*s\" is no name of a prepared transaction: 1 to %d bytes, without backslashes", GID_MAX, gid,
            GID_MAX);
    sl_buffer_printf(&sql, "%s '", verb);
    for (const char *c = gid; *c; c++) {
        if (*c == '\'')
            sl_buffer_putc(&sql, '\'');
        sl_buffer_putc(&sql, *c);
    }
    sl_buffer_putc(&sql, '\'');
    *ret_sql = sql.data;
    return NULL;
}

static sl_error *prepare(sl__connection *connection, const char *gid)
{
    sl__pg_transaction *t = (sl__pg_transaction *)connection;
    char *sql = NULL;
    sl_error *error = gid_command(t->pool, t->how.site, "PREPARE TRANSACTION", gid, &sql);
    if (!error && t->how.single)
        error = sl__pg_error(t->pool, t->how.site, SL_EINVAL, "a single read cannot be prepared");
    if (!error)
        error = sl__pg_refusal(t, t->how.site);
    if (error) {
        free(sql);
        end(t, t->begun);
        return error;
    }
    sl__pg_begin(t);
    error = end_by(t, sql, "prepared", "the transaction was prepared");
    free(sql);
    return error;
}

static sl_error *decide(sl_store *store, const char *gid, bool commit_it)
{
    sl__connection *connection = NULL;
    const sl__begin how = {.single = true, .site = SL_HERE};
    outcome o = {0};
    char *sql = NULL;
    sl_error *error = begin(store, &how, &connection);
    if (error)
        return error;
    sl__pg_transaction *t = (sl__pg_transaction *)connection;
    t->base.deadline = sl_loop_now(t->pool->loop) + SL__TOLD_MS; /* it can be told later */
    error = gid_command(t->pool, how.site, commit_it ? "COMMIT PREPARED" : "ROLLBACK PREPARED", gid, &sql);
    if (!error)
        error = sl__pg_acquire(t->pool, t->base.deadline, how.site, &t->line);
    if (!error) {
        t->line->user = t;
        error = verdict(t, sql, "the prepared transaction was decided", &o);
    }
    if (error && o.unknown)
        error = sl_error_unref(error); /* it was decided before */
    end(t, /* rollback= */ false);
    free(sql);
    return error;
}

const sl__driver sl__postgres_driver = {
    .name = "postgres",
    .open = sl__pg_open,
    .close = sl__pg_close,
    .configured = sl__pg_configured,
    .begin = begin,
    .become_writer = become_writer,
    .commit = commit,
    .rollback = rollback,
    .run = run,
    .step = sl__pg_step,
    .read = sl__pg_read,
    .is_null = sl__pg_is_null,
    .close_cursor = sl__pg_close_cursor,
    .lend = sl__pg_lend,
    .prepare = prepare,
    .decide = decide,
};
