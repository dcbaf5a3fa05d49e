/* rooms.c: rooms where people talk, as pages and as JSON. What is said is kept in memory. */
#include <silver/silver.h>

static json_t *messages_of(sl_request *req, const char *room)
{
    json_t *rooms = sl_app_get(sl_request_app(req));
    json_t *messages = json_object_get(rooms, room);
    if (!messages)
        sl_fail(SL_HTTP(404), "there is no room called %s", room);
    return messages;
}

static sl_response *index_page(sl_request *req)
{
    return sl_render(req, "rooms.html", "{s:O}", "rooms", sl_app_get(sl_request_app(req)));
}

static sl_response *room_page(sl_request *req)
{
    const char *room = sl_urlvar(req, "room");
    return sl_render(req, "room.html", "{s:s, s:O}", "room", room, "messages", messages_of(req, room));
}

static sl_response *say(sl_request *req)
{
    const char *room = sl_urlvar(req, "room");
    const char *author = sl_field(req, "author"), *body = sl_field(req, "body");
    json_t *messages = messages_of(req, room);
    if (!body || !body[0])
        sl_fail(SL_HTTP(400), "the message is empty");
    json_array_append_new(messages,
                          json_pack("{s:s, s:s}", "author", author ? author : "somebody", "body", body));
    return sl_see_other(req, sl_url(req, "room", "room", room));
}

static sl_response *as_json(sl_request *req)
{
    return sl_json_pack(req, 200, "{s:O}", "messages", messages_of(req, sl_urlvar(req, "room")));
}

static void free_rooms(void *rooms)
{
    json_decref(rooms);
}

SL_APPLICATION(app)
{
    sl_app_set(app, json_pack("{s:[], s:[]}", "lobby", "tea & cake"), free_rooms);
    sl_route(app, "index", "GET /", index_page);
    sl_route(app, "room", "GET /rooms/{room}", room_page);
    sl_route(app, "say", "POST /rooms/{room}", say, .max_body = 16384);
    sl_route(app, "json", "GET /rooms/{room}/messages.json", as_json);
}
