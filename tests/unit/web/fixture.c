/* fixture.c: see fixture.h. What belongs to a connection (the body, the scheme, the peer) is wrapped at link
 * time. */

#include "fixture.h"

#include "http/url.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *__wrap_sl_body(sl_request *req, size_t max, size_t *ret_size);
const char *__wrap_sl_scheme(const sl_request *req);
const char *__wrap_sl_peer(const sl_request *req);
const char *__wrap_sl_request_id(const sl_request *req);
sl_response *__wrap_sl_websocket_accept(sl_request *req, sl_websocket_fn *handler,
                                        const sl_websocket_options *options);

/* The request first, so that the wrapped functions find the rest. */
typedef struct driven {
    sl_request req;
    const ask *how;
    const char *line;
    char id[17];
    answer *answer;
} driven;

const char *__wrap_sl_body(sl_request *req, size_t max, size_t *ret_size)
{
    const driven *d = (const driven *)req;
    const char *body = d->how->body ? d->how->body : "";
    size_t size = d->how->body_size ? d->how->body_size : strlen(body);
    if (max && size > max)
        sl_fail(SL_HTTP(413), "the body is larger than %zu bytes", max);
    *ret_size = size;
    return body;
}

const char *__wrap_sl_scheme(const sl_request *req)
{
    return ((const driven *)req)->how->https ? "https" : "http";
}

const char *__wrap_sl_peer(const sl_request *req)
{
    return "192.0.2.7";
}

const char *__wrap_sl_request_id(const sl_request *req)
{
    return ((const driven *)req)->id;
}

sl_response *__wrap_sl_websocket_accept(sl_request *req, sl_websocket_fn *handler,
                                        const sl_websocket_options *options)
{
    sl_response *res = sl_respond(req, 200);
    res->status = 101;
    res->body = SL__BODY_UPGRADE;
    res->websocket = handler;
    res->websocket_options = options;
    return res;
}

/* ---- The application ----------------------------------------------------------------------------------- */

typedef struct logger {
    sl_logger logger;
    sl_buffer *out;
} logger;

static void keep_record(sl_logger *l, sl_level level, const sl_site *place, const char *message, size_t size)
{
    sl_log_format(((logger *)l)->out, l->name, level, message, size);
}

typedef struct run {
    bool development;
    sl_application_fn *setup;
    site_test *test;
    site site;
} run;

static void *drive_site(void *data)
{
    run *r = data;
    logger log = {{"test", SL_INFO, keep_record}, &r->site.log};
    sl_root_set_logger(sl_root_current(), &log.logger);
    r->site.app = sl__app_new(sl_root_current(), r->site.directory, r->development);
    if (r->setup)
        r->setup(r->site.app);
    r->test(&r->site);
    sl__app_free(r->site.app);
    sl_root_set_logger(sl_root_current(), NULL);
    return NULL;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    return remove(path);
}

void with_site(bool development, sl_application_fn *setup, site_test *test)
{
    run r = {.development = development, .setup = setup, .test = test};
    snprintf(r.site.directory, sizeof(r.site.directory), "/tmp/silver-web-XXXXXX");
    assert_non_null(mkdtemp(r.site.directory));
    int got = sl_run("test", drive_site, &r, NULL);
    nftw(r.site.directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    sl_buffer_done(&r.site.log);
    assert_int_equal(got, 0);
}

void write_file(site *s, const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "%s/%s", s->directory, path);
    for (char *slash = whole + strlen(s->directory) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* ---- Requests ---------------------------------------------------------------------------------------- */

static void set_method(sl_request *req)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    unsigned i = 0;
    while (i < sl_array_size(names) && strcmp(names[i], req->method) != 0)
        i++;
    req->method_id = (sl__method)i;
    req->head_only = req->method_id == SL__HEAD;
}

static void set_fields(sl_request *req, const char *lines)
{
    req->fields.items = sl_arena_zalloc(req->arena, 64 * sizeof(sl__field));
    while (lines && *lines) {
        size_t size = strcspn(lines, "\n"), name = strcspn(lines, ":");
        sl__field *field = &req->fields.items[req->fields.count++];
        field->name = sl_arena_strndup(req->arena, lines, name);
        field->value = sl_arena_strndup(req->arena, lines + name + 2, size - name - 2);
        field->name_size = (uint32_t)name;
        field->value_size = (uint32_t)(size - name - 2);
        lines += size + (lines[size] == '\n');
    }
}

static driven *make_request(const char *line, const ask *how)
{
    static uint64_t last_id;
    driven *d = sl_zalloc(sizeof(*d));
    sl_request *req = &d->req;
    d->how = how;
    req->arena = sl_task_arena();
    req->id = ++last_id;
    snprintf(d->id, sizeof(d->id), "%016llx", (unsigned long long)req->id);
    const char *target = strchr(line, ' ');
    assert_non_null(target);
    req->method = sl_arena_strndup(req->arena, line, (size_t)(target - line));
    req->target = sl_strdup(target + 1);
    req->host = "example.org";
    req->minor = 1;
    set_method(req);
    set_fields(req, how->headers);
    size_t size = strcspn(req->target, "?");
    req->query = req->target[size] ? req->target + size + 1 : "";
    char *path = sl_alloc(size + 1);
    const char *reason;
    if (strcmp(req->target, "*") == 0)
        path = sl_strdup("*");
    else
        assert_int_equal(sl__url_path((sl_view){req->target, size}, path, &size, &reason), 0);
    req->path = path;
    return d;
}

static char *copy(const char *data, size_t size)
{
    char *text = sl_malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    return text;
}

/* Takes the answer out of the response, which ends with its task. */
static answer *take_answer(const sl_response *res)
{
    answer *a = sl_calloc(1, sizeof(*a));
    a->status = res->status;
    SL_CLEANUP(sl_buffer_done) sl_buffer body = {0}, fields = {0};
    for (size_t i = 0; i < res->segment_count; i++)
        sl_buffer_put(&body, res->segments[i].data, res->segments[i].size);
    a->size = body.size;
    a->body = copy(body.data ? body.data : "", body.size);
    for (size_t i = 0; i < res->fields.count; i++)
        sl_buffer_printf(&fields, "%s: %s\n", res->fields.items[i].name, res->fields.items[i].value);
    a->fields = copy(fields.data ? fields.data : "", fields.size);
    const char *type = sl_response_header(res, "Content-Type");
    a->type = type ? sl_strdup_heap(type) : NULL;
    a->max_message = res->body == SL__BODY_UPGRADE ? res->websocket_options->max_message : 0;
    return a;
}

static void *handle(void *data)
{
    driven *d = data;
    d->answer = take_answer(sl__app_handle(&d->req));
    return NULL;
}

static void free_answer(void *data)
{
    answer *a = data;
    free(a->body);
    free(a->type);
    free(a->fields);
    free(a);
}

const answer *request_with(site *s, const char *line, const ask *how)
{
    ask *kept = sl_alloc(sizeof(*kept));
    *kept = *how;
    driven *d = make_request(line, kept);
    sl_error *error;
    sl_try(sl_spawn(handle, d), &error);
    if (error)
        d->answer = take_answer(sl__app_failure(&d->req, error));
    sl_defer(free_answer, d->answer);
    return d->answer;
}

const char *field_of(const answer *a, const char *name, unsigned n)
{
    size_t size = strlen(name);
    for (const char *line = a->fields; *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, name, size) == 0 && line[size] == ':' && n-- == 0)
            return sl_printf("%.*s", (int)(strcspn(line, "\n") - size - 2), line + size + 2);
    return NULL;
}
