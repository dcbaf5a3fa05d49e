/* show.c: rooms and messages as the templates and the script want them. */
#include "show.h"

#include <time.h>

enum {
    SECOND = 1000000,           /* in microseconds, as all times of columns */
    SAME_BREATH = 300 * SECOND, /* what somebody says within it stands under one name */
};

/* The first character, to stand in the circle beside somebody's messages. */
static const char *initial_of(const char *name)
{
    size_t size = *name ? 1 : 0;
    while (((unsigned char)name[size] & 0xc0) == 0x80)
        size++;
    return sl_arena_strndup(sl_task_arena(), name, size);
}

json_t *show_message(const struct message *m)
{
    return json_pack("{s:I, s:s, s:i, s:s, s:s, s:I, s:o}", "id", (json_int_t)m->id, "author", m->author,
                     "colour", colour_of(m->author), "initial", initial_of(m->author), "nonce", m->nonce,
                     "sent", (json_int_t)m->sent / SECOND, "pieces", pieces_of(m->body));
}

/* In the server's time zone. The script arranges the days of the reader's. */
static bool same_day(int64_t a, int64_t b)
{
    struct tm first, second;
    localtime_r(&(time_t){a / SECOND}, &first);
    localtime_r(&(time_t){b / SECOND}, &second);
    return first.tm_yday == second.tm_yday && first.tm_year == second.tm_year;
}

json_t *show_messages(struct message_list newest_first)
{
    json_t *list = json_array();
    const struct message *before = NULL;
    for (size_t i = newest_first.count; i-- > 0;) {
        const struct message *m = newest_first.items[i];
        bool new_day = !before || !same_day(before->sent, m->sent);
        bool follows =
            !new_day && strcmp(m->author, before->author) == 0 && m->sent - before->sent < SAME_BREATH;
        json_t *shown = show_message(m);
        json_object_update_new(shown, json_pack("{s:b, s:b}", "new_day", new_day, "follows", follows));
        json_array_append_new(list, shown);
        before = m;
    }
    return list;
}

json_t *show_rooms(struct listed_list rooms)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rooms.count; i++) {
        const struct room *room = rooms.items[i]->room;
        const struct message *last = rooms.items[i]->last;
        int64_t active = last ? last->sent : room->made;
        json_array_append_new(list, json_pack("{s:s, s:i, s:I, s:s?, s:s?}", "name", room->name, "colour",
                                              colour_of(room->name), "active", (json_int_t)active / SECOND,
                                              "author", last ? last->author : NULL, "body",
                                              last ? last->body : NULL));
    }
    return list;
}
