/* chat.c: rooms where people talk.
 *
 * A page shows the last messages of a room, and a form below says something in it. That is all that a browser
 * must be able to do. Where scripts run, static/chat.js posts the same form behind the page's back and
 * listens on a WebSocket, so that messages come by themselves. */
#include "pages.h"
#include "show.h"

enum {
    PAGE = 50,            /* messages on one page */
    ROOMS_SHOWN = 100,    /* in the list */
    ROOMS_MAX = 1000,     /* that there may be */
    HEARTBEAT_MS = 20000, /* a listener hears something at least so often */
    YEAR_S = 365 * 86400, /* how long a name is remembered */
    FORM_SIZE =
        256000, /* far more than a message may have, so that one that is too long can be shown again */
};

/* Somebody said something in this channel's room. It carries no message: listeners read that from the
 * database. */
SL_EVENT(message_said);

/* The fields of our forms: what was typed, and what was wrong with it (NULL: nothing). */
struct fields {
    const char *name, *room, *body;
};
struct form {
    struct fields typed, wrong;
};

/* ---- Who asks, and for what -------------------------------------------------------------------------- */

/* A name is taken on trust, as at a party, and kept in a cookie. "" is nobody yet. */
static const char *speaker(sl_request *req)
{
    const char *name = tidy_line(sl_cookie(req, "name"));
    return wrong_name(name) ? "" : name;
}

/* The room of this address, as it is spelt; 404 if there is none. */
static const char *this_room(sl_request *req)
{
    return sl_need(room, tidy_line(sl_urlvar(req, "room")))->name;
}

static const char *field(sl_request *req, const char *name)
{
    return sl_field(req, name) ?: "";
}

/* What somebody posted. It is read before anything is asked of the database: a request that writes keeps
 * others from writing from then on, and should not wait for a slow client meanwhile. */
static struct form posted(sl_request *req)
{
    return (struct form){.typed = {field(req, "name"), field(req, "room"), field(req, "body")}};
}

/* The sender's mark on a message. */
static const char *nonce_of(sl_request *req)
{
    const char *nonce = field(req, "nonce");
    return *nonce && strlen(nonce) <= NONCE_LIMIT ? nonce : sl_request_id(req);
}

/* ---- What was said ----------------------------------------------------------------------------------- */

/* The liveliest rooms, each with what was last said there. */
static struct listed_list lively_rooms(void)
{
    struct message_columns said = sl_alias(message, "said");
    sl_integer_expr last =
        sl_subselect(sl_find_as(message, said, sl_eq(said.room, room_.name)), sl_max(said.id));
    return sl_list(sl_select(listed, room_, SL_AS(.room = sl_whole(room_), .last = sl_whole(message_)),
                             sl_left_join(message_, sl_eq(message_.id, last)),
                             sl_newest(sl_coalesce(message_.sent, room_.made)), sl_ascending(room_.name),
                             sl_limit(ROOMS_SHOWN)));
}

/* The last messages before the one that ?before= names, the newest first: one more is read than shown, to
 * know whether there are older. */
static struct message_list messages_wanted(sl_request *req, const char *room, bool *ret_older)
{
    uint64_t before = sl_param_number(req, "before", INT64_MAX, INT64_MAX);
    struct message_list found =
        sl_list(sl_find(message, sl_eq(message_.room, room), sl_lt(message_.id, before),
                        sl_newest(message_.id), sl_limit(PAGE + 1)));
    *ret_older = found.count > PAGE;
    if (*ret_older)
        found.count = PAGE;
    return found;
}

/* Stores a message, once. The same mark with the same words is a message that came before, whose
 * acknowledgement was lost. With other words it is a page that the browser kept and that was used again, so
 * it is something new. */
static const struct message *add_once(sl_request *req, struct message *m)
{
    const struct message *stored = sl_add_unless(m, message_.room, message_.author, message_.nonce);
    if (!stored)
        stored = sl_one(sl_find(message, sl_eq(message_.room, m->room), sl_eq(message_.author, m->author),
                                sl_eq(message_.nonce, m->nonce), sl_eq(message_.body, m->body)));
    if (!stored) {
        m->nonce = sl_printf("%s %s", m->nonce, sl_request_id(req));
        stored = sl_add_unless(m, message_.room, message_.author, message_.nonce);
    }
    return stored;
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
    struct listed_list rooms = lively_rooms();
    return page(req, status, "front.html", form,
                json_pack("{s:s, s:o}", "room", "", "rooms", show_rooms(rooms)));
}

static sl_response *name_page(sl_request *req, int status, struct form form)
{
    return page(req, status, "name.html", form, json_object());
}

static sl_response *room_page(sl_request *req, int status, const char *name, struct form form)
{
    bool older;
    struct listed_list rooms = lively_rooms();
    struct message_list shown = messages_wanted(req, name, &older);
    return page(req, status, "room.html", form,
                json_pack("{s:s, s:i, s:o, s:o, s:b, s:b}", "room", name, "room_colour", colour_of(name),
                          "rooms", show_rooms(rooms), "messages", show_messages(shown), "older", older,
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
    const struct room *known = sl_load(room, name);
    if (known)
        return room_page(req, 200, known->name, (struct form){0});

    struct form form = {.typed.room = name, .wrong.room = wrong_room(name)};
    if (!form.wrong.room)
        form.wrong.room = sl_printf("There is no room called “%s” yet. You can make it.", name);
    return front_page(req, 404, form);
}

static sl_response *make_room(sl_request *req)
{
    struct form form = posted(req);
    struct room *made = sl_new(room, .name = form.typed.room);
    form.wrong.room = sl_error_of(sl_validate(made), "name");
    if (form.wrong.room)
        return front_page(req, 422, form);
    if (!sl_load(room, made->name) && sl_count(sl_find(room)) >= ROOMS_MAX) {
        form.wrong.room = sl_printf("There are %d rooms already, and no room for one more.", ROOMS_MAX);
        return front_page(req, 503, form);
    }
    sl_add_unless(made, room_.name);
    return sl_see_other(req, sl_url(req, "room", "room", made->name));
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
    const char *name = tidy_line(form.typed.name), *to = tidy_line(form.typed.room);
    form.wrong.name = wrong_name(name);
    if (form.wrong.name)
        return name_page(req, 422, form);
    const char *back = wrong_room(to) ? sl_url(req, "front") : sl_url(req, "room", "room", to);
    return remember(sl_see_other(req, back), name);
}

/* Says something. Who has no name yet gives it together with the first words. The message is committed
 * before anybody hears of it: the client by the answer, the others by the event. */
static sl_response *say(sl_request *req)
{
    struct form form = posted(req);
    const char *me = speaker(req), *nonce = nonce_of(req);
    struct message *m = sl_new(message, .room = this_room(req), .author = *me ? me : form.typed.name,
                               .nonce = nonce, .body = form.typed.body);
    sl_errors *errors = sl_validate(m);
    form.wrong = (struct fields){.name = sl_error_of(errors, "author"), .body = sl_error_of(errors, "body")};
    if (errors)
        return sl_prefers(req, "application/json") ? guarded(sl_json(req, 422, show_fields(form.wrong)))
                                                   : room_page(req, 422, m->room, form);

    const struct message *said = add_once(req, m);
    sl_emit_on_commit(sl_channel("room/%s", m->room), message_said, NULL);
    sl_response *answer = sl_prefers(req, "application/json")
                              ? guarded(sl_json(req, 200, show_message(said)))
                              : sl_see_other(req, sl_url(req, "room", "room", m->room));
    return remember(answer, m->author);
}

/* A page of older messages, for the script. */
static sl_response *messages(sl_request *req)
{
    bool older;
    struct message_list found = messages_wanted(req, this_room(req), &older);
    return guarded(sl_json_pack(req, 200, "{s:o, s:b}", "messages", show_messages(found), "older", older));
}

/* ---- Live -------------------------------------------------------------------------------------------- */

/* Sends what was said in a room after message number `last`, and gives the number of the last that was sent.
 * What is sent so comes in order, once, and without a gap, however the events come: from other instances,
 * late, or not at all. A page of messages is read before any is sent, so that a slow listener keeps no
 * question to the database open. */
static int64_t send_news(sl_websocket *ws, const char *room, int64_t last)
{
    struct message_list news;
    do {
        news = sl_list(sl_find(message, sl_eq(message_.room, room), sl_gt(message_.id, last),
                               sl_oldest(message_.id), sl_limit(PAGE)));
        for (size_t i = 0; i < news.count; i++) {
            sl_send_json(ws, "o", show_message(news.items[i]));
            last = news.items[i]->id;
        }
    } while (news.count == PAGE);
    return last;
}

/* Everything after message number ?after=, and then whatever is said. A connection may last for days, so each
 * round gives its memory back. */
static void live(sl_websocket *ws)
{
    const char *name = this_room(ws->request);
    int64_t last = (int64_t)sl_param_number(ws->request, "after", INT64_MAX, 0);
    if (last > sl_value_or(sl_find(message), sl_max(message_.id), 0)) {
        sl_websocket_close(ws, 4000, "this number is from another history: load the page again");
        return;
    }
    sl_inbox *inbox = sl_subscribe(sl_channel("room/%s", name), message_said);
    for (;;)
        SL_SCRATCH()
        {
            bool silent;
            last = send_news(ws, name, last);
            sl_next_within(inbox, HEARTBEAT_MS, &silent);
            if (silent)
                sl_send_text(ws, "{}"); /* the browser hears that we are still there */
        }
}

/* ---- The application --------------------------------------------------------------------------------- */

SL_APPLICATION(app)
{
    sl_models(room_model, message_model);
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
