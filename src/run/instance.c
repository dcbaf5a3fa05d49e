/* instance.c: one process that serves one application with one loop.
 *
 * It builds the application if need be, loads it, runs its sl_application in a task, joins the bus, and then,
 * when nothing can go wrong any more, listens and says that it is ready. In development an application that
 * does not compile is served too: every request is answered with what the compiler said. */
#include "run/instance.h"
#include "run/bus.h"
#include "run/services.h"
#include "run/control.h"
#include "run/slots.h"
#include "run/web.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define TRIM_AT (8 << 20)      /* bytes that the allocator keeps of what was given back */
#define OTHER_DESCRIPTORS 1024 /* static files, the bus, the application's */

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

void say_complaints(struct instance *instance, const struct complaints *complaints)
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

/* ---- Serving ----------------------------------------------------------------------------------------- */

static sl_response *show_metrics(sl_request *req)
{
    struct instance *instance = sl_get(&this_instance);
    if (strcmp(sl_path(req), "/metrics") != 0)
        sl_fail(SL_HTTP(404), "there is only /metrics here");
    sl_buffer text = {0};
    sl_http_server_metrics(instance->server, &text);
    sl_manager_metrics(instance->manager, &text);
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
        .handler = instance->loaded.handler ? instance->loaded.handler : sl__app_handle,
        .failure = instance->loaded.failure ? instance->loaded.failure : sl__app_failure,
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
        control_tell(instance, SAYS_BROKEN "\n");
    if (control_tell(instance, SAYS_READY "\n") < 0)
        instance_drain(instance);
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
    application_start(instance);
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

static int serve(struct instance *instance)
{
    char *access = NULL, *statics = NULL;
    int code = application_open(instance);
    if (code == 0)
        code = make_server(instance, &access, &statics);
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
    application_close(instance);
    free(access);
    free(statics);
    return instance->status;
}

static bool offer_services(struct instance *instance)
{
    SL_AUTO_ERROR sl_error *error = NULL;
    if (instance->manifest->postgres)
        postgres_hold(
            instance->manifest->directory); /* what is begun can be finished without the supervisor */
    if (services_offer(instance->manifest, &error) == 0)
        return true;
    SAY(instance, SL_ERROR, "%s%s%s", error->message, error->hint ? "\n" : "",
        error->hint ? error->hint : "");
    return false;
}

static int run(struct instance *instance)
{
    if (!offer_services(instance) || (!instance->broken && load_application(instance) < 0))
        return 1;
    control_built();
    int code = sl_loop_new(&instance->loop);
    if (code < 0) {
        SAY(instance, SL_ERROR, "cannot make a loop: %s", sl_code_message(code));
        return 1;
    }
    instance->root = sl_root_new(instance->loop, instance->manifest->app_name);
    sl_root_set_logger(instance->root, &instance->logger);
    sl_root_set(instance->root, &this_instance, instance);
    int status = 1;
    code = control_open(instance);
    if (code == 0) {
        SL_IN_ROOT(instance->root);
        status = serve(instance);
    } else {
        SAY(instance, SL_ERROR, "cannot talk with the supervisor: %s", sl_code_message(code));
    }
    control_close(instance);
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
#ifdef M_TRIM_THRESHOLD
    /* A batch of responses takes and gives back some MiB: to return them to the system each time, and to have
     * them cleared again, costs more than the responses. */
    mallopt(M_TRIM_THRESHOLD, TRIM_AT);
    mallopt(M_MMAP_THRESHOLD, TRIM_AT);
#endif
    sl_loop_name_crashes();
    if (argc > 6)
        instance.broken =
            sl_error_hint(sl_error_new(SL_EFAILED, "the application does not start: it %s", argv[6]),
                          "change what is wrong: this page goes when it starts");
    if (load_manifest(&instance, argv[1], argv[5]) < 0)
        return 1;
    instance.logger.name = instance.manifest->app_name;
    instance.logger.level = instance.manifest->level;
    web_set_identity(instance.manifest, instance.number);
    raise_descriptors(&instance);
    int status = 1;
    int code = chdir(instance.manifest->directory) < 0 ? -errno : control_guard(&instance);
    if (code == 0)
        status = run(&instance);
    else
        SAY(&instance, SL_ERROR, "cannot start: %s", sl_code_message(code));
    sl_error_unref(instance.broken);
    plugins_done(&instance.plugins);
    sl_buffer_done(&instance.heard);
    manifest_free(instance.manifest);
    return status;
}
