/* postgres_lend.c: a transaction's connection outside pipeline mode: lent to another library, and for COPY.
 *
 * Before it leaves pipeline mode all that was sent is answered, and BEGIN is said. Whatever happens out
 * there, failures that unwind the stack included, it is taken back into pipeline mode, or is lost. */
#include "store/postgres_inside.h"

#include <stdlib.h>

#define CHUNK ((size_t)64 << 10) /* of COPY's data */

/* May suspend. */
static sl_error *leave_pipeline(sl__pg_transaction *t)
{
    sl__pg_line *line = t->line;
    const sl_site *site = t->how.site;
    if (t->how.single)
        return sl__pg_error(t->pool, site, SL_EINVAL,
                            "the connection of a single read cannot be used by others");
    sl_error *error = sl__pg_refusal(t, site);
    if (error)
        return error;
    sl__pg_begin(t);
    error = sl__pg_drain(line, t->base.deadline, site);
    if (error)
        return error;
    if (t->first) /* the transaction is aborted; strangers could do nothing in it */
        return sl_error_cause(
            sl__pg_error(t->pool, site, t->first->code, "the transaction has failed: %s", t->first->message),
            sl_error_ref(t->first));
    if (!line->pq->exitPipelineMode(line->conn)) {
        sl__pg_lose(line, NULL);
        return sl__pg_lost_error(t->pool, NULL, site, line->lost_why);
    }
    line->outside = true;
    return NULL;
}

/* What the strangers left: an error that a savepoint may still mend, or one that nothing does. NULL if all is
 * well. */
static sl_error *look_at(const sl__pg_transaction *t, bool *ret_final)
{
    sl__pg_line *line = t->line;
    const sl_site *site = t->how.site;
    *ret_final = true;
    if (line->pq->status(line->conn) == CONNECTION_BAD)
        return sl__pg_lost_error(t->pool, NULL, site, NULL);
    switch (line->pq->transactionStatus(line->conn)) {
    case PQTRANS_INTRANS:
        return NULL;
    case PQTRANS_INERROR:
        *ret_final = false;
        return sl__pg_error(t->pool, site, SL_EDATABASE,
                            "a statement of whoever the connection was lent to has failed");
    case PQTRANS_IDLE:
        return sl_error_hint(sl__pg_error(t->pool, site, SL_EDATABASE,
                                          "whoever the connection was lent to has ended the transaction"),
                             "it must not commit or roll back: that is done with the rest");
    default:
        return sl__pg_error(t->pool, site, SL_EDATABASE,
                            "whoever the connection was lent to has left a statement running");
    }
}

/* Back into pipeline mode; what cannot is lost. */
static void enter_pipeline(sl__pg_line *line)
{
    line->outside = false;
    if (!line->conn)
        return;
    PGresult *left = NULL;
    sl__pg_hear_notices(line);
    bool quiet = line->pq->transactionStatus(line->conn) != PQTRANS_ACTIVE;
    if (!quiet)
        sl__pg_cancel_start(line); /* the server would not notice otherwise */
    while (quiet && (left = line->pq->getResult(line->conn)))
        line->pq->clear(left);
    if (!quiet || line->pq->setnonblocking(line->conn, 1) < 0 || !line->pq->enterPipelineMode(line->conn))
        sl__pg_lose(line, quiet ? NULL : "a statement was left running on it");
    else
        sl__pg_watch_on(line);
}

/* ---- Lending ------------------------------------------------------------------------------------------- */

static void take_back(sl__pg_transaction *t)
{
    bool final;
    t->lending = false;
    sl_error *error = look_at(t, &final);
    if (final)
        t->doomed = error;
    else
        t->first = error;
    enter_pipeline(t->line);
}

/* Also run when fn unwinds the stack. */
static void let_go(sl__pg_transaction **held)
{
    if ((*held)->lending)
        take_back(*held);
    sl__pg_let_go(*held);
}

sl_error *sl__pg_lend(sl__connection *connection, sl_lend_fn *fn, void *data)
{
    sl__pg_transaction *t SL_CLEANUP(let_go) = sl__pg_hold((sl__pg_transaction *)connection);
    sl_error *error = leave_pipeline(t);
    if (error)
        return error;
    sl__pg_line *line = t->line;
    line->lent = line->was_lent = true;
    sl__pg_watch_for(line, 0);
    line->pq->setnonblocking(line->conn, 0);
    t->done++; /* it cannot be done again from the start */
    t->lending = true;
    fn(line->conn, data);
    take_back(t);
    error = t->doomed ? t->doomed : t->first;
    if (!error && t->over)
        return sl__pg_error(t->pool, t->how.site, SL_EDATABASE, "the transaction ended while it was lent");
    return error ? sl_error_ref(error) : NULL;
}

/* ---- COPY -------------------------------------------------------------------------------------------- */

typedef struct copy {
    sl__pg_transaction *t;
    sl__pg_line *line;
    sl__statement statement; /* for messages */
    const sl_value *values;
    unsigned columns;
    size_t rows;
} copy;

/* The socket takes or gives more. May suspend. */
static sl_error *wait_socket(copy *c, int events)
{
    sl_error *error = sl__pg_wait_ready(c->line, events, c->t->base.deadline, c->statement.site);
    if (error && error->code == SL_EBUDGET)
        error = sl_error_cause(sl__pg_error(c->t->pool, c->statement.site, SL_EBUDGET,
                                            "COPY took longer than the transaction may"),
                               error);
    if (!error && !c->line->conn)
        error = sl__pg_lost_error(c->t->pool, &c->statement, NULL, c->line->lost_why);
    return error;
}

static sl_error *lost(copy *c)
{
    char why[256];
    sl__pg_first_line(c->line->pq->errorMessage(c->line->conn), why, sizeof why);
    return sl__pg_lost_error(c->t->pool, &c->statement, NULL, why);
}

/* May suspend. */
static sl_error *flush(copy *c)
{
    sl_error *error = NULL;
    int left;
    while (!error && (left = c->line->pq->flush(c->line->conn)) != 0) {
        if (left < 0)
            return lost(c);
        error = wait_socket(c, UV_READABLE | UV_WRITABLE);
        /* The server may have an error for us, and does not read on before we have read it. */
        if (!error && !sl__pg_take_in(c->line))
            error = lost(c);
    }
    return error;
}

/* The next result, or NULL with *ret_error NULL at the end. May suspend. */
static PGresult *next_result(copy *c, sl_error **ret_error)
{
    sl_error *error = NULL;
    while (!error && c->line->pq->isBusy(c->line->conn)) {
        error = wait_socket(c, UV_READABLE);
        if (!error && !sl__pg_take_in(c->line))
            error = lost(c);
    }
    *ret_error = error;
    return error ? NULL : c->line->pq->getResult(c->line->conn);
}

static sl_error *no_copy(const copy *c)
{
    return sl__pg_with_sql(
        sl__pg_error(c->t->pool, c->statement.site, SL_EINVAL, "this is no COPY … FROM STDIN"),
        &c->statement);
}

/* Reads what the server says until it has no more, or wants the data (`begin`). May suspend. */
static sl_error *read_answers(copy *c, bool begin, int64_t *ret_rows)
{
    sl_error *error = NULL, *wait_error = NULL;
    for (PGresult *result; (result = next_result(c, &wait_error));) {
        ExecStatusType status = c->line->pq->resultStatus(result);
        if (status == PGRES_COMMAND_OK && ret_rows)
            *ret_rows = strtoll(c->line->pq->cmdTuples(result), NULL, 10);
        if (status == PGRES_FATAL_ERROR && !error)
            error = sl__pg_server_error(c->t->pool, result, &c->statement, /* cancelled= */ false);
        c->line->pq->clear(result);
        if (status == PGRES_COPY_IN && begin && !error)
            return NULL;
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            sl_error_unref(error);
            return no_copy(c); /* the connection is given up: there would be no end of these */
        }
    }
    if (wait_error) {
        sl_error_unref(error);
        return wait_error;
    }
    return begin && !error ? no_copy(c) : error;
}

static sl_error *put_row(copy *c, sl_buffer *out, size_t row)
{
    for (unsigned i = 0; i < c->columns; i++) {
        if (i)
            sl_buffer_putc(out, '\t');
        const char *wrong = sl__pg_put_text(out, &c->values[row * c->columns + i]);
        if (wrong)
            return sl__pg_with_sql(sl__pg_error(c->t->pool, c->statement.site, SL_EINVAL,
                                                "value %u of row %zu %s", i + 1, row + 1, wrong),
                                   &c->statement);
    }
    sl_buffer_putc(out, '\n');
    if (out->size > INT32_MAX / 2)
        return sl__pg_error(c->t->pool, c->statement.site, SL_EINVAL, "row %zu is larger than 1 GiB",
                            row + 1);
    return NULL;
}

/* *ret_stopped: the server wants no more, because of an error that it will tell. May suspend. */
static sl_error *send_rows(copy *c, sl_buffer *out, bool *ret_stopped)
{
    sl_error *error = NULL;
    for (size_t row = 0; row < c->rows && !error && !*ret_stopped; row++) {
        error = put_row(c, out, row);
        if (error || (out->size < CHUNK && row + 1 < c->rows))
            continue;
        /* libpq takes all of it; what the socket does not take yet is waited for, so that there is never much
         * more than a chunk in memory. */
        *ret_stopped = c->line->pq->putCopyData(c->line->conn, out->data, (int)out->size) <= 0;
        if (!*ret_stopped)
            error = flush(c);
        out->size = 0;
    }
    return error;
}

/* May suspend. */
static sl_error *copy_rows(copy *c, int64_t *ret_rows)
{
    sl_buffer out = {0};
    bool stopped = false;
    const sl__libpq *pq = c->line->pq;
    if (!pq->sendQuery(c->line->conn, c->statement.sql))
        return lost(c);
    sl_error *error = flush(c);
    error = error ? error : read_answers(c, /* begin= */ true, NULL);
    if (error)
        return error;
    error = send_rows(c, &out, &stopped);
    sl_buffer_done(&out);
    if (error && error->code != SL_EINVAL)
        return error; /* a wait has failed */
    if (!stopped)
        stopped = pq->putCopyEnd(c->line->conn, error ? error->message : NULL) <= 0;
    sl_error *later = stopped ? NULL : flush(c);
    later = later ? later : read_answers(c, /* begin= */ false, ret_rows);
    if (!later && stopped)
        later = lost(c);
    if (error)
        sl_error_unref(later);
    return error ? error : later;
}

sl_error *sl__postgres_copy(sl__connection *connection, const char *sql, size_t size, const sl_value *values,
                            unsigned columns, size_t rows, int64_t *ret_rows)
{
    sl__pg_transaction *t SL_CLEANUP(let_go) = sl__pg_hold((sl__pg_transaction *)connection);
    char *text = sl_printf_heap("%.*s", (int)size, sql);
    copy c = {
        .t = t,
        .line = t->line,
        .statement = {.sql = text, .size = (uint32_t)size, .site = t->how.site},
        .values = values,
        .columns = columns,
        .rows = rows,
    };
    sl_error *error = leave_pipeline(t);
    if (!error) {
        t->done++;
        error = copy_rows(&c, ret_rows);
        if (error && !t->first)
            t->first = sl_error_ref(error);
        enter_pipeline(c.line);
    }
    free(text);
    return error;
}
