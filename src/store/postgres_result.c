/* postgres_result.c: what a line is told.
 *
 * libpq answers in the order of asking, so the queue of commands says whose a result is. A command is over
 * when libpq gives NULL; a Sync is over with its one result (before which there may be an error). After a
 * failure the server skips everything up to the next Sync. */
#include "store/postgres_inside.h"

#include <stdio.h>

#define STRANGERS_MAX 16       /* times that prepared statements may be lost because strangers had the line */
#define ALREADY_FAILED "25P02" /* an earlier statement of the transaction did */

/* Whether the statement failed only because it is not prepared as we thought: behind a pooler, after
 * strangers had the line, or because a table changed. Makes sure that it does not happen again. */
static bool is_stale(sl__pg_line *line, const sl__pg_command *command, const PGresult *result)
{
    const char *state = sl__pg_sqlstate(line->pool, result);
    const char *message = line->pq->resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *function = line->pq->resultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    if (!command->prepared)
        return false;
    if (strcmp(state, "0A000") == 0 && function && strcmp(function, "RevalidateCachedQuery") == 0) {
        sl__pg_prepared_drop(line, command->prepared);
        line->cache.epoch++;
        return true;
    }
    if ((strcmp(state, "26000") != 0 && strcmp(state, "42P05") != 0) || !message ||
        !strstr(message, command->prepared->name))
        return false;
    if (command->prepared->failed && !command->prepared->failure)
        return true; /* it never came to be, as something before it failed */
    sl__pg_cache_clear(line);
    line->cache.epoch++;
    bool strangers = line->was_lent && line->pool->stale++ < STRANGERS_MAX;
    line->was_lent = false;
    if (!strangers && !line->pool->nameless) {
        line->pool->nameless = true;
        if (!line->pool->root)
            return true;
        SL_IN_ROOT(line->pool->root);
        sl_info("store %s: prepared statements do not stay with the connection, as behind pgbouncer in "
                "transaction "
                "mode: from now on statements are sent without names",
                line->pool->name);
    }
    return true;
}

static void single_failed(sl__pg_line *line, sl__pg_cursor *cursor, sl_error *error, bool stale)
{
    if (stale || error->code == SL_EBUDGET) /* the cancellation was for another */
        sl__pg_single_again(cursor, error);
    else
        sl__pg_cursor_done(cursor, error);
}

static void transaction_failed(sl__pg_transaction *t, const sl__pg_command *command, sl_error *error,
                               bool stale)
{
    if (stale && !t->restarted && !t->done && !t->closed && !t->doomed) {
        t->restart = true;
        sl_error_unref(error);
        return;
    }
    if (stale) {
        sl_error *conflict = sl__pg_error(t->pool, error->origin, SL_ECONFLICT,
                                          "a prepared statement was lost in the middle of the transaction");
        error = sl_error_hint(sl_error_cause(conflict, error),
                              "run the transaction again: sl_transact(…, .retries = 3)");
    }
    if (!t->first)
        t->first = sl_error_ref(error);
    if (command->cursor)
        sl__pg_cursor_done(command->cursor, error);
    else
        sl_error_unref(error);
}

/* A command that somebody or something depends on. */
static void command_failed(sl__pg_line *line, const sl__pg_command *command, const PGresult *result)
{
    sl__pg_cursor *cursor = command->cursor;
    sl__pg_transaction *t = line->user;
    if ((cursor && cursor->done) || (t && t->restart) || (!cursor && !t))
        return;
    bool stale = is_stale(line, command, result);
    const char *state = sl__pg_sqlstate(line->pool, result);
    if (cursor)
        snprintf(cursor->state, sizeof cursor->state, "%s", state);
    if (cursor && t && t->first && strcmp(state, ALREADY_FAILED) == 0) {
        sl__pg_cursor_done(cursor, sl__pg_not_carried_out(t, cursor));
        return;
    }
    sl_error *error = sl__pg_server_error(line->pool, result, cursor ? cursor->statement : NULL,
                                          line->cancelled || (t && t->doomed));
    if (t)
        transaction_failed(t, command, error, stale);
    else
        single_failed(line, cursor, error, stale);
}

/* The server's last words say more than that the connection was closed. */
static void note_farewell(sl__pg_line *line, const PGresult *result)
{
    char text[256];
    const char *severity = line->pq->resultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = line->pq->resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (line->lost_why || (severity && strcmp(severity, "ERROR") == 0))
        return;
    message = message ? message : line->pq->resultErrorMessage(result);
    line->lost_why = sl_strdup_heap(sl__pg_first_line(message, text, sizeof text));
}

/* A statement outside a transaction is committed by the Sync behind it. Whoever asked has heard that it
 * succeeded, as reads do. The Sync itself is still to be answered. */
static void sync_failed(sl__pg_line *line, sl__pg_command *command, const PGresult *result)
{
    const char *severity = line->pq->resultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = line->pq->resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    command->answered = false;
    if (!line->pool->root || !severity || strcmp(severity, "ERROR") != 0)
        return; /* else the connection is lost */
    SL_IN_ROOT(line->pool->root);
    sl_warning("store %s: what was run outside a transaction has failed at its end: %s", line->pool->name,
               message ? message : "?");
}

static void on_failure(sl__pg_line *line, sl__pg_command *command, PGresult *result)
{
    note_farewell(line, result);
    if (command->kind == SL__PG_SYNC)
        sync_failed(line, command, result);
    if (!*sl__pg_sqlstate(line->pool, result) && line->pq->status(line->conn) == CONNECTION_BAD) {
        line->pq->clear(result);
        sl__pg_lose(line, NULL); /* these were libpq's own words: all that wait hear of it */
        return;
    }
    if (command->kind == SL__PG_PREPARE) {
        /* Told when the statement's own turn comes. */
        command->prepared->failed = true;
        command->prepared->failure = result;
        sl__pg_prepared_drop(line, command->prepared);
        return;
    }
    bool untidy = line->tidying;
    if (command->kind == SL__PG_RUN && command->silent)
        sl_debug("store %s: %s", line->pool->name, line->pq->resultErrorMessage(result));
    else if (command->kind == SL__PG_RUN)
        command_failed(line, command,
                       command->prepared && command->prepared->failure ? command->prepared->failure : result);
    line->pq->clear(result);
    if (untidy)
        sl__pg_lose(line, "what strangers left in its session could not be undone");
}

/* It was not carried out, because something before it failed. */
static void on_skipped(sl__pg_line *line, sl__pg_command *command)
{
    sl__pg_cursor *cursor = command->cursor;
    if (command->kind == SL__PG_PREPARE) {
        command->prepared->failed = true;
        sl__pg_prepared_drop(line, command->prepared);
        return;
    }
    if (command->prepared && command->prepared->failure) {
        command_failed(line, command, command->prepared->failure);
        return;
    }
    if (!cursor || cursor->done)
        return;
    if (!line->user)
        sl__pg_single_again(cursor, NULL);
    else if (!line->user->restart)
        sl__pg_cursor_done(cursor, sl__pg_not_carried_out(line->user, cursor));
}

static void on_success(sl__pg_line *line, sl__pg_command *command, PGresult *result)
{
    sl__pg_transaction *t = line->user;
    command->succeeded = line->pq->resultStatus(result) != PGRES_SINGLE_TUPLE;
    if (t && command->statement && command->succeeded) {
        t->done++;
        t->first = sl_error_unref(t->first); /* it was rolled back to a savepoint */
    }
    if (command->cursor && !command->cursor->done && command->kind == SL__PG_RUN)
        sl__pg_cursor_result(command->cursor, result);
    else
        line->pq->clear(result);
}

static void on_result(sl__pg_line *line, sl__pg_command *command, PGresult *result)
{
    command->answered = true;
    line->odd = false;
    switch (line->pq->resultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
        line->pq->clear(result);
        if (command->kind == SL__PG_SYNC)
            sl__pg_pop(line);
        else
            sl__pg_lose(line, "libpq's answers are out of step");
        return;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_EMPTY_QUERY:
        on_success(line, command, result);
        return;
    case PGRES_PIPELINE_ABORTED:
        on_skipped(line, command);
        line->pq->clear(result);
        return;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        line->pq->clear(result);
        sl__pg_lose(line, "COPY cannot be run as a statement: lend the connection (sl_lend) to what does it");
        return;
    default:
        on_failure(line, command, result);
    }
}

/* libpq has no more results for the command. What was not told to have succeeded has not. */
static void on_end(sl__pg_line *line, sl__pg_command *command)
{
    sl__pg_cursor *cursor = command->cursor;
    if (!command->answered) {
        /* Once is no harm (libpq 14 did so after a Sync); twice it would go on for ever. */
        if (line->odd)
            sl__pg_lose(line, "libpq's answers are out of step");
        line->odd = true;
        return;
    }
    if (cursor && cursor->command == command) {
        cursor->command = NULL;
        cursor->line = NULL;
        if (!cursor->done && !cursor->queued && !(line->user && line->user->restart))
            sl__pg_cursor_done(cursor, command->succeeded ? NULL
                                                          : sl__pg_lost_error(line->pool, cursor->statement,
                                                                              NULL, line->lost_why));
    }
    sl__pg_pop(line);
}

/* All that was sent is answered. */
static void at_rest(sl__pg_line *line)
{
    if (line->state == SL__PG_TAKEN) {
        if (line->user && line->user->restart)
            sl__pg_restart(line->user);
        if (!line->first)
            sl__pg_wake(&line->drained);
    } else if (line->state == SL__PG_SHARED) {
        line->cancelled = line->cancel != NULL;
        sl__pg_offer_shared(line->pool);
    } else if (line->state == SL__PG_CLEANING) {
        sl__pg_clean_on(line);
    }
}

/* Takes the next result. False: there is none, or nobody to take it. */
static bool pump_once(sl__pg_line *line)
{
    sl__pg_command *command = line->first;
    if (!command) {
        line->pq->isBusy(line->conn); /* reads what comes at rest: notices, a farewell */
        return false;
    }
    if (!command->begun) {
        command->begun = true;
        if (command->stream)
            line->pq->setSingleRowMode(line->conn);
    }
    if (sl__pg_is_full(line) || line->pq->isBusy(line->conn))
        return false;
    PGresult *result = line->pq->getResult(line->conn);
    if (result)
        on_result(line, command, result);
    else
        on_end(line, command);
    return true;
}

void sl__pg_pump(sl__pg_line *line)
{
    if (!line->conn || line->outside)
        return;
    line->pumping = true; /* it is not freed meanwhile */
    while (line->conn && pump_once(line))
        continue;
    if (line->conn && !sl__pg_is_full(line) && line->pq->status(line->conn) == CONNECTION_BAD)
        sl__pg_lose(line, NULL);
    if (line->conn && !line->first)
        at_rest(line);
    line->pumping = false;
    if (line->orphan)
        sl__pg_line_free(line);
    else
        sl__pg_watch_on(line);
}

/* Rows that nobody steps to do not keep those after them waiting. */
void sl__pg_keep(sl__pg_line *line, const sl__pg_cursor *until)
{
    for (sl__pg_command *command = line->first; command; command = command->next) {
        if (until && command->cursor == until)
            return;
        if (command->cursor && command->stream)
            command->cursor->keep = true;
    }
}

sl_error *sl__pg_drain(sl__pg_line *line, uint64_t deadline, const sl_site *site)
{
    sl_error *error = NULL;
    sl__pg_keep(line, /* until= */ NULL);
    sl__pg_pump(line);
    while (!error && line->conn && line->first)
        error = sl__pg_wait_for(line->pool, &line->drained, deadline, site);
    if (!error && !line->conn)
        error = sl__pg_lost_error(line->pool, NULL, site, line->lost_why);
    return error;
}
