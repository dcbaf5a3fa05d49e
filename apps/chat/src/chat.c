/* chat.c: rooms where people talk.
 *
 * A page shows the last messages of a room, and a form below says something in it. That is all that a browser
 * must be able to do. Where scripts run, static/chat.js posts the same form behind the page's back and
 * listens on a WebSocket, so that messages come by themselves. */
#include "pages.h"
#include "show.h"
#include "text.h"

enum {
    PAGE = 50,            /* messages on one page */
    ROOMS = 100,          /* rooms in the list */
    HEARTBEAT_MS = 20000, /* a listener hears something at least so often */
    YEAR_S = 365 * 86400, /* how long a name is remembered */
    FORM_SIZE =
        256000, /* far more than a message may have, so that one that is too long can be shown again */
};

/* Somebody said something in this channel's room. It carries no message: listeners read that from the
 * history. */
SL_EVENT(message_said);

/* The fields of our forms: what was typed, and what was wrong with it (NULL: nothing). */
struct fields {
    const char *name, *room, *body;
};
struct form {
    struct fields typed, wrong;
};

/* ---- Who asks, and for what -------------------------------------------------------------------------- */

static history *book(sl_request *req)
{
    return sl_app_get(sl_request_app(req));
}

/* A name is taken on trust, as at a party, and kept in a cookie. "" is nobody yet. */
static const char *speaker(sl_request *req)
{
    const char *name = tidy_line(sl_cookie(req, "name"));
    return wrong_name(name) ? "" : name;
}

static const char *this_room(sl_request *req)
{
    const char *name = tidy_line(sl_urlvar(req, "room"));
    const char *room = history_room(book(req), name);
    if (!room)
        sl_fail(SL_HTTP(404), "there is no room called %s", name);
    return room;
}

/* The fields of a form that somebody posted on one of our pages. */
static struct form posted(sl_request *req)
{
    struct form form = {0};
    form.typed.name = tidy_line(sl_field(req, "name"));
    form.typed.room = tidy_line(sl_field(req, "room"));
    form.typed.body = tidy_lines(sl_field(req, "body"));
    return form;
}

/* ---- Pages ------------------------------------------------------------------------------------------- */

static sl_response *guarded(sl_response *res)
{
    sl_set_header(
        res, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
    sl_set_header(res, "X-Content-Type-Options", "nosniff");
    sl_set_header(res, "Referrer-Policy", "same-origin");
    return sl_set_header(res, "Cache-Control", "no-store");
}

static json_t *show_fields(struct fields fields)
{
    return json_pack("{s:s?, s:s?, s:s?}", "name", fields.name, "room", fields.room, "body", fields.body);
}

/* The plug-in `search` may be left out of app.ini: then nothing leads to it. */
static bool can_search(void)
{
    return sl_plugin_get(sl_root_current(), "search");
}

/* What every template is given, besides `data`. */
static sl_response *page(sl_request *req, int status, const char *template, struct form form, json_t *data)
{
    const char *me = speaker(req);
    json_t *common = json_pack("{s:s, s:i, s:s, s:b, s:s, s:o, s:o}", "me", me, "my_colour", colour_of(me),
                               "nonce", sl_request_id(req), "can_search", can_search(), "looked_for", "",
                               "typed", show_fields(form.typed), "wrong", show_fields(form.wrong));
    json_object_update_missing_new(data, common);
    return guarded(sl_set_status(sl_render_json(req, template, data), status));
}

static sl_response *front_page(sl_request *req, int status, struct form form)
{
    struct rooms rooms = history_rooms(book(req), ROOMS);
    return page(req, status, "front.html", form,
                json_pack("{s:s, s:o}", "room", "", "rooms", show_rooms(&rooms)));
}

static sl_response *name_page(sl_request *req, int status, struct form form)
{
    return page(req, status, "name.html", form, json_object());
}

/* The last messages before the one that ?before= names: one more is read than shown, to know whether there
 * are older. */
static struct messages messages_wanted(sl_request *req, const char *room, bool *ret_older)
{
    struct messages found = history_before(
        book(req), room, (int64_t)sl_param_number(req, "before", INT64_MAX, INT64_MAX), PAGE + 1);
    *ret_older = found.count > PAGE;
    if (*ret_older)
        found = (struct messages){.count = PAGE, .items = found.items + 1};
    return found;
}

static sl_response *room_page(sl_request *req, int status, const char *name, struct form form)
{
    struct rooms rooms = history_rooms(book(req), ROOMS);
    bool older;
    struct messages shown = messages_wanted(req, name, &older);
    return page(req, status, "room.html", form,
                json_pack("{s:s, s:i, s:o, s:o, s:b, s:b}", "room", name, "room_colour", colour_of(name),
                          "rooms", show_rooms(&rooms), "messages", show_messages(&shown), "older", older,
                          "is_newest", !sl_param(req, "before")));
}

/* What plug-ins are provided with (pages.h). */
static sl_response *plain_page(sl_request *req, int status, const char *template, json_t *data)
{
    return page(req, status, template, (struct form){0}, data);
}
static const struct chat_pages pages = {.show = plain_page, .colour_of = colour_of};

/* ---- What people do ---------------------------------------------------------------------------------- */

static sl_response *front(sl_request *req)
{
    return front_page(req, 200, (struct form){0});
}

static sl_response *room(sl_request *req)
{
    const char *name = tidy_line(sl_urlvar(req, "room"));
    const char *known = history_room(book(req), name);
    if (known)
        return room_page(req, 200, known, (struct form){0});

    struct form form = {.typed.room = name, .wrong.room = wrong_room(name)};
    if (!form.wrong.room)
        form.wrong.room = sl_printf("There is no room called “%s” yet. You can make it.", name);
    return front_page(req, 404, form);
}

static sl_response *make_room(sl_request *req)
{
    struct form form = posted(req);
    form.wrong.room = wrong_room(form.typed.room);
    if (form.wrong.room)
        return front_page(req, 422, form);

    sl_error *error;
    sl_try(history_make_room(book(req), form.typed.room), &error);
    if (error && error->code == SL_EBUSY) {
        form.wrong.room = error->message;
        return front_page(req, 503, form);
    }
    if (error)
        sl_fail_again(error);
    return sl_see_other(req, sl_url(req, "room", "room", form.typed.room));
}

static sl_response *remember(sl_response *res, const char *name)
{
    return sl_set_cookie(res, "name", name, .max_age_s = YEAR_S);
}

static sl_response *ask_name(sl_request *req)
{
    const char *room_to_return_to = tidy_line(sl_param(req, "room"));
    return name_page(req, 200, (struct form){.typed = {.name = speaker(req), .room = room_to_return_to}});
}

static sl_response *take_name(sl_request *req)
{
    struct form form = posted(req);
    form.wrong.name = wrong_name(form.typed.name);
    if (form.wrong.name)
        return name_page(req, 422, form);
    const char *known = history_room(book(req), form.typed.room);
    const char *back = known ? sl_url(req, "room", "room", known) : sl_url(req, "front");
    return remember(sl_see_other(req, back), form.typed.name);
}

/* Says something. Who has no name yet gives it together with the first words. */
static sl_response *say(sl_request *req)
{
    struct form form = posted(req);
    const char *where = this_room(req), *author = speaker(req), *nonce = sl_field(req, "nonce");
    if (!*author) {
        author = form.typed.name;
        form.wrong.name = wrong_name(author);
    }
    form.wrong.body = wrong_body(form.typed.body);
    if (form.wrong.name || form.wrong.body)
        return sl_prefers(req, "application/json") ? guarded(sl_json(req, 422, show_fields(form.wrong)))
                                                   : room_page(req, 422, where, form);

    if (!nonce || !*nonce || strlen(nonce) > NONCE_LIMIT)
        nonce = sl_request_id(req);
    struct message *said = sl_await(history_add(book(req), where, author, nonce, form.typed.body));
    sl_emit(sl_channel("room/%s", where), message_said, NULL);

    sl_response *answer = sl_prefers(req, "application/json")
                              ? guarded(sl_json(req, 200, show_message(said)))
                              : sl_see_other(req, sl_url(req, "room", "room", where));
    return remember(answer, author);
}

/* A page of older messages, for the script. */
static sl_response *messages(sl_request *req)
{
    bool older;
    struct messages found = messages_wanted(req, this_room(req), &older);
    return guarded(sl_json_pack(req, 200, "{s:o, s:b}", "messages", show_messages(&found), "older", older));
}

/* ---- Live -------------------------------------------------------------------------------------------- */

struct listener {
    sl_websocket *ws;
    const char *room;
    int64_t last; /* the number of the last message that was sent */
};

/* Sends what the history has after the last message sent. What is sent so comes in order, once, and without a
 * gap, however the events come: from other instances, late, or not at all. */
static void send_news(struct listener *l)
{
    struct messages news;
    do {
        news = history_after(book(l->ws->request), l->room, l->last, PAGE);
        for (size_t i = 0; i < news.count; i++) {
            sl_send_json(l->ws, "o", show_message(&news.items[i]));
            l->last = news.items[i].id;
        }
    } while (news.count == PAGE);
}

/* Everything after message number ?after=, and then whatever is said. A connection may last for days, so each
 * round gives its memory back. */
static void live(sl_websocket *ws)
{
    struct listener listener = {.ws = ws, .room = this_room(ws->request)};
    listener.last = (int64_t)sl_param_number(ws->request, "after", INT64_MAX, 0);
    if (listener.last > history_newest(book(ws->request))) {
        sl_websocket_close(ws, 4000, "this number is from another history: load the page again");
        return;
    }
    sl_inbox *inbox = sl_subscribe(sl_channel("room/%s", listener.room), message_said);
    for (;;)
        SL_SCRATCH()
        {
            bool silent;
            send_news(&listener);
            sl_next_within(inbox, HEARTBEAT_MS, &silent);
            if (silent)
                sl_send_text(ws, "{}"); /* the browser hears that we are still there */
        }
}

/* ---- The application --------------------------------------------------------------------------------- */

SL_APPLICATION(app)
{
    const char *path = sl_config(app, "SQLITE_PATH");
    if (!path)
        sl_fail_error(sl_error_hint(sl_error_new(SL_ECONFIG, "the chat has no database"),
                                    "write `service.sqlite =` under [production] in app.ini"));
    sl_app_set(app, history_open(path), history_close);
    sl_check(sl_object_add(sl_root_object(sl_root_current()), chat_pages, (struct chat_pages *)&pages,
                           /* free_facet= */ NULL),
             "another part of this application provides the chat's pages");

    sl_route(app, "front", "GET /", front);
    sl_route(app, "make_room", "POST /rooms", make_room, .max_body = FORM_SIZE);
    sl_route(app, "room", "GET /rooms/{room}", room);
    sl_route(app, "say", "POST /rooms/{room}", say, .max_body = FORM_SIZE);
    sl_route(app, "messages", "GET /rooms/{room}/messages", messages);
    sl_route(app, "live", "GET /rooms/{room}/live", live);
    sl_route(app, "ask_name", "GET /name", ask_name);
    sl_route(app, "take_name", "POST /name", take_name, .max_body = FORM_SIZE);
}
