/* serve.c: `silver serve`, from the options to a running supervisor.
 *
 * In order: the manifest, the background (for a daemon), the slot, the log, the listening socket, the
 * supervisor. Each step undoes nothing of those before it: the process ends, and the kernel gives back what
 * it held. */
#include "run/reporter.h"
#include "run/run.h"
#include "run/services.h"
#include "run/slots.h"
#include "run/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 1024
/* How long an abandoned slot's address may stay taken by the instances of its last holder, which are going.
 */
#define ABANDONED_MS 5000
#define ABANDONED_STEP_MS 20
#define DESCRIPTORS_LEAST 64

struct serving {
    const struct run_serve_options *options;
    struct manifest *manifest;
    struct slot slot;
    struct services services;
    char *runtime; /* its directory */
    struct log_file log;
    struct notify notify;
    char *pidfile; /* absolute */
    int pidfile_fd;
    bool announced;
    int listener;
    int report; /* to who started the daemon, or -1 */
    bool borrowed;
};

static void print_error(struct serving *serving, const sl_error *error)
{
    /* Before the log is open, and in a terminal, the standard error is where people look; a daemon's log
     * echoes there. */
    sl_buffer text = {0};
    sl_buffer_puts(&text, error->message);
    if (error->detail)
        sl_buffer_printf(&text, "\n%s", error->detail);
    if (error->hint)
        sl_buffer_printf(&text, "\n%s", error->hint);
    if (serving->log.path)
        sl_log_to(&serving->log.logger, SL_ERROR, SL_HERE, "%s", text.data);
    else
        fprintf(stderr, "silver: %s\n", text.data);
    sl_buffer_done(&text);
}

static char *absolute_path(const char *path)
{
    char here[PATH_MAX];
    if (*path == '/' || !getcwd(here, sizeof(here)))
        return sl_strdup_heap(path);
    return sl_printf_heap("%s/%s", here, path);
}

/* The URL to open in a browser: an address that means all is reached at this machine's own. */
static char *url_of(const char *address)
{
    if (strncmp(address, "0.0.0.0:", 8) == 0)
        return sl_printf_heap("http://127.0.0.1:%s/", address + 8);
    if (strncmp(address, "[::]:", 5) == 0)
        return sl_printf_heap("http://127.0.0.1:%s/", address + 5);
    if (strncmp(address, "unix:", 5) == 0)
        return sl_strdup_heap(address);
    return sl_printf_heap("http://%s/", address);
}

static void ready(void *data)
{
    struct serving *serving = data;
    char *address = sl_listen_address(serving->listener);
    char *url = url_of(address);
    slot_describe(&serving->slot, url);
    serving->announced = true;
    if (serving->report >= 0) {
        char *line = sl_printf_heap("%s: %s  (process %d; `kill %d` stops)\n", serving->manifest->app_name,
                                    url, (int)getpid(), (int)getpid());
        daemon_ready(serving->report, line);
        serving->report = -1;
        free(line);
        close(serving->log.echo);
        serving->log.echo = -1;
    } else {
        printf("%s: %s  (Ctrl-C stops)\n", serving->manifest->app_name, url);
        fflush(stdout);
    }
    if (serving->log.path)
        sl_log_to(&serving->log.logger, SL_INFO, SL_HERE, "serving %s (process %d)", url, (int)getpid());
    free(url);
    free(address);
}

/* Listens. Where the slot's last holder was killed, its instances find that out and let go within moments. */
static int open_listener(struct serving *serving, int activated, sl_error **ret_error)
{
    if (activated >= 0) {
        serving->listener = activated;
        serving->borrowed = true;
        return 0;
    }
    const char *address = serving->options->listen ? serving->options->listen : serving->slot.place->address;
    int rounds = serving->slot.abandoned ? ABANDONED_MS / ABANDONED_STEP_MS : 1;
    int code = SL_EBUSY;
    for (int i = 0; i < rounds; i++) {
        *ret_error = sl_error_unref(*ret_error);
        code = sl_listen(address, BACKLOG, &serving->listener, ret_error);
        if (code != -EADDRINUSE)
            break;
        if (i + 1 < rounds)
            nanosleep(&(struct timespec){.tv_nsec = ABANDONED_STEP_MS * 1000000L}, NULL);
    }
    if (code == -EADDRINUSE)
        sl_error_hint(*ret_error, "stop what listens there (`ss -ltnp` shows it), or take another with "
                                  "--listen ADDRESS:PORT (port 0 finds a free one)");
    else if (code < 0 && !(*ret_error)->hint)
        sl_error_hint(*ret_error, "give another address with --listen, or change [slots] in %s",
                      serving->manifest->path);
    return code;
}

static int open_log(struct serving *serving, sl_error **ret_error)
{
    const char *name = serving->options->logfile;
    char *path = NULL;
    if (name && strchr(name, '/'))
        path = sl_strdup_heap(name);
    else if (name)
        path = sl_printf_heap("%s/%s", serving->slot.place->directory, name);
    else if (serving->options->daemon)
        path = sl_printf_heap("%s/%s.log", serving->slot.place->directory, serving->manifest->app_name);
    char *absolute = path ? absolute_path(path) : NULL;
    const char *own = serving->slot.place->directory, *slash = absolute ? strrchr(absolute, '/') : NULL;
    if (slash && (size_t)(slash - absolute) == strlen(own) && memcmp(absolute, own, strlen(own)) == 0)
        mkdir(own, 0750); /* if that fails, opening the file does, and says why */
    int code = log_file_open(&serving->log, serving->manifest->app_name, absolute, ret_error);
    serving->log.logger.level = serving->manifest->level;
    if (code == 0 && serving->options->daemon) {
        serving->log.echo = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        log_file_redirect(&serving->log);
    }
    free(absolute);
    free(path);
    return code;
}

static int supervise(struct serving *serving)
{
    sl_loop *loop;
    int code = sl_loop_new(&loop);
    if (code < 0) {
        fprintf(stderr, "silver: cannot make a loop: %s\n", sl_code_message(code));
        return 1;
    }
    char *address = sl_listen_address(serving->listener), *url = url_of(address);
    char *report_path = reporter_path(serving->runtime, serving->slot.place->number);
    struct supervisor_options options = {
        .manifest = serving->manifest,
        .logs = serving->slot.place->directory,
        .instances = serving->options->instances ? serving->options->instances : 1,
        .slot = (unsigned)(serving->slot.place - serving->manifest->slots),
        .production = serving->options->production,
        .listener = serving->listener,
        .borrowed = serving->borrowed,
        .log = &serving->log,
        .notify = &serving->notify,
        .services = &serving->services,
        .slot_number = serving->slot.place->number,
        .url = url,
        .started_at = sl_loop_now(loop),
        .report_path = report_path,
        .ready = ready,
        .data = serving,
    };
    int status = supervisor_run(loop, &options);
    free(address);
    free(url);
    free(report_path);
    return status;
}

static int serve(struct serving *serving)
{
    sl_error *error = NULL;
    int activated = activation_socket();
    if (serving->options->daemon) {
        int status, where = daemon_start(&serving->report, &status);
        if (where > 0)
            return status;
        if (where < 0) {
            fprintf(stderr, "silver: cannot go to the background: %s\n", sl_code_message(where));
            return 1;
        }
    }
    notify_init(&serving->notify);
    int status = 1;
    int code = runtime_directory(serving->manifest->directory, &serving->runtime, &error);
    if (code == 0) {
        code = slot_take(serving->runtime, serving->manifest, serving->options->slot, &serving->slot, &error);
        status = code == SL_EBUSY ? RUN_EXIT_TAKEN : 1;
    }
    if (code == 0 && serving->pidfile)
        code = pidfile_take(serving->pidfile, &serving->pidfile_fd, &error);
    if (code == 0)
        code = open_log(serving, &error);
    if (code == 0)
        code = open_listener(serving, activated, &error);
    if (code == 0)
        code = services_start(serving->manifest, &serving->services, &error);
    if (code == 0)
        status = supervise(serving);
    else
        print_error(serving, error);
    sl_error_unref(error);
    free(serving->runtime);
    return status;
}

/* With fewer not even one instance comes up, and what fails first is never what is wrong. */
static bool enough_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_LEAST)
        return true;
    fprintf(stderr,
            "silver: only %llu files can be open at once, and it takes %d at least\n"
            "raise the limit: `ulimit -n 1024`, or LimitNOFILE= in the systemd unit\n",
            (unsigned long long)limit.rlim_cur, DESCRIPTORS_LEAST);
    return false;
}

int run_serve(const struct run_serve_options *options)
{
    struct serving serving = {
        .options = options,
        .slot = {.fd = -1},
        .services = {.postgres = {.users = -1}},
        .log = {.fd = -1, .echo = -1},
        .listener = -1,
        .report = -1,
        .pidfile_fd = -1,
    };
    struct complaints complaints = {0};
    const char *directory = options->directory ? options->directory : ".";
    if (options->instances > RUN_INSTANCES_MAX) {
        fprintf(stderr, "silver: %u instances are too many: %d is the most\n", options->instances,
                RUN_INSTANCES_MAX);
        return 1;
    }
    if (!enough_descriptors())
        return 1;
    if (manifest_load(directory, &complaints, &serving.manifest) < 0) {
        complaints_print(&complaints, stderr);
        complaints_done(&complaints);
        return 1;
    }
    serving.pidfile = options->pidfile ? absolute_path(options->pidfile) : NULL;
    int status = serve(&serving);
    services_stop(&serving.services);
    if (serving.log.path && serving.announced)
        sl_log_to(&serving.log.logger, SL_INFO, SL_HERE, "stopped%s", status ? " at once" : "");
    pidfile_release(serving.pidfile, serving.pidfile_fd);
    slot_release(&serving.slot);
    log_file_close(&serving.log);
    notify_done(&serving.notify);
    free(serving.pidfile);
    manifest_free(serving.manifest);
    return status;
}
