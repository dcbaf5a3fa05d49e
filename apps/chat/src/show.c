/* show.c: rooms and messages as the templates and the script want them. */
#include "show.h"
#include "text.h"

#include <time.h>

enum { SAME_BREATH_MS = 5 * 60 * 1000 }; /* what somebody says within it stands under one name */

/* The first character, to stand in the circle beside somebody's messages. */
static const char *initial_of(const char *name)
{
    size_t size = 1;
    while (((unsigned char)name[size] & 0xc0) == 0x80)
        size++;
    return sl_arena_strndup(sl_task_arena(), name, size);
}

json_t *show_message(const struct message *m)
{
    return json_pack("{s:I, s:s, s:i, s:s, s:s, s:I, s:o}", "id", (json_int_t)m->id, "author", m->author,
                     "colour", colour_of(m->author), "initial", initial_of(m->author), "nonce", m->nonce,
                     "sent", (json_int_t)m->sent_ms / 1000, "pieces", pieces_of(m->body));
}

/* In the server's time zone. The script arranges the days of the reader's. */
static bool same_day(int64_t a_ms, int64_t b_ms)
{
    struct tm a, b;
    localtime_r(&(time_t){a_ms / 1000}, &a);
    localtime_r(&(time_t){b_ms / 1000}, &b);
    return a.tm_yday == b.tm_yday && a.tm_year == b.tm_year;
}

json_t *show_messages(const struct messages *messages)
{
    json_t *list = json_array();
    const struct message *before = NULL;
    for (size_t i = 0; i < messages->count; i++) {
        const struct message *m = &messages->items[i];
        bool new_day = !before || !same_day(before->sent_ms, m->sent_ms);
        bool follows = !new_day && strcmp(m->author, before->author) == 0 &&
                       m->sent_ms - before->sent_ms < SAME_BREATH_MS;
        json_t *shown = show_message(m);
        json_object_update_new(shown, json_pack("{s:b, s:b}", "new_day", new_day, "follows", follows));
        json_array_append_new(list, shown);
        before = m;
    }
    return list;
}

json_t *show_rooms(const struct rooms *rooms)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rooms->count; i++) {
        const struct room *r = &rooms->items[i];
        json_array_append_new(list, json_pack("{s:s, s:i, s:I, s:s?, s:s?}", "name", r->name, "colour",
                                              colour_of(r->name), "active", (json_int_t)r->active_ms / 1000,
                                              "author", r->author, "body", r->body));
    }
    return list;
}
