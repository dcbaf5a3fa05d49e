/* web_start.c: the workers of an application in Python.
 *
 * They are children that the instance's manager keeps. The instance is ready when the first of them has
 * loaded the application and says what it is; what keeps it from loading is why the application does not
 * start. Meanwhile another program looks whether the packages are there that the application asks for: that
 * is told in any case, and it is most often why an import fails. */
#include "run/web.h"

#include "core/task.h"
#include "subsystem/hello.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 20000 /* for looking at the packages */

static void set_variable(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

void web_set_environment(const struct manifest *manifest)
{
    char *virtualenv = python_virtualenv(manifest), threads[24];
    snprintf(threads, sizeof(threads), "%llu", (unsigned long long)manifest->workers.threads);
    set_variable(WEB_ENV_DIRECTORY, manifest->directory);
    set_variable(WEB_ENV_OBJECT, manifest->object);
    set_variable(WEB_ENV_VENV, virtualenv);
    set_variable(WEB_ENV_THREADS, threads);
    free(virtualenv);
}

void web_set_identity(const struct manifest *manifest, int instance)
{
    static const char *const levels[] = {
        [SL_DEBUG] = "debug", [SL_INFO] = "info", [SL_WARNING] = "warning", [SL_ERROR] = "error"};
    char number[16];
    snprintf(number, sizeof(number), "%d", instance);
    set_variable(WEB_ENV_NAME, manifest->app_name);
    set_variable(WEB_ENV_INSTANCE, number);
    set_variable(WEB_ENV_LEVEL, levels[manifest->level]);
}

static void offer(const struct manifest *manifest)
{
    const struct manifest_workers *workers = &manifest->workers;
    sl_offer options = {
        .minimum = workers->processes,
        .maximum = workers->processes,
        .concurrency = workers->concurrency,
        .memory = workers->memory,
        .recycle_calls = workers->calls,
        .start_ms = workers->timeout_ms,
    };
    sl_error *error = NULL;
    const char *module = sl_printf("%s/%s", manifest->directory, manifest->runner);
    if (sl_manager_offer(sl_manager_of(sl_root_current()), WEB_SERVICE, &options, module, &error) < 0)
        sl_fail_error(error);
}

/* Waits until the first worker is ready, and hears what it serves. */
static void *ask_about(void *data)
{
    struct web *web = data;
    sl__packet packet;
    sl__talk *talk = sl__talk_begin(WEB_SERVICE, WEB_ABOUT, &(sl__packet){.codec = SL__CODEC_FLAT}, NULL, 0,
                                    SL_CALL(.timeout_ms = 2 * web->manifest->workers.timeout_ms));
    while (sl__talk_next(talk, &packet))
        continue;
    const struct web_about *about = relay_decode(&packet, web_about_record());
    web->asgi = about->interface && strcmp(about->interface, "asgi") == 0;
    web->interface = web->asgi ? "asgi" : "wsgi";
    return NULL;
}

/* ---- Packages ---------------------------------------------------------------------------------------- */

/* A deferred of what the program finds, or NULL where there is nothing to look for. */
static sl_deferred *look_for_packages(const struct manifest *manifest)
{
    struct arguments command = {0};
    sl_deferred *looking = NULL;
    if (python_asks_packages(manifest) && python_check_command(manifest, /* sources= */ false, &command))
        looking = sl_process_run(command.items, .timeout_ms = LOOK_MS);
    arguments_done(&command);
    return looking;
}

static const char *text_of(const struct complaints *complaints)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return "";
    complaints_print(complaints, out);
    fclose(out);
    sl_defer(free, text);
    while (size && text[size - 1] == '\n')
        text[--size] = '\0';
    return text;
}

/* Logs what is wrong with the packages. The first complaint's hint, or NULL. */
static const char *tell_packages(sl_deferred *looking)
{
    sl_error *error = NULL;
    const sl_process_result *found = looking ? sl_try(looking, &error) : NULL;
    struct complaints complaints = {0};
    const char *hint = NULL;
    if (!found || found->status != 0 ||
        python_complaints(found->output->data, found->output->size, &complaints) < 0) {
        if (looking)
            sl_warning("whether all packages are there could not be found out: %s",
                       error ? error->message : found->error->data);
    } else if (complaints.count) {
        sl_warning("%s", text_of(&complaints));
        if (complaints.items[0].hint)
            hint = sl_printf("%s; %s", complaints.items[0].message, complaints.items[0].hint);
    }
    complaints_done(&complaints);
    return hint;
}

/* ---- The start --------------------------------------------------------------------------------------- */

static void start(sl_app *app, void *data)
{
    struct web *web = data;
    sl_app_set(app, web, free);
    web_set_environment(web->manifest);
    sl_deferred *looking = look_for_packages(web->manifest);
    offer(web->manifest);
    sl_error *error = sl__catch(ask_about, web, NULL);
    if (error)
        sl_manager_withdraw(sl_manager_of(sl_root_current()), WEB_SERVICE);
    const char *hint = tell_packages(looking);
    if (!error)
        return;
    if (error->cause && error->cause->detail) { /* what the application failed with, and not that it did */
        sl_error *cause = sl_error_ref(error->cause);
        sl_error_unref(error);
        error = cause;
    }
    sl_fail_error(hint ? sl_error_hint(error, "%s", hint) : error);
}

int web_load(const struct manifest *manifest, const struct build *build, struct loaded *ret_loaded,
             sl_error **ret_error)
{
    struct web *web = sl_calloc(1, sizeof(*web));
    web->manifest = manifest;
    *ret_loaded = (struct loaded){.start = start, .data = web, .handler = web_handle, .failure = web_failure};
    return 0;
}
