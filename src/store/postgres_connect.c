/* postgres_connect.c: making a connection.
 *
 * libpq connects without blocking but for the look-up of names: those are looked up before, and it is given
 * addresses. A host with several addresses becomes several hosts to libpq, which tries one after the other.
 */
#include "store/postgres_inside.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <silver/io.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 10000 /* unless the URL has connect_timeout */
#define SETTINGS_MAX 64
#define CANNOT_CONNECT_NOW "57P03"
#define ADDRESSES_MAX 8 /* of a host that are tried */

/* What libpq is given. The texts are those of `parsed` and `defaults`, or in the arena. */
typedef struct settings {
    PQconninfoOption *parsed, *defaults;
    sl_arena *arena;
    const char *keywords[SETTINGS_MAX + 1], *values[SETTINGS_MAX + 1];
    unsigned count;
    const char *host, *hostaddr, *port;
    uint64_t timeout_ms;
} settings;

static void settings_done(const sl__postgres *pool, settings *s)
{
    pool->pq.conninfoFree(s->parsed);
    pool->pq.conninfoFree(s->defaults);
    sl_arena_free(s->arena);
}

static void set(settings *s, const char *keyword, const char *value)
{
    for (unsigned i = 0; i < s->count; i++)
        if (strcmp(s->keywords[i], keyword) == 0) {
            s->values[i] = value;
            return;
        }
    if (s->count == SETTINGS_MAX)
        return;
    s->keywords[s->count] = keyword;
    s->values[s->count++] = value;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

/* The URL, and for the host the environment. What libpq says about a malformed URL may quote a part of it, so
 * it is only told where there can be no password in it. */
static sl_error *parse(sl__postgres *pool, const sl_site *site, settings *s)
{
    char *said = NULL, line[256] = "";
    const char *url = pool->store->url;
    s->arena = sl_arena_new();
    s->parsed = pool->pq.conninfoParse(url, &said);
    if (!s->parsed) {
        if (said && !strchr(url, '@') && !strstr(url, "pass"))
            sl__pg_first_line(said, line, sizeof line);
        pool->pq.freemem(said);
        return sl_error_hint(
            sl__pg_error(pool, site, SL_EINVAL, "its URL is malformed%s%s", *line ? ": " : "", line),
            "write it as postgres://user@host:5432/database, or \"host=/run/postgresql dbname=database\"");
    }
    s->defaults = pool->pq.conndefaults();
    /* Whose other end has vanished is given up after about a minute: left alone, the kernel takes two hours.
     */
    set(s, "keepalives_idle", "30");
    set(s, "keepalives_interval", "10");
    set(s, "keepalives_count", "3");
    set(s, "tcp_user_timeout", "60000");
    for (const PQconninfoOption *option = s->parsed; option->keyword; option++)
        if (option->val)
            set(s, option->keyword, option->val);
    set(s, "client_encoding", "UTF8");
    if (!value_of(s->parsed, "fallback_application_name"))
        set(s, "fallback_application_name", sl_root_name(pool->root));
    const char *names[] = {"host", "hostaddr", "port", "connect_timeout"}, *found[4];
    for (unsigned i = 0; i < 4; i++) {
        found[i] = value_of(s->parsed, names[i]);
        found[i] = found[i] ? found[i] : value_of(s->defaults, names[i]);
    }
    s->host = found[0];
    s->hostaddr = found[1];
    s->port = found[2];
    pool->connect_ms = s->timeout_ms =
        found[3] && atoi(found[3]) > 0 ? (uint64_t)atoi(found[3]) * 1000 : CONNECT_MS;
    return NULL;
}

/* ---- Names --------------------------------------------------------------------------------------------- */

static bool is_name(const char *host)
{
    unsigned char address[16];
    return *host && *host != '/' && *host != '@' && inet_pton(AF_INET, host, address) != 1 &&
           inet_pton(AF_INET6, host, address) != 1;
}

static char *address_text(sl_arena *arena, const struct sockaddr_storage *address)
{
    char text[NI_MAXHOST];
    socklen_t size =
        address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getnameinfo((const struct sockaddr *)address, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
        return NULL;
    return sl_arena_strdup(arena, text);
}

/* Three lists with commas between, which libpq reads side by side. */
typedef struct hosts {
    sl_buffer names, addresses, ports;
    unsigned count;
} hosts;

static void add_host(hosts *h, const char *name, const char *address, const char *port)
{
    const char *comma = h->count++ ? "," : "";
    sl_buffer_printf(&h->names, "%s%s", comma, name);
    sl_buffer_printf(&h->addresses, "%s%s", comma, address);
    sl_buffer_printf(&h->ports, "%s%s", comma, port);
}

/* May suspend. */
static sl_error *add_resolved(hosts *h, settings *s, const char *name, const char *port, uint64_t ms)
{
    sl_result result = sl_take(sl_timeout(sl_resolve(name, NULL), ms));
    if (result.kind == SL_FAILURE)
        return result.error;
    const sl_addresses *found = result.value;
    for (size_t i = 0; i < found->count && i < ADDRESSES_MAX; i++) {
        const char *address = address_text(s->arena, &found->addresses[i]);
        if (address)
            add_host(h, name, address, port);
    }
    sl_result_done(&result);
    return NULL;
}

/* The nth of texts with commas between; the only one stands for all. In the arena. */
static const char *nth(sl_arena *arena, const char *texts, unsigned n)
{
    if (!texts || !*texts)
        return "";
    if (!strchr(texts, ','))
        return texts;
    for (; n && texts; n--)
        texts = strchr(texts, ',') ? strchr(texts, ',') + 1 : NULL;
    return texts ? sl_arena_strndup(arena, texts, strcspn(texts, ",")) : "";
}

/* Looks names up, and gives libpq addresses beside them. An error only where no host is left. May suspend. */
static sl_error *resolve(settings *s, uint64_t ms)
{
    hosts h = {0};
    sl_error *failed = NULL;
    bool needed = false;
    if (!s->host || (s->hostaddr && *s->hostaddr))
        return NULL;
    unsigned count = 1;
    for (const char *c = s->host; *c; c++)
        count += *c == ',';
    for (unsigned i = 0; i < count; i++) {
        const char *name = nth(s->arena, s->host, count == 1 ? 0 : i), *port = nth(s->arena, s->port, i);
        if (!is_name(name)) {
            add_host(&h, name, "", port);
            continue;
        }
        needed = true;
        sl_error *error = add_resolved(&h, s, name, port, ms);
        sl_error_unref(error ? failed : NULL);
        failed = error ? error : failed;
    }
    if (needed && h.count) {
        set(s, "host", sl_arena_strdup(s->arena, h.names.data));
        set(s, "hostaddr", sl_arena_strdup(s->arena, h.addresses.data));
        set(s, "port", sl_arena_strdup(s->arena, h.ports.data));
    }
    bool none = h.count == 0;
    sl_buffer_done(&h.names);
    sl_buffer_done(&h.addresses);
    sl_buffer_done(&h.ports);
    if (none)
        return failed;
    sl_error_unref(failed);
    return NULL;
}

/* ---- Connecting ---------------------------------------------------------------------------------------- */

static void on_notice(void *data, const PGresult *result)
{
    sl__pg_line *line = data;
    if (!line->pool->root)
        return;
    SL_IN_ROOT(line->pool->root);
    sl_debug("store %s: %s", line->pool->name, line->pq->resultErrorMessage(result));
}

void sl__pg_hear_notices(sl__pg_line *line)
{
    line->pq->setNoticeReceiver(line->conn, on_notice, line);
}

static const char *hint_of(const char *said)
{
    if (strstr(said, "password") || strstr(said, "authentication") || strstr(said, "pg_hba.conf"))
        return "check the user and the password in the URL (or CONFIG_PG_…), and pg_hba.conf of the server";
    if (strstr(said, "No such file") || strstr(said, "refused"))
        return "is the server running there? Check the host and the port in the URL (or CONFIG_PG_…)";
    if (strstr(said, "role") && strstr(said, "does not exist"))
        return "make the user (createuser), or correct its name in the URL (or CONFIG_PG_USER)";
    if (strstr(said, "database") && strstr(said, "does not exist"))
        return "make the database (createdb), or correct its name in the URL (or CONFIG_PG_DBNAME)";
    return "check the URL, and what the server's log says";
}

static sl_error *failed_to_connect(const sl__pg_line *line, const sl_site *site, const char *said)
{
    char first[256];
    const sl__postgres *pool = line->pool;
    const char *database = line->pq->db(line->conn), *host = line->pq->host(line->conn);
    sl__pg_first_line(said, first, sizeof first);
    sl_error *error = sl__pg_error(pool, site, SL_EDATABASE,
                                   "cannot connect to the database %s of PostgreSQL at %s, port %s: %s",
                                   database ? database : "?", host && *host ? host : "the usual place",
                                   line->pq->port(line->conn), first);
    const char *rest = strchr(said, '\n');
    if (rest && rest[1])
        sl_error_detail(error, rest + 1, strlen(rest + 1));
    return sl_error_hint(error, "%s", hint_of(said));
}

/* "53300: " */
static bool is_state(const char *at)
{
    for (int i = 0; i < 5; i++)
        if (!isdigit((unsigned char)at[i]) && (at[i] < 'A' || at[i] > 'Z'))
            return false;
    return at[5] == ':' && at[6] == ' ';
}

/* "LOCATION:  InitProcess, proc.c:350", in any language. */
static bool is_location(const char *line, size_t size)
{
    size_t at = size;
    while (at && isdigit((unsigned char)line[at - 1]))
        at--;
    return at < size && at > 3 && memcmp(line + at - 3, ".c:", 3) == 0;
}

static bool is_full(const char *state, const char *text)
{
    return strncmp(state, "53300", 5) == 0 || strstr(text, "no more connections allowed"); /* pgbouncer's */
}

/* What the server said when it took no connection. Its words are in its own language; so libpq tells it with
 * the SQLSTATE and the place in the server's source, which are taken out again. */
static sl_error *refused(sl__pg_line *line, const sl_site *site)
{
    sl_buffer text = {0};
    bool not_now = false;
    const char *said = line->pq->errorMessage(line->conn);
    for (size_t size; *said; said += size + (said[size] == '\n')) {
        size = strcspn(said, "\n");
        const char *state = memmem(said, size, ":  ", 3);
        if (is_location(said, size))
            continue;
        if (state && is_state(state + 3)) {
            sl_buffer_put(&text, said, (size_t)(state + 3 - said));
            line->full = line->full || is_full(state + 3, state);
            not_now = strncmp(state + 3, CANNOT_CONNECT_NOW, 5) == 0;
            sl_buffer_put(&text, state + 10, size - (size_t)(state + 10 - said));
        } else {
            sl_buffer_put(&text, said, size);
        }
        sl_buffer_putc(&text, '\n');
    }
    sl_error *error = failed_to_connect(line, site, text.size ? text.data : "?");
    if (not_now)
        sl_error_hint(error, "the server starts, stops or recovers: try again in a moment");
    sl_buffer_done(&text);
    return error;
}

static sl_error *late_error(const sl__pg_line *line, sl_error *error, uint64_t deadline, const sl_site *site)
{
    sl_error *late;
    if (error->code != SL_EBUDGET)
        return error; /* the task was cancelled */
    late = failed_to_connect(line, site, "no answer in time");
    if (deadline && deadline <= sl_loop_now(line->pool->loop))
        late->code = SL_EBUDGET;
    return sl_error_cause(late, error);
}

/* May suspend. */
static sl_error *poll_until_connected(sl__pg_line *line, uint64_t deadline, uint64_t until,
                                      const sl_site *site)
{
    PostgresPollingStatusType wish = PGRES_POLLING_WRITING;
    while (wish != PGRES_POLLING_OK) {
        if (wish == PGRES_POLLING_FAILED || line->pq->status(line->conn) == CONNECTION_BAD)
            return refused(line, site);
        int code = sl__pg_watch(line, line->pq->socket(line->conn));
        if (code < 0)
            return failed_to_connect(line, site, uv_strerror(code));
        sl_error *error =
            sl__pg_wait_ready(line, wish == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE, until, site);
        if (error)
            return late_error(line, error, deadline, site);
        if (!line->pool->store)
            return sl__pg_error(line->pool, site, SL_ECLOSED, "it was closed");
        /* libpq may close the socket and open another, of the same number. */
        sl__pg_watch(line, -1);
        wish = line->pq->connectPoll(line->conn);
    }
    return NULL;
}

static sl_error *begin_work(sl__pg_line *line, const sl_site *site)
{
    int code = sl__pg_watch(line, line->pq->socket(line->conn));
    if (code < 0)
        return failed_to_connect(line, site, uv_strerror(code));
    if (line->pq->serverVersion(line->conn) < 100000)
        return failed_to_connect(line, site, "the server is older than PostgreSQL 10");
    if (line->pq->setnonblocking(line->conn, 1) < 0 || !line->pq->enterPipelineMode(line->conn))
        return failed_to_connect(line, site, line->pq->errorMessage(line->conn));
    line->pq->setErrorVerbosity(line->conn, PQERRORS_DEFAULT);
    line->sealed = line->pq->sslInUse(line->conn) || line->pq->gssEncInUse(line->conn);
    line->peer = (unsigned)line->pq->backendPID(line->conn);
    line->state = SL__PG_TAKEN; /* should it be lost at once, the caller finds that out */
    sl__pg_say(line, SL__PG_SETTING, /* silent= */ true);
    sl__pg_sync(line);
    return NULL;
}

static sl_error *connect_with(sl__postgres *pool, settings *s, uint64_t deadline, const sl_site *site,
                              sl__pg_line **ret_line, bool *ret_full)
{
    uint64_t until = sl_loop_now(pool->loop) + s->timeout_ms;
    sl__pg_line *line = sl__pg_line_new(pool);
    line->conn = pool->pq.connectStartParams(s->keywords, s->values, /* expand_dbname= */ 0);
    if (!line->conn) {
        sl__pg_line_free(line);
        return sl__pg_error(pool, site, SL_ENOMEM, "there is no memory for a connection");
    }
    sl__pg_hear_notices(line);
    pool->pq.setErrorVerbosity(line->conn, PQERRORS_VERBOSE);
    sl_error *error =
        poll_until_connected(line, deadline, deadline && deadline < until ? deadline : until, site);
    error = error ? error : begin_work(line, site);
    if (error) {
        *ret_full = line->full;
        sl__pg_watch(line, -1);
        pool->pq.finish(line->conn);
        sl__pg_line_free(line);
        return error;
    }
    pool->counts.connects++;
    *ret_line = line;
    return NULL;
}

sl_error *sl__pg_connect(sl__postgres *pool, uint64_t deadline, const sl_site *site, sl__pg_line **ret_line,
                         bool *ret_full)
{
    settings s = {0};
    if (!pool->store)
        return sl__pg_error(pool, site, SL_ECLOSED, "it was closed");
    sl_error *error = parse(pool, site, &s);
    uint64_t now = sl_loop_now(pool->loop), left = deadline > now ? deadline - now : 1;
    if (!error)
        error = resolve(&s, deadline && left < s.timeout_ms ? left : s.timeout_ms);
    if (error && error->code != SL_ECANCELED && error->code != SL_EINVAL)
        error = sl_error_hint(sl_error_cause(sl__pg_error(pool, site, SL_EDATABASE,
                                                          "cannot connect to PostgreSQL: %s", error->message),
                                             error),
                              "check the host in the URL, and the name server");
    if (!error && !pool->store)
        error = sl__pg_error(pool, site, SL_ECLOSED, "it was closed");
    if (!error)
        error = connect_with(pool, &s, deadline, site, ret_line, ret_full);
    settings_done(pool, &s);
    return error;
}
