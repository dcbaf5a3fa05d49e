/* @NAME@.c: a guest book. Its entries are lines of JSON in one file, and its pages are made by templates.
 *
 * Each handler runs in a task: sl_await waits without stopping others, what sl_printf and the like give is
 * freed when the request ends, and a failure ends the handler and becomes an error page, so there is nothing
 * to check and nothing to free. */
#include <fcntl.h>
#include <silver/silver.h>

#define AUTHOR_MAX 64
#define TEXT_MAX 1000

static const char *book(sl_request *req)
{
    return sl_printf("%s/entries.jsonl", sl_config(sl_request_app(req), "FILES"));
}

/* How many characters this UTF-8 has, counting the end of a line as one, as a browser's maxlength does. */
static int characters(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += (*text & 0xc0) != 0x80 && *text != '\r';
    return count;
}

/* Why this cannot stand in the book, as a sentence for who wrote it; or NULL. */
static const char *wrong(const char *author, const char *text)
{
    if (!author || !*author || !text || !*text)
        return "Please give your name and a few words.";
    if (characters(author) > AUTHOR_MAX)
        return sl_printf("A name may have %d characters.", AUTHOR_MAX);
    if (strcmp(author, ".") == 0 || strcmp(author, "..") == 0) /* they mean something else in a path */
        return "Please give a name that is more than dots.";
    if (characters(text) > TEXT_MAX)
        return sl_printf("An entry may have %d characters.", TEXT_MAX);
    return NULL;
}

/* The entries, newest first; only those by `author` unless it is NULL. Lines that nobody could have signed,
 * because they were written by other hands, are passed over: one must not spoil the book. */
static json_t *entries(sl_request *req, const char *author)
{
    json_t *found = json_array();
    sl_error *error;
    sl_bytes *file = sl_try(sl_file_read(book(req), 0), &error);
    if (!file && error->code == SL_ENOENT)
        return found; /* nobody has signed yet */
    if (!file)
        sl_fail_again(error);
    for (const char *line = file->data, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *entry = json_loadb(line, (size_t)(end - line), 0, NULL);
        const char *by = json_string_value(json_object_get(entry, "author"));
        const char *text = json_string_value(json_object_get(entry, "text"));
        if (!wrong(by, text) && (!author || strcmp(by, author) == 0)) {
            json_object_set_new(entry, "url", json_string(sl_url(req, "author", "author", by)));
            json_array_insert(found, 0, entry);
        }
        json_decref(entry);
    }
    return found;
}

static sl_response *page(sl_request *req, const char *author, const char *text, const char *complaint)
{
    return sl_render(req, "index.html", "{s:o, s:s, s:s, s:s}", "entries", entries(req, NULL), "author",
                     author, "text", text, "complaint", complaint);
}

static sl_response *index_page(sl_request *req)
{
    return page(req, "", "", "");
}

static sl_response *sign(sl_request *req)
{
    const char *author = sl_field(req, "author"), *text = sl_field(req, "text");
    const char *complaint = wrong(author, text);
    if (complaint)
        return sl_set_status(page(req, author ?: "", text ?: "", complaint), 422);

    json_t *entry = json_pack("{s:s, s:s}", "author", author, "text", text);
    char *line = json_dumps(entry, JSON_COMPACT);
    json_decref(entry);
    sl_defer(free, line);
    const char *whole = sl_printf("%s\n", line);

    sl_file *file = sl_await(sl_file_open(book(req), O_WRONLY | O_CREAT | O_APPEND, 0644));
    sl_await(sl_file_write_at(file, 0, whole, strlen(whole))); /* O_APPEND: at the end, whoever else writes */
    return sl_see_other(req, sl_url(req, "index"));
}

static sl_response *author_page(sl_request *req)
{
    const char *author = sl_urlvar(req, "author");
    json_t *found = entries(req, author);
    if (json_array_size(found) == 0) {
        json_decref(found);
        sl_fail(SL_HTTP(404), "%s has not signed", author);
    }
    return sl_render(req, "author.html", "{s:s, s:o}", "author", author, "entries", found);
}

SL_APPLICATION(app)
{
    sl_route(app, "index", "GET /", index_page);
    sl_route(app, "sign", "POST /", sign);
    sl_route(app, "author", "GET /by/{author}", author_page);
}
