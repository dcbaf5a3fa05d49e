/* written.c: objects that were written may be changed on.
 *
 * Whoever got an object to write to has it until the transaction ends, and a query or sl_save may write it in
 * between. So after that it stays open: its snapshot becomes the image of what was written, and the session
 * looks at it again before it writes the next time. What differs is one more change. */
#include "store/store.h"

#include <jansson.h>

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

/* An image has no image: there stands what JSON the object itself had, which is held for it. */
static json_t **held_of(const sl_row *row)
{
    return row->snapshot ? ((sl_row *)row->snapshot)->snapshot : NULL;
}

/* JSON may be changed in place: the image gets its own. */
static void copy_json(sl_session *session, sl_row *image, uint64_t columns)
{
    const sl__model_info *info = image->model->info;
    for (uint64_t left = info->json & columns; left; left &= left - 1) {
        json_t **member = (json_t **)((char *)image + info->all[__builtin_ctzll(left)].offset);
        *member = *member ? json_deep_copy(*member) : NULL;
    }
    sl__json_keep(session, image, columns);
}

void sl__row_image(sl_session *session, sl_row *row)
{
    uint64_t json = row->model->info->json;
    json_t **held = json ? held_of(row) : NULL;
    /* A savepoint may remember the snapshot that was: by it an object is found that has another key now. */
    if (!row->snapshot || session->transaction->savepoint)
        row->snapshot = sl_arena_alloc(session->arena, row->model->size);
    memcpy(row->snapshot, row, row->model->size);
    if (__builtin_expect(json == 0, 1))
        return;
    if (!held)
        held = sl_arena_zalloc(session->arena, (size_t)__builtin_popcountll(json) * sizeof *held);
    sl__json_hold(session, row, held);
    sl_row *image = row->snapshot;
    image->snapshot = held;
    copy_json(session, image, json);
}

void sl__row_image_lazy(sl_session *session, sl_row *row, unsigned column)
{
    sl_row *image = row->snapshot;
    size_t offset = row->model->info->all[column].offset;
    uint64_t bit = UINT64_C(1) << column;
    memcpy((char *)image + offset, (char *)row + offset, row->model->columns[column].size);
    *sl__nulls_of(image) = (*sl__nulls_of(image) & ~bit) | (*sl__nulls_of(row) & bit);
    image->loaded |= bit;
    copy_json(session, image, bit);
}

/* What was set to JSON that says the same as before is not written, but has it. */
static void hold_equal(sl_session *session, sl_row *row)
{
    if (__builtin_expect(row->model->info->json != 0, 0) && row->snapshot)
        sl__json_hold(session, row, held_of(row));
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
    hold_equal(session, row);
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
        if (row->state != SL__ROW_STORED || row->position)
            continue;
        if (sl__row_edited(row))
            sl__row_todo(row->site, session, row);
        else
            hold_equal(session, row);
    }
}
