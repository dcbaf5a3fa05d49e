/* postgres_line.c: a connection to the server: its socket, the commands that are sent, its end. */
#include "store/postgres_inside.h"

#include <stdio.h>
#include <stdlib.h>

sl__pg_line *sl__pg_line_new(sl__postgres *pool)
{
    sl__pg_line *line = sl_calloc(1, sizeof *line);
    line->pool = pool;
    line->pq = &pool->pq;
    line->last = &line->first;
    line->state = SL__PG_CONNECTING;
    line->next = pool->lines;
    line->link = &pool->lines;
    if (line->next)
        line->next->link = &line->next;
    pool->lines = line;
    return line;
}

void sl__pg_line_free(sl__pg_line *line)
{
    *line->link = line->next;
    if (line->next)
        line->next->link = line->link;
    free(line->lost_why);
    free(line);
}

/* ---- The socket ---------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void sl__pg_watch_on(sl__pg_line *line)
{
    sl__pg_watch_for(line, (sl__pg_is_full(line) ? 0 : UV_READABLE) | (line->blocked ? UV_WRITABLE : 0));
}

/* A sealed record of up to 16 kB is opened as a whole, and libpq takes at least 8 of it: what is left then
 * makes the socket readable no more, so it is taken at once. */
bool sl__pg_take_in(sl__pg_line *line)
{
    return line->pq->consumeInput(line->conn) && (!line->sealed || line->pq->consumeInput(line->conn));
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    sl__pg_line *line = poll->data;
    if (line->state == SL__PG_CONNECTING || line->outside) {
        sl__pg_watch_for(line, 0);
        sl__pg_wake(&line->ready);
        return;
    }
    if (status < 0) {
        line->events = 0; /* libuv has stopped; libpq finds out why, after the server's last words */
        line->blocked = false;
        events = UV_READABLE;
    }
    if (events & UV_WRITABLE && !sl__pg_flush(line))
        return;
    if (events & UV_READABLE && !sl__pg_is_full(line))
        sl__pg_take_in(line); /* a failure shows in the status, after what came before it */
    sl__pg_pump(line);
}

int sl__pg_watch(sl__pg_line *line, int socket)
{
    if (line->poll)
        uv_close((uv_handle_t *)line->poll, on_closed);
    line->poll = NULL;
    line->events = 0;
    if (socket < 0)
        return 0;
    uv_poll_t *poll = sl_malloc(sizeof *poll);
    int code = uv_poll_init(sl_loop_uv(line->pool->loop), poll, socket);
    if (code < 0) {
        free(poll);
        return code;
    }
    poll->data = line;
    line->poll = poll;
    return 0;
}

void sl__pg_watch_for(sl__pg_line *line, int events)
{
    uv_handle_t *handle = (uv_handle_t *)line->poll;
    if (!handle)
        return;
    /* A connection at rest does not keep the loop. */
    if (line->first || line->state == SL__PG_CONNECTING || line->outside)
        uv_ref(handle);
    else
        uv_unref(handle);
    if (events == line->events)
        return;
    line->events = events;
    if (events)
        uv_poll_start(line->poll, events, on_ready);
    else
        uv_poll_stop(line->poll);
}

sl_error *sl__pg_wait_ready(sl__pg_line *line, int events, uint64_t deadline, const sl_site *site)
{
    sl__pg_watch_for(line, events);
    return sl__pg_wait_for(line->pool, &line->ready, deadline, site);
}

/* ---- Sending ------------------------------------------------------------------------------------------- */

sl__pg_command *sl__pg_push(sl__pg_line *line, sl__pg_kind kind, sl__pg_cursor *cursor,
                            sl__pg_prepared *prepared)
{
    sl__postgres *pool = line->pool;
    sl__pg_command *command = pool->free_commands;
    if (command)
        pool->free_commands = command->next;
    else
        command = sl_malloc(sizeof *command);
    *command = (sl__pg_command){.kind = kind, .cursor = cursor, .prepared = prepared};
    if (prepared)
        prepared->uses++;
    *line->last = command;
    line->last = &command->next;
    line->unsynced = kind == SL__PG_SYNC ? 0 : line->unsynced + 1;
    if (kind != SL__PG_SYNC)
        sl__pg_unsaid(line);
    return command;
}

void sl__pg_pop(sl__pg_line *line)
{
    sl__pg_command *command = line->first;
    line->first = command->next;
    line->answered++;
    if (!line->first)
        line->last = &line->first;
    sl__pg_prepared_release(line, command->prepared);
    command->next = line->pool->free_commands;
    line->pool->free_commands = command;
}

bool sl__pg_say(sl__pg_line *line, const char *sql, bool silent)
{
    if (!line->pq->sendQueryParams(line->conn, sql, 0, NULL, NULL, NULL, NULL, 1)) {
        sl__pg_lose(line, NULL);
        return false;
    }
    sl__pg_push(line, SL__PG_RUN, NULL, NULL)->silent = silent;
    return true;
}

static uint64_t key_of(uint64_t shape, const Oid *types, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        shape = (shape ^ types[i]) * UINT64_C(0x9E3779B97F4A7C15) ^ shape >> 29;
    return shape;
}

/* Finds the statement among those that the line has prepared, or prepares it. NULL: the line is lost. */
static sl__pg_prepared *prepare(sl__pg_line *line, const sl__statement *statement)
{
    const Oid *types = line->pool->parameters.types;
    uint64_t key = key_of(statement->shape, types, statement->count);
    sl__pg_prepared *prepared = sl__pg_prepared_find(&line->cache, key, statement, types);
    if (prepared)
        return prepared;
    prepared = sl__pg_prepared_add(&line->cache, key, statement, types);
    if (!line->pq->sendPrepare(line->conn, prepared->name, prepared->sql, (int)statement->count, types))
        return NULL;
    sl__pg_push(line, SL__PG_PREPARE, NULL, prepared);
    line->pool->counts.prepares++;
    return prepared;
}

static bool send_encoded(sl__pg_line *line, const sl__statement *s, sl__pg_prepared **ret_prepared)
{
    const sl__pg_parameters *p = &line->pool->parameters;
    *ret_prepared = NULL;
    if (!s->shape || line->pool->nameless)
        return line->pq->sendQueryParams(line->conn, s->sql, (int)s->count, p->types, p->values, p->lengths,
                                         p->formats, 1);
    return (*ret_prepared = prepare(line, s)) &&
           line->pq->sendQueryPrepared(line->conn, (*ret_prepared)->name, (int)s->count, p->values,
                                       p->lengths, p->formats, 1);
}

sl_error *sl__pg_send(sl__pg_line *line, sl__pg_cursor *cursor)
{
    sl__postgres *pool = line->pool;
    const sl__statement *statement = cursor->statement;
    sl__pg_prepared *prepared;
    sl_error *error = sl__pg_encode(pool, statement);
    if (error)
        return error;
    bool sent = send_encoded(line, statement, &prepared);
    sl__pg_encoded_done(pool, statement);
    if (!sent) {
        char why[256];
        sl__pg_first_line(line->pq->errorMessage(line->conn), why, sizeof why);
        sl__pg_lose(line, why);
        return sl__pg_lost_error(pool, statement, NULL, why);
    }
    sl__pg_command *command = sl__pg_push(line, SL__PG_RUN, cursor, prepared);
    command->statement = statement != &cursor->own;
    command->stream = command->statement && !statement->quick && !statement->kept;
    cursor->command = command;
    cursor->line = line;
    pool->counts.runs++;
    return NULL;
}

bool sl__pg_sync(sl__pg_line *line)
{
    if (!line->unsynced)
        return true;
    if (!line->pq->pipelineSync(line->conn)) {
        sl__pg_lose(line, NULL);
        return false;
    }
    sl__pg_push(line, SL__PG_SYNC, NULL, NULL);
    line->pool->counts.syncs++;
    return true;
}

bool sl__pg_flush(sl__pg_line *line)
{
    if (!sl__pg_sync(line))
        return false;
    int left = line->pq->flush(line->conn);
    if (left < 0) {
        sl__pg_lose(line, NULL);
        return false;
    }
    line->blocked = left > 0;
    sl__pg_watch_on(line);
    return true;
}

/* ---- The end ------------------------------------------------------------------------------------------- */

static void leave_lists(sl__pg_line *line)
{
    for (sl__pg_line **at = &line->pool->idle; *at; at = &(*at)->next_idle)
        if (*at == line) {
            *at = line->next_idle;
            break;
        }
    for (sl__pg_line **at = &line->pool->unsaid; *at; at = &(*at)->next_unsaid)
        if (*at == line) {
            *at = line->next_unsaid;
            break;
        }
    line->unsaid = false;
}

static void fail_all(sl__pg_line *line, const char *why)
{
    while (line->first) {
        sl__pg_cursor *cursor = line->first->cursor;
        if (cursor && !cursor->done)
            sl__pg_cursor_done(cursor, sl__pg_lost_error(line->pool, cursor->statement, NULL, why));
        if (cursor) {
            cursor->command = NULL;
            cursor->line = NULL;
        }
        sl__pg_pop(line);
    }
    line->unsynced = 0;
    /* Those that were to be sent again. */
    for (sl__pg_cursor *cursor = line->user ? line->user->cursors : NULL; cursor; cursor = cursor->next)
        if (!cursor->done)
            sl__pg_cursor_done(cursor, sl__pg_lost_error(line->pool, cursor->statement, NULL, why));
}

void sl__pg_lose(sl__pg_line *line, const char *why)
{
    char text[256];
    sl__postgres *pool = line->pool;
    PGconn *conn = line->conn;
    bool taken = line->state == SL__PG_TAKEN, shared = line->state == SL__PG_SHARED;
    if (!conn)
        return;
    why = why              ? why
          : line->lost_why ? line->lost_why
                           : sl__pg_first_line(line->pq->errorMessage(conn), text, sizeof text);
    if (!line->lost_why)
        line->lost_why = sl_strdup_heap(why); /* for those who have the line */
    line->conn = NULL;
    line->state = SL__PG_LOST;
    leave_lists(line);
    sl__pg_watch(line, -1);
    sl__pg_alarm_stop(&line->patience);
    sl__pg_cancel_forget(line->cancel);
    line->cancel = NULL;
    fail_all(line, why);
    sl__pg_cache_clear(line);
    line->pq->finish(conn);
    pool->count--;
    if (shared) {
        pool->shared = NULL;
        sl__pg_singles_lost(pool, why);
    }
    sl__pg_wake(&line->ready);
    sl__pg_wake(&line->drained);
    sl__pg_vacancy(pool);
    line->orphan = !taken;
    if (line->orphan && !line->pumping)
        sl__pg_line_free(line);
}
