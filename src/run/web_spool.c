/* web_spool.c: bytes that wait, in order: some in memory, the rest in a nameless file.
 *
 * Memory is always older than the file: once something went to the file, all goes there until that was taken.
 * The file is a ring, so it never grows beyond its limit. A disk that is full is no failure: then there is no
 * file, and who puts waits for who takes. */
#include "run/web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define PIECE 65536 /* taken from the file at once */

/* ---- Files ------------------------------------------------------------------------------------------- */

sl_result spool_file(void)
{
    /* Not /tmp first: that is often memory. */
    const char *const places[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
    sl_result result = {0};
    for (size_t i = 0; i < sl_array_size(places); i++) {
        if (!places[i] || !*places[i])
            continue;
        sl_result_done(&result);
        result = sl_take(sl_file_open(places[i], O_TMPFILE | O_RDWR, 0600));
        if (result.kind == SL_VALUE)
            break;
    }
    return result;
}

bool spool_reserve(struct web *web, uint64_t size)
{
    if (size > web->manifest->workers.spool_size - web->spooled)
        return false;
    web->spooled += size;
    return true;
}

/* ---- Waiting ----------------------------------------------------------------------------------------- */

static void wait_at(sl_deferred **place)
{
    *place = sl_deferred_new(NULL, NULL);
    sl_await(*place);
}

static void wake(sl_deferred **place)
{
    sl_deferred *waiting = *place;
    *place = NULL;
    if (waiting)
        sl_fire(waiting, NULL, NULL);
}

/* ---- Putting ----------------------------------------------------------------------------------------- */

static uint64_t in_file(const struct spool *spool)
{
    return spool->put_at - spool->take_at;
}

bool spool_empty(const struct spool *spool)
{
    return spool->memory.size == 0 && in_file(spool) == 0;
}

/* The file is as large as what has ever waited in it; all of that is the spool's. */
static uint64_t on_disk(const struct spool *spool, uint64_t end)
{
    return end < spool->most ? end : spool->most;
}

static void give_up_file(struct spool *spool, const sl_error *error)
{
    spool->no_file = true;
    sl_warning("a response is not written down ahead of its client: %s", error->message);
}

static bool open_file(struct spool *spool)
{
    if (!spool->file.value && !spool->no_file) {
        sl_result opened = spool_file();
        if (opened.kind == SL_VALUE) {
            spool->file = opened;
        } else {
            give_up_file(spool, opened.error);
            sl_result_done(&opened);
        }
    }
    return !spool->no_file;
}

/* Writes what fits: how much. */
static size_t put_in_file(struct spool *spool, const char *data, size_t size)
{
    uint64_t room = spool->most - in_file(spool), at = spool->put_at % spool->most;
    uint64_t part = size < room ? size : room;
    if (part > spool->most - at)
        part = spool->most - at;
    if (part == 0 || spool->no_file)
        return 0;
    uint64_t more = on_disk(spool, spool->put_at + part) - on_disk(spool, spool->put_at);
    if (!open_file(spool) || !spool_reserve(spool->web, more))
        return 0;
    sl_error *error = NULL;
    sl_try(sl_file_write_at(spool->file.value, at, data, part), &error);
    if (error) {
        spool->web->spooled -= more;
        give_up_file(spool, error);
        return 0;
    }
    spool->put_at += part;
    return part;
}

static size_t put_some(struct spool *spool, const char *data, size_t size)
{
    if (in_file(spool) > 0 || spool->memory.size >= WEB_AHEAD)
        return put_in_file(spool, data, size);
    if (size > WEB_AHEAD - spool->memory.size)
        size = WEB_AHEAD - spool->memory.size;
    sl_buffer_put(&spool->memory, data, size);
    return size;
}

void spool_put(struct spool *spool, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        size_t part = 0;
        SL_SCRATCH()
        {
            part = put_some(spool, at, size);
            wake(&spool->taker);
            if (part == 0 && !spool_empty(spool)) /* it may have been emptied while the disk was tried */
                wait_at(&spool->putter);
        }
        at += part;
        size -= part;
    }
}

void spool_end(struct spool *spool)
{
    spool->ended = true;
    wake(&spool->taker);
}

/* ---- Taking ------------------------------------------------------------------------------------------ */

/* From the file into memory. */
static void read_back(struct spool *spool)
{
    uint64_t at = spool->take_at % spool->most, size = in_file(spool);
    if (size > spool->most - at)
        size = spool->most - at;
    sl_bytes *bytes = sl_await(sl_file_read_at(spool->file.value, at, size < PIECE ? size : PIECE));
    if (bytes->size == 0)
        sl_fail(SL_EIO, "a part of a response that was written down is gone");
    sl_buffer_put(&spool->memory, bytes->data, bytes->size);
    spool->take_at += bytes->size;
}

bool spool_take(struct spool *spool, sl_view *ret_view)
{
    spool->current.size = 0;
    while (spool->memory.size == 0) {
        if (in_file(spool) == 0 && spool->ended)
            return false;
        SL_SCRATCH()
        {
            if (in_file(spool) > 0)
                read_back(spool);
            else
                wait_at(&spool->taker);
        }
    }
    sl_buffer taken = spool->memory;
    spool->memory = spool->current;
    spool->current = taken;
    wake(&spool->putter);
    *ret_view = (sl_view){taken.data, taken.size};
    return true;
}

static void forget(sl_deferred **place)
{
    sl_deferred *waiting = *place;
    *place = NULL;
    if (waiting)
        sl_abandon(waiting);
}

void spool_done(struct spool *spool)
{
    if (spool->file.value)
        spool->web->spooled -= on_disk(spool, spool->put_at);
    sl_result_done(&spool->file);
    sl_buffer_done(&spool->memory);
    sl_buffer_done(&spool->current);
    forget(&spool->putter);
    forget(&spool->taker);
}
