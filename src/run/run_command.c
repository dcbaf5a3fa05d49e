/* run_command.c: `silver run`: a command of the application, inside it.
 *
 * The application is started as in an instance: services, plug-ins, the services' manager, the bus; only
 * nothing listens. Then the command runs in a task, and all is taken down again as when an instance drains.
 */
#include "run/bus.h"
#include "run/run_command.h"
#include "run/slots.h"
#include "run/web.h"
#include "store/schema.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SEND_MS 1000
#define NEAR 3 /* so many letters a name may be wrong by */

struct running {
    struct instance instance; /* first: its logger is the instance's */
    struct services services;
    const char *called; /* this command, for messages */
    inside_fn *inside;  /* what is done instead of a command, or NULL */
    void *inside_data;
    int count;
    char *const *words; /* the command's name, and its arguments */
    uv_signal_t signals[2];
    sl_deferred *task; /* NULL: not begun, or over */
    int signal;        /* that ended it */
    int status;
};

/* ---- Log --------------------------------------------------------------------------------------------- */

static void write_line(sl_logger *logger, sl_level level, const sl_site *site, const char *message,
                       size_t size)
{
    sl_buffer line = {0};
    log_format_lines(&line, "", logger->name, level, message, size);
    log_write(STDERR_FILENO, line.data, line.size);
    sl_buffer_done(&line);
}

void say_failure(const char *called, const sl_error *error)
{
    char *text = sl_error_text(error);
    fprintf(stderr, "%s: %s\n", called, text);
    free(text);
}

/* ---- Which commands there are ------------------------------------------------------------------------ */

/* The application's own first, then those of its plug-ins; NULL past the last. */
static const sl_command *command_at(const struct instance *instance, size_t i)
{
    size_t own = 0;
    while (sl__app_command_at(instance->app, own))
        own++;
    return i < own ? sl__app_command_at(instance->app, i) : sl_command_at(instance->root, i - own);
}

static const sl_command *find_command(const struct instance *instance, const char *name)
{
    const sl_command *command;
    for (size_t i = 0; (command = command_at(instance, i)); i++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

#define MIGRATE "migrate"

/* Whether `migrate` is ours: the application has a database, and no such command itself. */
static bool has_migrate(const struct instance *instance)
{
    return !instance->manifest->python && sl__stores_any() && !find_command(instance, MIGRATE);
}

static void list(const struct instance *instance)
{
    const sl_command *command;
    char **scripts;
    bool migrate = has_migrate(instance);
    size_t count = script_names(instance->manifest, &scripts), total = count + migrate;
    int width = 8;
    for (size_t i = 0; (command = command_at(instance, i)); i++, total++)
        width = (int)strlen(command->name) > width ? (int)strlen(command->name) : width;
    for (size_t i = 0; i < count; i++)
        width = (int)strlen(scripts[i]) > width ? (int)strlen(scripts[i]) : width;
    printf(total ? "%s has these commands:\n"
                 : "%s has no commands: neither scripts in bin/, nor does it or a "
                   "plug-in declare one\n",
           instance->manifest->app_name);
    for (size_t i = 0; (command = command_at(instance, i)); i++)
        printf("  %-*s  %s\n", width, command->name, command->summary ? command->summary : "");
    if (migrate)
        printf("  %-*s  applies the patches of schema/ that the database lacks\n", width, MIGRATE);
    for (size_t i = 0; i < count; i++) {
        printf("  %-*s  the script bin/%s\n", width, scripts[i], scripts[i]);
        free(scripts[i]);
    }
    free(scripts);
}

static void nearer(const char *name, const char *candidate, const char **best, size_t *distance)
{
    size_t far = sl_word_distance(name, candidate);
    if (far < *distance) {
        *distance = far;
        *best = candidate;
    }
}

static void say_unknown(const struct instance *instance, const char *name)
{
    const sl_command *command;
    const char *meant = NULL;
    size_t distance = NEAR;
    char **scripts;
    size_t count = script_names(instance->manifest, &scripts);
    for (size_t i = 0; (command = command_at(instance, i)); i++)
        nearer(name, command->name, &meant, &distance);
    for (size_t i = 0; i < count; i++)
        nearer(name, scripts[i], &meant, &distance);
    if (has_migrate(instance))
        nearer(name, MIGRATE, &meant, &distance);
    fprintf(stderr, "silver run: %s has no command \"%s\"", instance->manifest->app_name, name);
    if (meant)
        fprintf(stderr, "; did you mean \"%s\"?\n", meant);
    else
        fprintf(stderr, "\n`silver run DIR` lists what there is.\n");
    for (size_t i = 0; i < count; i++)
        free(scripts[i]);
    free(scripts);
}

/* ---- Inside the application -------------------------------------------------------------------------- */

static int call(const sl_command *command, int count, char *const words[])
{
    char **arguments = sl_zalloc(((size_t)count + 1) * sizeof(*arguments));
    for (int i = 0; i < count; i++)
        arguments[i] = sl_strdup(words[i]);
    return command->function(count, arguments);
}

static void *work(void *data)
{
    struct running *running = data;
    if (running->instance.manifest->python) { /* its workers have nothing to do here */
        free(running->instance.loaded.data);
        running->instance.loaded = (struct loaded){0};
    }
    /* Who looks at the database, or changes it, finds it as it is. */
    bool migrates = running->count && strcmp(running->words[0], MIGRATE) == 0;
    running->instance.schema_waits = running->inside || running->count == 0 || migrates;
    application_start(&running->instance);
    if (running->inside) {
        running->status = running->inside(&running->instance, running->inside_data);
        fflush(stdout);
        return NULL;
    }
    if (running->count == 0) {
        list(&running->instance);
        return NULL;
    }
    const sl_command *command = find_command(&running->instance, running->words[0]);
    if (!command && migrates && has_migrate(&running->instance)) {
        running->status = run_migrate(&running->instance, running->count - 1, running->words + 1);
    } else if (command) {
        running->status = call(command, running->count, running->words) & 0xff;
    } else {
        say_unknown(&running->instance, running->words[0]);
        running->status = 2;
    }
    fflush(stdout);
    return NULL;
}

static sl_result ended(sl_result result, void *data)
{
    struct running *running = data;
    running->task = sl_deferred_unref(running->task);
    if (result.kind == SL_FAILURE) {
        running->status = 1;
        if (!running->signal)
            say_failure(running->called, result.error);
    }
    sl_result_done(&result);
    running->instance.ready = true; /* what drains an instance finishes what the command has begun */
    instance_drain(&running->instance);
    return sl_ok(NULL);
}

/* The bus was joined: those who serve hear what the command emits. */
static void joined(void *data)
{
    struct running *running = data;
    SL_IN_ROOT(running->instance.root);
    if (running->signal) {
        sl_loop_stop(running->instance.loop);
        return;
    }
    running->task = sl_then(sl_spawn(work, running), ended, ended, running, NULL);
}

/* The first one ends the command as cancelling does, which lets it clean up; the second is not waited for. */
static void signalled(uv_signal_t *handle, int number)
{
    struct running *running = handle->data;
    if (running->signal) {
        signal(number, SIG_DFL);
        raise(number);
    }
    running->signal = number;
    if (running->task)
        sl_cancel(running->task);
}

static void open_signals(struct running *running)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < sl_array_size(numbers); i++) {
        uv_signal_init(sl_loop_uv(running->instance.loop), &running->signals[i]);
        running->signals[i].data = running;
        uv_signal_start(&running->signals[i], signalled, numbers[i]);
    }
}

static int join_bus(struct running *running)
{
    struct instance *instance = &running->instance;
    SL_AUTO_ERROR sl_error *error = NULL;
    char *runtime = NULL;
    int code = runtime_directory(instance->manifest->directory, &runtime, &error);
    if (code == 0) {
        char *directory = sl_printf_heap("%s/bus", runtime);
        code = bus_new(instance->loop, instance->root, directory, joined, running, &instance->bus, &error);
        free(directory);
        free(runtime);
    }
    if (code < 0)
        say_failure(running->called, error);
    return code;
}

/* What was emitted last may still be on its way to those who serve. */
static void send_rest(struct running *running)
{
    struct instance *instance = &running->instance;
    for (int waited = 0; instance->bus && bus_waiting(instance->bus) && waited < SEND_MS; waited++) {
        uv_run(sl_loop_uv(instance->loop), UV_RUN_NOWAIT);
        nanosleep(&(struct timespec){.tv_nsec = 1000000L}, NULL);
    }
}

static int run_loop(struct running *running)
{
    struct instance *instance = &running->instance;
    if (load_application(instance) < 0)
        return 1;
    int code = sl_loop_new(&instance->loop);
    if (code < 0) {
        fprintf(stderr, "%s: cannot make a loop: %s\n", running->called, sl_code_message(code));
        return 1;
    }
    instance->root = sl_root_new(instance->loop, instance->manifest->app_name);
    sl_root_set_logger(instance->root, &instance->logger);
    open_signals(running);
    running->status = 1;
    {
        SL_IN_ROOT(instance->root);
        if (application_open(instance) == 0 && join_bus(running) == 0) {
            running->status = 0;
            sl_loop_run(instance->loop);
        }
        sl_deferred_unref(running->task);
        send_rest(running);
        bus_free(instance->bus);
        application_close(instance);
    }
    for (size_t i = 0; i < sl_array_size(running->signals); i++)
        uv_close((uv_handle_t *)&running->signals[i], NULL);
    sl_root_unref(instance->root);
    sl_loop_free(instance->loop);
    return running->status;
}

/* ---- The whole --------------------------------------------------------------------------------------- */

/* In the application's directory, with its services. */
static int run(struct running *running)
{
    struct instance *instance = &running->instance;
    const struct manifest *manifest = instance->manifest;
    SL_AUTO_ERROR sl_error *error = NULL;
    char before[4096];
    if (getcwd(before, sizeof(before)))
        setenv("OLDPWD", before, 1);
    if (chdir(manifest->directory) < 0 || services_start(manifest, &running->services, &error) < 0 ||
        services_offer(manifest, &error) < 0) {
        if (error)
            say_failure(running->called, error);
        else
            fprintf(stderr, "%s: cannot enter the application's directory: %s\n", running->called,
                    strerror(errno));
        return 1;
    }
    char *script = running->count ? script_find(manifest, running->words[0]) : NULL;
    if (!script)
        return run_loop(running);
    int status = script_run(manifest, &running->services, script, running->count - 1, running->words + 1);
    free(script);
    return status;
}

static int start(struct running *running, const char *directory)
{
    struct complaints complaints = {0};
    struct instance *instance = &running->instance;
    instance->logger = (sl_logger){.name = "silver", .level = SL_INFO, .write = write_line};
    running->services.postgres.users = -1;
    if (manifest_load(directory ? directory : ".", &complaints, &instance->manifest) < 0) {
        complaints_print(&complaints, stderr);
        complaints_done(&complaints);
        return 1;
    }
    instance->logger.name = instance->manifest->app_name;
    instance->logger.level = instance->manifest->level;
    web_set_identity(instance->manifest, /* instance= */ 0);
    int status = run(running);
    services_stop(&running->services);
    plugins_done(&instance->plugins);
    manifest_free(instance->manifest);
    if (running->signal) {
        signal(running->signal, SIG_DFL);
        raise(running->signal);
    }
    return status;
}

int run_command(const char *directory, bool production, int count, char *const words[])
{
    struct running running = {
        .instance = {.production = production}, .called = "silver run", .count = count, .words = words};
    return start(&running, directory);
}

int run_inside(const char *called, const char *directory, inside_fn *fn, void *data)
{
    struct running running = {.called = called, .inside = fn, .inside_data = data};
    return start(&running, directory);
}
