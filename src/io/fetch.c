/* fetch.c: an HTTP client. libcurl's multi interface does the work, our loop does the waiting.
 *
 * Each loop gets one fetcher at its first fetch: curl's handle for many transfers, which keeps the
 * connections, and one timer. curl says through on_socket_wish which sockets it waits for (each gets a poll
 * handle) and through on_timer_wish when it wants to be called at the latest; `turn` tells it what happened
 * and then fires the deferreds of the transfers that are over. Deferreds never fire inside curl's callbacks,
 * so their links may start and cancel other fetches.
 *
 * The fetcher goes with its loop. */
#include "io/work.h"
#include "core/loop.h"
#include "io/curl.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_MAX_SIZE ((size_t)16 << 20)
#define DEFAULT_TIMEOUT_MS 30000
#define MAX_HEADERS ((size_t)256 << 10)
#define MAX_CONNECTIONS_TO_HOST 32L
#define MAX_CONNECTIONS 256L
#define MAX_IDLE_CONNECTIONS 32L

typedef struct fetcher fetcher;

typedef struct transfer {
    CURL *easy;
    fetcher *fetcher;
    sl_deferred *deferred;
    struct transfer *next, **previous_next;
    struct curl_slist *headers_out;
    sl_buffer headers, body; /* of the answer; header lines end with "\n" */
    size_t max_size;
    uint64_t timeout_ms;
    bool body_too_large, headers_too_large;
    char error[CURL_ERROR_SIZE];
} transfer;

struct fetcher {
    uv_timer_t timer;
    CURLM *multi;
    sl_loop *loop;
    transfer *transfers;
    bool closing;
};

static __thread fetcher *thread_fetcher;
static __thread sl__curl curl; /* loaded at the thread's first fetch */

/* ---- Ends -------------------------------------------------------------------------------------------- */

static void transfer_free(transfer *t)
{
    if (t->previous_next) {
        *t->previous_next = t->next;
        if (t->next)
            t->next->previous_next = t->previous_next;
        curl.multi_remove_handle(t->fetcher->multi, t->easy);
    }
    curl.easy_cleanup(t->easy);
    curl.slist_free_all(t->headers_out);
    sl_buffer_done(&t->headers);
    sl_buffer_done(&t->body);
    free(t);
}

static sl_cancelled cancel_transfer(sl_deferred *deferred, void *data)
{
    transfer_free(data);
    return SL_CANCEL_DONE;
}

static void fetched_free(void *memory)
{
    sl_fetched *fetched = memory;
    free(fetched->body);
    free(fetched->header_names); /* one block with the values and the texts */
    free((char *)fetched->url);
    free(fetched);
}

const char *sl_fetched_header(const sl_fetched *fetched, const char *name)
{
    for (size_t i = 0; i < fetched->header_count; i++)
        if (strcasecmp(fetched->header_names[i], name) == 0)
            return fetched->header_values[i];
    return NULL;
}

/* Splits "name: value\n…" into two arrays; what is no such line (a continuation, rubbish) is left out. */
static void split_headers(sl_fetched *fetched, const sl_buffer *lines)
{
    size_t most = 0;
    for (size_t i = 0; i < lines->size; i++)
        most += lines->data[i] == '\n';
    char **names = sl_malloc(2 * most * sizeof *names + lines->size + 1);
    char **values = names + most;
    char *text = (char *)(values + most);
    fetched->header_names = names;
    fetched->header_values = values;
    if (lines->size)
        memcpy(text, lines->data, lines->size);
    text[lines->size] = '\0';
    for (char *next, *line = text; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = '\0';
        char *colon = strchr(line, ':');
        if (!colon || colon == line || *line == ' ' || *line == '\t')
            continue;
        *colon = '\0';
        for (char *c = line; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        names[fetched->header_count] = line;
        values[fetched->header_count++] = colon + 1 + strspn(colon + 1, " \t");
    }
}

static sl_fetched *fetched_of(transfer *t)
{
    long status = 0;
    const char *url = NULL;
    curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl.easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
    sl_fetched *fetched = sl_calloc(1, sizeof *fetched);
    fetched->status = (int)status;
    fetched->url = sl_strdup_heap(url ? url : "");
    fetched->body = sl__bytes_new(t->body.size);
    if (t->body.size)
        memcpy(fetched->body->data, t->body.data, t->body.size);
    fetched->body->size = t->body.size;
    fetched->body->data[t->body.size] = '\0';
    split_headers(fetched, &t->headers);
    return fetched;
}

/* The URL for a message: without a password that may be in it. For curl.free(), or NULL. */
static char *url_to_show(CURL *easy)
{
    const char *url = NULL;
    char *shown = NULL;
    curl.easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    CURLU *parts = curl.url();
    if (url && curl.url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK) {
        curl.url_set(parts, CURLUPART_USER, NULL, 0);
        curl.url_set(parts, CURLUPART_PASSWORD, NULL, 0);
        curl.url_get(parts, CURLUPART_URL, &shown, 0);
    }
    curl.url_cleanup(parts);
    return shown;
}

static int code_of(const transfer *t, CURLcode outcome)
{
    long system = 0;
    const char *url = NULL;
    switch (outcome) {
    case CURLE_URL_MALFORMAT:
        return SL_EINVAL;
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL, or of the server, whose answer looks like HTTP/0.9 */
        curl.easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
        return url && strncasecmp(url, "http", 4) == 0 ? SL_EPROTO : SL_EINVAL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SL_ENOENT;
    case CURLE_COULDNT_CONNECT:
        curl.easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &system);
        return system > 0 ? -(int)system : -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return SL_ETIMEDOUT;
    case CURLE_TOO_MANY_REDIRECTS:
        return SL_ELOOP;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        return SL_EACCES;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return SL_EPIPE;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return SL_EPROTO;
    default:
        return SL_EFAILED;
    }
}

static sl_error *error_of(transfer *t, CURLcode outcome)
{
    char *shown = url_to_show(t->easy);
    const char *url = shown ? shown : "the URL";
    sl_error *error;
    if (t->body_too_large)
        error = sl_error_hint(
            sl_error_new(SL_E2BIG, "cannot fetch %s: the answer is larger than %zu bytes", url, t->max_size),
            "raise max_size if it may be");
    else if (t->headers_too_large)
        error = sl_error_new(SL_E2BIG, "cannot fetch %s: its headers are larger than %zu bytes", url,
                             MAX_HEADERS);
    else
        error = sl_error_new(code_of(t, outcome), "cannot fetch %s: %s", url,
                             t->error[0] ? t->error : curl.easy_strerror(outcome));
    if (outcome == CURLE_PEER_FAILED_VERIFICATION)
        sl_error_hint(error, "its certificate is not trusted here: see update-ca-certificates(8)");
    curl.free(shown);
    return error;
}

/* ---- Turns ------------------------------------------------------------------------------------------- */

/* Fires what is over. A link may start, cancel or end any transfer, so each turn begins at curl again. */
static void fire_finished(fetcher *f)
{
    int left;
    for (CURLMsg *message; (message = curl.multi_info_read(f->multi, &left));) {
        if (message->msg != CURLMSG_DONE)
            continue;
        transfer *t = NULL;
        CURLcode outcome = message->data.result; /* `message` goes with the handle */
        curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        sl_deferred *deferred = t->deferred;
        sl_fetched *fetched = outcome == CURLE_OK ? fetched_of(t) : NULL;
        sl_error *error = outcome == CURLE_OK ? NULL : error_of(t, outcome);
        transfer_free(t);
        if (fetched)
            sl_fire(deferred, fetched, fetched_free);
        else
            sl_fire_error(deferred, error);
    }
}

static void turn(fetcher *f, curl_socket_t socket, int events)
{
    int running;
    curl.multi_socket_action(f->multi, socket, events, &running);
    fire_finished(f);
}

static void on_timer(uv_timer_t *timer)
{
    turn(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wish(CURLM *multi, long timeout_ms, void *data)
{
    fetcher *f = data;
    if (timeout_ms < 0) {
        uv_timer_stop(&f->timer);
        return 0;
    }
    uv_update_time(f->timer.loop);
    uv_timer_start(&f->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    curl_socket_t socket = (curl_socket_t)(intptr_t)poll->data;
    if (!thread_fetcher)
        return;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    turn(thread_fetcher, socket, what);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static int on_socket_wish(CURL *easy, curl_socket_t socket, int wish, void *data, void *socket_data)
{
    fetcher *f = data;
    uv_poll_t *poll = socket_data;
    if (wish == CURL_POLL_REMOVE) {
        if (poll)
            uv_close((uv_handle_t *)poll, on_poll_closed);
        curl.multi_assign(f->multi, socket, NULL);
        return 0;
    }
    if (!poll) {
        poll = sl_malloc(sizeof *poll);
        if (uv_poll_init_socket(f->timer.loop, poll, socket) < 0) {
            free(poll);
            return -1;
        }
        poll->data = (void *)(intptr_t)socket;
        curl.multi_assign(f->multi, socket, poll);
    }
    int events = (wish & CURL_POLL_IN ? UV_READABLE : 0) | (wish & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(poll, events, on_ready);
    return 0;
}

/* ---- The fetcher ------------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void fetcher_free(void *data)
{
    fetcher *f = data;
    f->closing = true; /* who is told now may want to try again */
    while (f->transfers) {
        sl_deferred *deferred = f->transfers->deferred;
        transfer_free(f->transfers);
        sl_abandon(deferred);
    }
    curl.multi_cleanup(f->multi);
    curl.global_cleanup();
    thread_fetcher = NULL;
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

static fetcher *fetcher_get(uv_loop_t *loop)
{
    if (thread_fetcher)
        return thread_fetcher;
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return NULL;
    fetcher *f = sl_calloc(1, sizeof *f);
    f->multi = curl.multi_init();
    if (!f->multi) {
        curl.global_cleanup();
        free(f);
        return NULL;
    }
    f->loop = sl_loop_current();
    uv_timer_init(loop, &f->timer);
    f->timer.data = f;
    curl.multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish);
    curl.multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl.multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish);
    curl.multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    curl.multi_setopt(f->multi, CURLMOPT_MAX_HOST_CONNECTIONS, MAX_CONNECTIONS_TO_HOST);
    curl.multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, MAX_CONNECTIONS);
    curl.multi_setopt(f->multi, CURLMOPT_MAXCONNECTS, MAX_IDLE_CONNECTIONS);
    thread_fetcher = f;
    sl__loop_at_exit(f->loop, fetcher_free, f);
    return f;
}

/* ---- One fetch --------------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t unit, size_t count, void *user)
{
    transfer *t = user;
    size_t size = unit * count;
    if (size > t->max_size - t->body.size) {
        t->body_too_large = true;
        return 0;
    }
    sl_buffer_put(&t->body, data, size);
    return size;
}

static size_t on_header(char *data, size_t unit, size_t count, void *user)
{
    transfer *t = user;
    size_t size = unit * count;
    sl_view line = sl_view_trim((sl_view){data, size}, "\r\n");
    /* A status line begins another answer: after a 100, or a redirect. */
    if (line.size >= 5 && memcmp(line.data, "HTTP/", 5) == 0) {
        t->headers.size = 0;
        return size;
    }
    if (line.size == 0)
        return size;
    if (line.size + 1 > MAX_HEADERS - t->headers.size) {
        t->headers_too_large = true;
        return 0;
    }
    sl_buffer_put(&t->headers, line.data, line.size);
    sl_buffer_putc(&t->headers, '\n');
    return size;
}

static bool is_token(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size <= 32 &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == size;
}

static int set_headers(transfer *t, const sl_fetch_options *options)
{
    bool has_type = false;
    for (const char *const *header = options->headers; header && *header; header++) {
        const char *colon = strchr(*header, ':');
        if (!colon || colon == *header || strpbrk(*header, "\r\n"))
            return SL_EINVAL;
        has_type = has_type || strncasecmp(*header, "content-type:", 13) == 0;
        /* For curl "Name:" would mean: do not send it. "Name;" is its way to say: with an empty value. */
        if (colon[1 + strspn(colon + 1, " \t")]) {
            t->headers_out = curl.slist_append(t->headers_out, *header);
        } else {
            SL_AUTO_FREE char *empty = sl_printf_heap("%.*s;", (int)(colon - *header), *header);
            t->headers_out = curl.slist_append(t->headers_out, empty);
        }
    }
    if (options->body && !has_type)
        t->headers_out = curl.slist_append(t->headers_out, "Content-Type:");
    t->headers_out = curl.slist_append(t->headers_out, "Expect:"); /* it would wait a second for a 100 */
    curl.easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers_out);
    return 0;
}

static void set_method(transfer *t, const sl_fetch_options *options)
{
    const char *method = options->method ? options->method : options->body ? "POST" : "GET";
    bool post = strcmp(method, "POST") == 0, head = strcmp(method, "HEAD") == 0,
         get = strcmp(method, "GET") == 0;
    if (options->body || post) {
        curl.easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)options->body_size);
        curl.easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, options->body ? options->body : "");
    }
    if (head && !options->body)
        curl.easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    else if (!post && !(get && !options->body))
        curl.easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
    /* curl would use a custom method again after a 303, where it must become GET. */
    if (options->max_redirects && (post || head || get)) {
        curl.easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl.easy_setopt(t->easy, CURLOPT_MAXREDIRS,
                         (long)(options->max_redirects < 50 ? options->max_redirects : 50));
    }
}

static void set_rest(transfer *t, const char *url, const sl_fetch_options *options)
{
    CURL *easy = t->easy;
    curl.easy_setopt(easy, CURLOPT_URL, url);
    curl.easy_setopt(easy, CURLOPT_USERAGENT, "silver/" SL_RELEASE);
    curl.easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
    curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl.easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl.easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)t->timeout_ms);
    curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)t->timeout_ms);
    curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);   /* no SIGALRM; SIGPIPE is ignored, see below */
    curl.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* cancelling does not wait for a look-up in a thread */
    if (options->unix_socket) {
        curl.easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, options->unix_socket);
        curl.easy_setopt(easy, CURLOPT_PROXY, "");
    }
}

/* TLS writes to sockets without MSG_NOSIGNAL: a peer that closes must not end the process. */
static void ignore_broken_pipes(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static transfer *transfer_new(fetcher *f, const sl_fetch_options *options)
{
    transfer *t = sl_calloc(1, sizeof *t);
    t->fetcher = f;
    t->max_size = options->max_size ? options->max_size : DEFAULT_MAX_SIZE;
    t->timeout_ms = options->timeout_ms ? options->timeout_ms : DEFAULT_TIMEOUT_MS;
    if (t->timeout_ms > INT32_MAX)
        t->timeout_ms = INT32_MAX;
    t->easy = curl.easy_init();
    /* A library that does not know how to leave out files and the like must not fetch at all. */
    if (!t->easy || curl.easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
        curl.easy_setopt(t->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") != CURLE_OK) {
        transfer_free(t);
        return NULL;
    }
    return t;
}

static void begin(transfer *t)
{
    fetcher *f = t->fetcher;
    t->next = f->transfers;
    t->previous_next = &f->transfers;
    if (t->next)
        t->next->previous_next = &t->next;
    f->transfers = t;
    curl.multi_add_handle(f->multi, t->easy); /* its timer wish starts the transfer */
}

sl_deferred *sl__fetch(const char *url, const sl_fetch_options *options)
{
    uv_loop_t *loop = sl__io_loop("sl_fetch");
    if (options->method && !is_token(options->method))
        return sl_failing(
            sl_error_new(SL_EINVAL, "cannot fetch: '%.32s' is no HTTP method", options->method));
    sl_error *error = NULL;
    if (!curl.easy_init && sl__curl_load(&curl, &error) < 0)
        return sl_failing(error);
    ignore_broken_pipes();
    fetcher *f = fetcher_get(loop);
    if (f && f->closing)
        return sl_failing(sl_error_new(SL_ECLOSED, "cannot fetch: the loop is being freed"));
    transfer *t = f ? transfer_new(f, options) : NULL;
    if (!t)
        return sl_failing(sl_error_hint(sl_error_new(SL_EFAILED, "cannot fetch: libcurl does not start"),
                                        "libcurl 7.85 or newer is needed"));
    if (set_headers(t, options) < 0) {
        transfer_free(t);
        return sl_failing(sl_error_hint(sl_error_new(SL_EINVAL, "cannot fetch: a header is malformed"),
                                        "each header is one line, \"Name: value\""));
    }
    set_method(t, options);
    set_rest(t, url, options);
    t->deferred = sl_deferred_new(cancel_transfer, t);
    sl_deferred *deferred = t->deferred;
    begin(t);
    return deferred;
}
