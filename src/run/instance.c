/* instance.c: one process that serves one application with one loop.
 *
 * It builds the application if need be, loads it, runs its sl_application in a task, joins the bus, and then,
 * when nothing can go wrong any more, listens and says that it is ready. In development an application that
 * does not compile is served too: every request is answered with what the compiler said. */
#include "run/run.h"
#include "core/task.h"
#include "run/bus.h"
#include "run/control.h"
#include "run/logs.h"
#include "run/runner.h"
#include "run/slots.h"
#include "web/app.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

/* How long beyond the drain's own limit a supervisor's orphan may live. */
#define ORPHAN_GRACE_S 2
#define ORPHAN_MAX_S 86400
#define OTHER_DESCRIPTORS 1024 /* static files, the bus, the application's */

struct instance {
    sl_logger logger; /* first: write_record gets it */
    struct manifest *manifest;
    char *logs;
    int number;
    bool production, log_files, with_metrics, shows, borrowed;
    sl_loop *loop;
    sl_root *root;
    sl_app *app;
    sl_application_fn *entry;
    sl_error *broken;    /* why there is no application to serve */
    sl_site broken_site; /* where, for its page */
    sl_http_server *server, *metrics;
    struct bus *bus;
    uv_pipe_t control;
    uv_signal_t terminate, dump;
    sl_buffer heard;
    char chunk[256];
    bool draining, ready, shows_broken;
    uint64_t drain_until; /* the loop's time in ms */
    int status;
};

static void show_instance(void *value, sl_buffer *out)
{
    const struct instance *instance = value;
    sl_buffer_printf(out, "number %d, process %d, %s%s", instance->number, (int)getpid(),
                     instance->production ? "production" : "development",
                     instance->draining ? ", draining" : "");
}

static SL_KEY(this_instance, SL_ROOTED, .show = show_instance);

/* ---- Log --------------------------------------------------------------------------------------------- */

/* Of this process, so that records of the library's own logger have it too. */
static char log_token[LOG_TOKEN_SIZE + 1];

static void write_record(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                         size_t size)
{
    sl_buffer lines = {0};
    log_format_lines(&lines, log_token, logger->name, level, message, size);
    log_write(STDERR_FILENO, lines.data, lines.size);
    sl_buffer_done(&lines);
}

#define SAY(instance, level, ...) sl_log_to(&(instance)->logger, (level), SL_HERE, __VA_ARGS__)

static void say_complaints(struct instance *instance, const struct complaints *complaints)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    complaints_print(complaints, out);
    fclose(out);
    SAY(instance, SL_ERROR, "%s", text);
    free(text);
}

/* ---- Build and load ---------------------------------------------------------------------------------- */

/* The error that the broken application's page shows: the first complaint, its place, and all that the tools
 * said. */
static sl_error *build_error(struct instance *instance, const struct complaints *complaints,
                             const struct build *build)
{
    const struct complaint *first = &complaints->items[0];
    const sl_site *site = SL_HERE;
    char place[PATH_MAX + 32] = "";
    if (first->file && first->line) {
        instance->broken_site = (sl_site){.file = sl_arena_strdup(instance->manifest->arena, first->file),
                                          .line = first->line,
                                          .function = "the build"};
        site = &instance->broken_site;
        snprintf(place, sizeof(place), "%s:%d:%d: ", first->file, first->line, first->column);
    }
    sl_error *error = sl__error_new(site, SL_EBUILD, "%s%s", place, first->message);
    if (build->output)
        sl_error_detail(error, build->output, strlen(build->output));
    return sl_error_hint(error, "%s", first->hint ? first->hint : "mend it: this page goes when it starts");
}

static int load(struct instance *instance, const char *path, sl_error **ret_error)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *ret_error = sl_error_new(SL_EBUILD, "the application cannot be loaded: %s", dlerror());
        return SL_EBUILD;
    }
    const unsigned *abi = dlsym(library, "sl_application_abi");
    *(void **)&instance->entry = dlsym(library, "sl_application");
    if (!abi || !instance->entry)
        *ret_error = sl_error_hint(sl_error_new(SL_EBUILD, "%s has no entry", instance->manifest->runner),
                                   "one of the sources must say SL_APPLICATION(app) { sl_route(app, …); }");
    else if (*abi != SL_ABI)
        *ret_error = sl_error_new(SL_EBUILD,
                                  "the application was built for version %u of libsilver's binary interface; "
                                  "this is version %u",
                                  *abi, SL_ABI);
    else
        return 0;
    instance->entry = NULL;
    dlclose(library); /* or the next one of this path would be this one again */
    return SL_EBUILD;
}

/* 0: instance->entry, or instance->broken in its place; negative: told, and there is nothing to serve. */
static int prepare(struct instance *instance)
{
    int code = 0;
    sl_error *error = NULL;
    for (int round = 0; round < 2; round++) {
        struct complaints complaints = {0};
        struct build build;
        code = runner_build(instance->manifest, round > 0, &complaints, &build);
        if (code < 0) {
            say_complaints(instance, &complaints);
            error = sl_error_unref(error);
            if (complaints.count)
                error = build_error(instance, &complaints, &build);
        } else {
            if (build.output)
                SAY(instance, SL_WARNING, "%s", build.output);
            /* What cannot be loaded may have been linked against a library that has changed since: once more,
             * anew. */
            error = sl_error_unref(error);
            code = load(instance, build.path, &error);
            if (code < 0 && round > 0)
                SAY(instance, SL_ERROR, "%s%s%s", error->message, error->hint ? "\n" : "",
                    error->hint ? error->hint : "");
        }
        bool again = code < 0 && build.path;
        complaints_done(&complaints);
        build_done(&build);
        if (!again)
            break;
    }
    if (code < 0 && error && instance->shows) {
        instance->broken = error;
        return 0;
    }
    sl_error_unref(error);
    return code;
}

/* ---- Services ---------------------------------------------------------------------------------------- */

static int make_folder(struct instance *instance, const char *name)
{
    char *path = sl_printf_heap("%s/%s", instance->manifest->directory, name);
    int code = mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
    if (code < 0)
        SAY(instance, SL_ERROR, "cannot make %s: %s", path, sl_code_message(code));
    free(path);
    return code;
}

/* A service arrives as an environment variable; what the environment says already holds. */
static int offer_services(struct instance *instance)
{
    const struct manifest *manifest = instance->manifest;
    bool sqlite = manifest->sqlite && !getenv("CONFIG_SQLITE_PATH");
    bool files = manifest->files && !getenv("CONFIG_FILES");
    int code = sqlite || files ? make_folder(instance, "data") : 0;
    if (sqlite && code == 0) {
        char *path = sl_printf_heap("%s/data/%s.sqlite", manifest->directory, manifest->app_name);
        setenv("CONFIG_SQLITE_PATH", path, 1);
        free(path);
    }
    if (files && code == 0 && (code = make_folder(instance, "data/files")) == 0) {
        char *path = sl_printf_heap("%s/data/files", manifest->directory);
        setenv("CONFIG_FILES", path, 1);
        free(path);
    }
    return code;
}

/* ---- Control ----------------------------------------------------------------------------------------- */

static sl_result finished(sl_result result, void *data)
{
    struct instance *instance = data;
    sl_result_done(&result);
    sl_loop_stop(instance->loop);
    return sl_ok(NULL);
}

/* No request is left: what goes on in the background has the rest of the time. */
static sl_result drained(sl_result result, void *data)
{
    struct instance *instance = data;
    uint64_t now = sl_loop_now(instance->loop);
    uint64_t left = instance->drain_until > now ? instance->drain_until - now : 0;
    sl_result_done(&result);
    sl_deferred *done = sl_timeout(sl__background_done(instance->loop), left);
    sl_forget(sl_then(done, finished, finished, instance, NULL));
    return sl_ok(NULL);
}

static void drain(struct instance *instance)
{
    if (instance->draining)
        return;
    instance->draining = true;
    SL_IN_ROOT(instance->root);
    if (!instance->ready) {
        sl_loop_stop(instance->loop);
        return;
    }
    instance->drain_until = sl_loop_now(instance->loop) + instance->manifest->limits.drain_ms;
    sl_deferred *done = sl_http_server_drain(instance->server);
    sl_forget(sl_then(done, drained, drained, instance, NULL));
}

static void dump_tasks(struct instance *instance)
{
    sl_buffer text = {0};
    sl_task_dump(instance->loop, &text);
    SAY(instance, SL_INFO, "tasks of instance %d:\n%s", instance->number, text.data ? text.data : "none");
    sl_buffer_done(&text);
}

static int tell(struct instance *instance, const char *line)
{
    uv_buf_t text = uv_buf_init((char *)line, (unsigned)strlen(line));
    return uv_try_write((uv_stream_t *)&instance->control, &text, 1) == (int)text.len ? 0 : SL_ECLOSED;
}

static void obey(struct instance *instance, const char *line)
{
    if (strcmp(line, ASKS_BEAT) == 0)
        tell(instance, SAYS_ALIVE "\n"); /* if that fails, the supervisor does not hear of us, and is right */
    else if (strcmp(line, ASKS_DRAIN) == 0)
        drain(instance);
    else if (strcmp(line, ASKS_DUMP) == 0)
        dump_tasks(instance);
    else if (strcmp(line, ASKS_REOPEN) == 0 && instance->server &&
             sl_http_server_reopen_log(instance->server) < 0)
        SAY(instance, SL_WARNING, "the access log cannot be opened again: it goes on in the old file");
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct instance *instance = handle->data;
    *buffer = uv_buf_init(instance->chunk, sizeof(instance->chunk));
}

static void heard(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct instance *instance = stream->data;
    if (size < 0) { /* the supervisor is gone */
        uv_read_stop(stream);
        drain(instance);
        return;
    }
    sl_buffer_put(&instance->heard, buffer->base, (size_t)size);
    for (char *newline;
         instance->heard.size && (newline = memchr(instance->heard.data, '\n', instance->heard.size));) {
        *newline = '\0';
        size_t line_size = (size_t)(newline - instance->heard.data) + 1;
        obey(instance, instance->heard.data);
        sl_buffer_consume(&instance->heard, line_size);
    }
}

static void told_to_stop(uv_signal_t *handle, int number)
{
    drain(handle->data);
}

static void told_to_dump(uv_signal_t *handle, int number)
{
    dump_tasks(handle->data);
}

/* The supervisor has died. The loop will find the control socket's end and drain; but a handler that never
 * returns would keep the address taken for ever, so that is given up here and now, and an alarm ends what
 * cannot be drained. */
static volatile sig_atomic_t orphan_seconds, orphan_borrowed, orphan_building = 1;

static void orphaned(int number)
{
    int saved = errno;
    if (orphan_building && getpgrp() == getpid())
        kill(0, SIGKILL); /* with the compilers and their children; nobody is served yet */
    if (!orphan_borrowed)
        shutdown(LISTEN_FD, SHUT_RDWR);
    alarm((unsigned)orphan_seconds);
    errno = saved;
}

static int guard_against_orphanhood(struct instance *instance)
{
    pid_t parent = getppid();
    uint64_t seconds = instance->manifest->limits.drain_ms / 1000 + ORPHAN_GRACE_S;
    orphan_seconds = seconds < ORPHAN_MAX_S ? (sig_atomic_t)seconds : ORPHAN_MAX_S;
    orphan_borrowed = instance->borrowed;
    struct sigaction action = {.sa_handler = orphaned, .sa_flags = SA_RESTART};
    if (sigaction(SIGUSR1, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGUSR1) < 0)
        return -errno;
    return getppid() == parent ? 0 : SL_ECLOSED;
}

static int open_control(struct instance *instance)
{
    uv_loop_t *uv = sl_loop_uv(instance->loop);
    uv_pipe_init(uv, &instance->control, 0);
    uv_signal_init(uv, &instance->terminate);
    uv_signal_init(uv, &instance->dump);
    instance->control.data = instance->terminate.data = instance->dump.data = instance;
    int code = uv_pipe_open(&instance->control, CONTROL_FD);
    if (code == 0)
        code = uv_read_start((uv_stream_t *)&instance->control, allocate, heard);
    if (code == 0)
        code = uv_signal_start(&instance->terminate, told_to_stop, SIGTERM);
    if (code == 0)
        code = uv_signal_start(&instance->dump, told_to_dump, SIGUSR2);
    return code;
}

static void close_control(struct instance *instance)
{
    uv_close((uv_handle_t *)&instance->control, NULL);
    uv_close((uv_handle_t *)&instance->terminate, NULL);
    uv_close((uv_handle_t *)&instance->dump, NULL);
}

/* ---- Serving ----------------------------------------------------------------------------------------- */

static sl_response *show_metrics(sl_request *req)
{
    struct instance *instance = sl_get(&this_instance);
    if (strcmp(sl_path(req), "/metrics") != 0)
        sl_fail(SL_HTTP(404), "there is only /metrics here");
    sl_buffer text = {0};
    sl_http_server_metrics(instance->server, &text);
    char *copy = sl_alloc(text.size + 1);
    memcpy(copy, text.data ? text.data : "", text.size);
    size_t size = text.size;
    sl_buffer_done(&text);
    return sl_bytes_response(req, 200, "text/plain; version=0.0.4; charset=utf-8", copy, size);
}

static int make_server(struct instance *instance, char **ret_access, char **ret_static)
{
    const struct manifest *manifest = instance->manifest;
    enum manifest_access access = manifest->access;
    if (access == MANIFEST_ACCESS_UNSET)
        access = instance->log_files ? MANIFEST_ACCESS_COMBINED : MANIFEST_ACCESS_OFF;
    struct stat status;
    *ret_static = sl_printf_heap("%s/static", manifest->directory);
    bool has_static = stat(*ret_static, &status) == 0 && S_ISDIR(status.st_mode);
    if (access != MANIFEST_ACCESS_OFF) {
        mkdir(instance->logs, 0750); /* if that fails, the log tells */
        *ret_access = sl_printf_heap("%s/access.log", instance->logs);
    }
    sl_http_options options = {
        .limits = manifest->limits,
        .handler = sl__app_handle,
        .failure = sl__app_failure,
        .websocket = {.max_message = manifest->limits.websocket_message},
        .static_directory = has_static ? *ret_static : NULL,
        .access_log = *ret_access,
        .access_format = access == MANIFEST_ACCESS_JSON ? SL_ACCESS_JSON
                         : *ret_access                  ? SL_ACCESS_COMBINED
                                                        : SL_ACCESS_NONE,
        .debug = !instance->production,
    };
    int code = sl_http_server_new(&options, &instance->server);
    if (code < 0 && *ret_access)
        SAY(instance, SL_ERROR, "cannot make the server with the access log %s: %s", *ret_access,
            sl_code_message(code));
    else if (code < 0)
        SAY(instance, SL_ERROR, "cannot make the server: %s", sl_code_message(code));
    if (code == 0 && instance->with_metrics) {
        sl_http_options metrics = {.handler = show_metrics};
        sl_http_limits_init(&metrics.limits);
        code = sl_http_server_new(&metrics, &instance->metrics);
        if (code == 0)
            code = sl_http_server_listen(instance->metrics, METRICS_FD);
        if (code < 0)
            SAY(instance, SL_ERROR, "cannot serve the metrics: %s", sl_code_message(code));
    }
    return code;
}

static void give_up(struct instance *instance, int status)
{
    instance->status = status;
    sl_loop_stop(instance->loop);
}

/* The last step: everyone on the bus can reach us. */
static void joined(void *data)
{
    struct instance *instance = data;
    if (instance->draining)
        return;
    SL_IN_ROOT(instance->root);
    int code = sl_http_server_listen(instance->server, LISTEN_FD);
    if (code < 0) {
        SAY(instance, SL_ERROR, "cannot serve the listening socket: %s", sl_code_message(code));
        give_up(instance, 1);
        return;
    }
    instance->ready = true;
    if (instance->shows_broken)
        tell(instance, SAYS_BROKEN "\n");
    if (tell(instance, SAYS_READY "\n") < 0)
        drain(instance);
}

static void join_bus(struct instance *instance)
{
    char *runtime = NULL;
    sl_error *error = NULL;
    int code = runtime_directory(instance->manifest->directory, &runtime, &error);
    if (code == 0) {
        char *directory = sl_printf_heap("%s/bus", runtime);
        code = bus_new(instance->loop, instance->root, directory, joined, instance, &instance->bus, &error);
        free(directory);
        free(runtime);
    }
    if (code < 0) {
        SAY(instance, SL_ERROR, "%s%s%s", error->message, error->hint ? "\n" : "",
            error->hint ? error->hint : "");
        sl_error_unref(error);
        give_up(instance, 1);
    }
}

static void *run_application(void *data)
{
    struct instance *instance = data;
    instance->entry(instance->app);
    return NULL;
}

static sl_result application_ran(sl_result result, void *data)
{
    struct instance *instance = data;
    sl_result_done(&result);
    if (!instance->draining)
        join_bus(instance);
    return sl_ok(NULL);
}

static void serve_error(struct instance *instance, sl_error *error)
{
    sl__app_broken(instance->app, error);
    instance->shows_broken = true;
    join_bus(instance);
}

/* sl_application failed: in development that is shown to the developer, who made the change that did it. */
static sl_result application_failed(sl_result result, void *data)
{
    struct instance *instance = data;
    if (instance->draining) {
        sl_result_done(&result);
        return sl_ok(NULL);
    }
    char *text = sl_error_text(result.error);
    SAY(instance, SL_ERROR, "%s does not start: %s", instance->manifest->app_name, text);
    free(text);
    if (instance->shows) {
        serve_error(instance, result.error);
    } else {
        sl_result_done(&result);
        give_up(instance, 1);
    }
    return sl_ok(NULL);
}

/* Requests that outlived the drain were cancelled and now clean up, for which they need the application. */
static void end_tasks(struct instance *instance)
{
    for (int pass = 0; pass < 100 && sl_task_count(instance->loop); pass++)
        uv_run(sl_loop_uv(instance->loop), UV_RUN_NOWAIT);
}

static int serve(struct instance *instance)
{
    char *access = NULL, *statics = NULL;
    instance->app = sl__app_new(instance->root, instance->manifest->directory, !instance->production);
    int code = make_server(instance, &access, &statics);
    if (code == 0 && instance->broken) {
        sl_error *error = instance->broken;
        instance->broken = NULL;
        serve_error(instance, error);
    } else if (code == 0) {
        sl_deferred *ran = sl_spawn(run_application, instance);
        sl_forget(sl_then(ran, application_ran, application_failed, instance, NULL));
    }
    if (code == 0)
        sl_loop_run(instance->loop);
    else
        instance->status = 1;
    sl_http_server_free(instance->metrics);
    sl_http_server_free(instance->server);
    bus_free(instance->bus);
    end_tasks(instance);
    sl__app_free(instance->app);
    free(access);
    free(statics);
    return instance->status;
}

static int run(struct instance *instance)
{
    if (offer_services(instance) < 0 || (!instance->broken && prepare(instance) < 0))
        return 1;
    orphan_building = 0;
    int code = sl_loop_new(&instance->loop);
    if (code < 0) {
        SAY(instance, SL_ERROR, "cannot make a loop: %s", sl_code_message(code));
        return 1;
    }
    instance->root = sl_root_new(instance->loop, instance->manifest->app_name);
    sl_root_set_logger(instance->root, &instance->logger);
    sl_root_set(instance->root, &this_instance, instance);
    int status = 1;
    code = open_control(instance);
    if (code == 0) {
        SL_IN_ROOT(instance->root);
        status = serve(instance);
    } else {
        SAY(instance, SL_ERROR, "cannot talk with the supervisor: %s", sl_code_message(code));
    }
    close_control(instance);
    sl_root_unref(instance->root);
    sl_loop_free(instance->loop);
    return status;
}

/* Each connection is a descriptor, and while it is sent a file another. The soft limit of most systems is
 * 1024, for the sake of programs that use select(2); we do not. */
static void raise_descriptors(struct instance *instance)
{
    uint64_t connections = instance->manifest->limits.connections;
    uint64_t wanted = connections < (1u << 24) ? 2 * connections + OTHER_DESCRIPTORS : 1u << 25;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* up to the hard limit it is allowed */
    }
    if (limit.rlim_cur < connections)
        SAY(instance, SL_WARNING,
            "only %llu files can be open at once, fewer than the %llu connections of [limits]\n"
            "raise the limit (ulimit -n, or LimitNOFILE= in the systemd unit), or lower `connections`",
            (unsigned long long)limit.rlim_cur, (unsigned long long)connections);
}

static bool has_word(const char *words, const char *word)
{
    size_t size = strlen(word);
    for (const char *p = words; (p = strstr(p, word)); p += size)
        if ((p == words || p[-1] == ',') && (p[size] == '\0' || p[size] == ','))
            return true;
    return false;
}

/* One that is wrong is served as an error, with what a manifest says at least. */
static int read_manifest(struct instance *instance, const char *directory, const char *app_name)
{
    struct complaints complaints = {0};
    int code = manifest_load(directory, &complaints, &instance->manifest);
    if (code < 0)
        say_complaints(instance, &complaints);
    if (code < 0 && instance->shows) {
        struct complaints none = {0};
        struct build nothing = {0};
        char *text = sl_printf_heap("[production]\napp_name = %s\nrunner = src/none.c\n", app_name);
        code = manifest_parse(text, strlen(text), directory, "app.ini", &none, &instance->manifest);
        if (code == 0 && !instance->broken)
            instance->broken = build_error(instance, &complaints, &nothing);
        complaints_done(&none);
        free(text);
    }
    complaints_done(&complaints);
    return code;
}

int run_instance(int argc, char **argv)
{
    int type;
    socklen_t size = sizeof(type);
    if (argc < 6 || argc > 7 || getsockopt(CONTROL_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        recv(CONTROL_FD, log_token, LOG_TOKEN_SIZE, MSG_DONTWAIT) != LOG_TOKEN_SIZE) {
        fputs("silver instance: this is started by `silver serve`, and not by hand\n", stderr);
        return 2;
    }
    /* The supervisor's gifts are ours alone: a child that outlives us must not hold the address. */
    for (int fd = CONTROL_FD; fd <= METRICS_FD; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    const char *words = argv[4];
    struct instance instance = {
        .logger = {.name = "silver", .level = SL_INFO, .write = write_record},
        .logs = argv[3],
        .number = atoi(argv[2]),
        .production = has_word(words, OPTION_PRODUCTION),
        .log_files = has_word(words, OPTION_LOG_FILES),
        .with_metrics = has_word(words, OPTION_METRICS),
        .shows = has_word(words, OPTION_SHOWS),
        .borrowed = has_word(words, OPTION_BORROWED),
    };
    sl_logger_stderr()->write = write_record;
    setvbuf(stdout, NULL, _IOLBF, 0); /* it is a pipe: what is printed must be seen when it is printed */
    signal(SIGPIPE, SIG_IGN);
    sl_loop_name_crashes();
    if (argc > 6)
        instance.broken =
            sl_error_hint(sl_error_new(SL_EFAILED, "the application does not start: it %s", argv[6]),
                          "change what is wrong: this page goes when it starts");
    if (read_manifest(&instance, argv[1], argv[5]) < 0)
        return 1;
    instance.logger.name = instance.manifest->app_name;
    instance.logger.level = instance.manifest->level;
    raise_descriptors(&instance);
    int status = 1;
    int code = chdir(instance.manifest->directory) < 0 ? -errno : guard_against_orphanhood(&instance);
    if (code == 0)
        status = run(&instance);
    else
        SAY(&instance, SL_ERROR, "cannot start: %s", sl_code_message(code));
    sl_error_unref(instance.broken);
    sl_buffer_done(&instance.heard);
    manifest_free(instance.manifest);
    return status;
}
