/* written.c: objects that were written may be changed on.
 *
 * Whoever got an object to write to has it until the transaction ends, and a query or sl_save may write it in
 * between. So after that it stays open: its snapshot becomes the image of what was written, and the session
 * looks at it again before it writes the next time. What differs is one more change. */
#include "store/store.h"

/* So many are looked at again before each query. Where there are more, that would be felt: then it is done
 * by sl_save and at the end. */
enum { LOOKED_AT = 1000 };

static void put_down(sl_session *session, sl_row *row)
{
    if (row->open)
        return;
    session->open = sl__list_grown(session->arena, session->open, session->open_count, &session->open_size,
                                   sizeof *session->open);
    session->open[session->open_count++] = row;
    row->open = true;
}

void sl__row_image(sl_session *session, sl_row *row)
{
    /* A savepoint may remember the snapshot that was: by it an object is found that has another key now. */
    if (!row->snapshot || session->transaction->savepoint)
        row->snapshot = sl_arena_alloc(session->arena, row->model->size);
    memcpy(row->snapshot, row, row->model->size);
    if (__builtin_expect(row->model->info->json != 0, 0))
        sl__json_copy(session, row->snapshot);
}

void sl__row_written(sl_session *session, sl_row *row)
{
    row->position = 0;
    sl__row_image(session, row);
    put_down(session, row);
}

void sl__row_unchanged(sl_session *session, sl_row *row)
{
    row->position = 0;
    put_down(session, row);
}

bool sl__row_edited(sl_row *row)
{
    if (!row->snapshot || row->position)
        return row->snapshot;
    sl__row_normalise(row);
    return sl__row_changes(row) != 0;
}

void sl__session_look_again(sl_session *session, bool all)
{
    if (session->open_count > LOOKED_AT && !all)
        return;
    for (uint32_t i = 0; i < session->open_count; i++) {
        sl_row *row = session->open[i];
        if (row->state == SL__ROW_STORED && !row->position && sl__row_edited(row))
            sl__row_todo(row->site, session, row);
    }
}
