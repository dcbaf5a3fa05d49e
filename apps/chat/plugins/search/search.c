/* search.c: the plug-in `search`. At its end stands all that it wants of the chat.
 *
 * The same shared object is loaded twice: by the chat's instances, which show the page and call the service,
 * and by the service's child, which has the index (service.c). */
#include "../../src/pages.h"
#include "index.h"

#include <stdio.h>

/* Messages after a hit on the page that its link leads to. */
enum { SEARCH_AFTER = 20 };

/* ---- The page ---------------------------------------------------------------------------------------- */

static json_t *show_pieces(const struct search_hit *hit)
{
    json_t *pieces = json_array();
    for (size_t i = 0; i < hit->pieces.count; i++)
        json_array_append_new(pieces, json_pack("{s:s, s:b}", "text", hit->pieces.items[i].text, "marked",
                                                hit->pieces.items[i].marked));
    return pieces;
}

static json_t *show_hits(const struct search_found *found)
{
    const struct chat_pages *chat = sl_provided(chat_pages);
    json_t *hits = json_array();
    for (size_t i = 0; i < found->hits.count; i++) {
        const struct search_hit *hit = &found->hits.items[i];
        if (hit->room)
            json_array_append_new(
                hits, json_pack("{s:I, s:I, s:s, s:s, s:i, s:I, s:o}", "id", (json_int_t)hit->id, "before",
                                (json_int_t)hit->id + SEARCH_AFTER, "room", hit->room, "author", hit->author,
                                "colour", chat->colour_of(hit->author), "sent",
                                (json_int_t)hit->sent / 1000000, "pieces", show_pieces(hit)));
    }
    return hits;
}

/* What is said instead of hits, and with which status. */
struct excuse {
    const char *sentence;
    int status;
};

static struct excuse excuse_for(const sl_error *error)
{
    sl_warning("a search failed: %s", error->message);
    if (error->code == SL_ETIMEDOUT)
        return (struct excuse){"This takes too long. Please say more exactly what to look for.", 503};
    return (struct excuse){"The search does not answer just now. Please try again in a moment.", 503};
}

static const struct search_found *find(const char *words, uint64_t page, struct excuse *excuse)
{
    static const struct search_found nothing;
    struct search_wanted wanted;
    search_parse(sl_task_arena(), words, &wanted);
    if (wanted.wrong) { /* one need not ask a child for that */
        *excuse = (struct excuse){wanted.wrong, 200};
        return &nothing;
    }
    sl_error *error;
    const struct search_found *found =
        sl_try(sl_call(search, query, words, (int64_t)(page - 1) * SEARCH_PAGE, SEARCH_PAGE), &error);
    *excuse = error ? excuse_for(error) : (struct excuse){found->wrong, 200};
    return error ? &nothing : found;
}

static sl_response *search_page(sl_request *req)
{
    const char *words = sl_param(req, "q") ?: "";
    bool asked = words[strspn(words, " ")];
    uint64_t page = sl_param_number(req, "page", SEARCH_COUNTED / SEARCH_PAGE, 1);
    page = page ? page : 1;
    struct excuse excuse = {.status = 200};
    const struct search_found *found = asked ? find(words, page, &excuse) : &(const struct search_found){0};
    bool more = (int64_t)page * SEARCH_PAGE < found->total;
    const struct chat_pages *chat = sl_provided(chat_pages);
    return chat->show(req, excuse.status, "search.html",
                      json_pack("{s:s, s:b, s:s?, s:I, s:b, s:o, s:I, s:I}", "looked_for", words, "asked",
                                asked, "excuse", excuse.sentence, "total", (json_int_t)found->total,
                                "more_than_total", found->more_than_total, "hits", show_hits(found),
                                "earlier_page", (json_int_t)(page - 1), "later_page",
                                (json_int_t)(more ? page + 1 : 0)));
}

/* ---- Keeping up -------------------------------------------------------------------------------------- */

SL_EVENT(message_said);

/* How long after a message the index learns of it, so that a room full of talk costs one call a second. A
 * search does not wait for that: it catches up by itself. */
enum { SEARCH_LAG_MS = 1000 };

static bool waiting; /* for that time to pass */

static void *catch_up(void *unused)
{
    sl_error *error;
    sl_try(sl_call_with(SL_CALL(.priority = SL_IDLE), search, catch_up, ), &error);
    bool ending =
        error && (error->code == SL_ECANCELED || error->code == SL_ECLOSED || error->code == SL_ENOSERVICE);
    if (error && !ending)
        sl_warning("the search did not catch up; it will with the next message, or search: %s",
                   error->message);
    return NULL;
}

static sl_result time_has_passed(sl_result result, void *unused)
{
    waiting = false;
    sl_background(catch_up, NULL);
    return result;
}

static sl_result on_message(const sl_told *told, void *plugin)
{
    if (!waiting)
        sl_forget(sl_then(sl_sleep(SEARCH_LAG_MS), time_has_passed, NULL, NULL, NULL));
    waiting = true;
    return sl_ok(NULL);
}

/* ---- silver run DIR reindex -------------------------------------------------------------------------- */

static int reindex(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(stderr, "reindex takes no arguments\n");
        return 2;
    }
    int64_t count = search_index_rebuild(search_index_path(), search_history_path());
    printf("%lld message%s in %s\n", (long long)count, count == 1 ? "" : "s", search_index_path());
    return 0;
}

SL_PLUGIN(search,
          SL_OFFERS(search, &search_methods, .open = search_open, .close = search_close, .start_ms = 300000),
          SL_ROUTE("search", "GET /search", search_page), SL_LISTENS("room", message_said, on_message),
          SL_COMMAND("reindex", reindex, "makes the index of the search anew from the history"));
