/* supervisor.c: keeps N instances of one application going.
 *
 * Reloading is a roll: place by place the next one is started, and when it is ready the one before drains. A
 * crash is answered with a new start after a pause, which doubles from 100 ms to 10 s and begins anew once an
 * instance has served for 30 s. In development the sources are watched, and a change of what they would be
 * built into starts a roll. */
#include "run/supervisor.h"
#include "run/control.h"
#include "run/member.h"
#include "run/run.h"
#include "run/reporter.h"
#include "run/watcher.h"

#include <silver/http.h>
#include <silver/io.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000
#define HEALTHY_MS 30000
#define DRAIN_GRACE_MS 2000
#define REPAIR_MS 1000
#define SILENCE_MS 30000
#define SILENCE_IN_DEVELOPMENT_MS 10000
#define SILENCE_VARIABLE "SILVER_SILENCE_MS" /* for tests */

struct place {
    struct supervisor *supervisor;
    unsigned number;
    struct member *current, *next;
    uv_timer_t pause;
    uint64_t pause_ms;
    int metrics; /* a listening socket, or -1 */
};

struct supervisor {
    const struct supervisor_options *options;
    sl_loop *loop;
    struct log_file *log;
    struct place places[RUN_INSTANCES_MAX];
    struct member *members; /* all, also those that drain */
    uv_signal_t signals[4];
    uv_timer_t watchdog, repair;
    struct watcher *watcher; /* in development */
    struct reporter *reporter;
    bool announced, stopping, rolling;
    unsigned rolled;   /* how many places the roll has gone through */
    uint64_t drain_ms; /* of the manifest as it was read last */
    uint64_t silence_ms;
    int status;
};

#define SAY(supervisor, level, ...) sl_log_to(&(supervisor)->log->logger, (level), SL_HERE, __VA_ARGS__)

static void roll_on(struct supervisor *supervisor);
static const struct member_events events;

/* ---- Stopping ---------------------------------------------------------------------------------------- */

static void finish_if_empty(struct supervisor *supervisor)
{
    if (supervisor->stopping && !supervisor->members)
        sl_loop_stop(supervisor->loop);
}

static void kill_all(struct supervisor *supervisor)
{
    for (struct member *member = supervisor->members; member; member = member->next)
        member_kill(member);
}

/* An instance keeps to the limit by itself, if its code lets it come to that. */
static void drain(struct supervisor *supervisor, struct member *member)
{
    member_drain(member, supervisor->drain_ms + DRAIN_GRACE_MS);
}

static void stop(struct supervisor *supervisor, int status)
{
    if (supervisor->stopping)
        return;
    supervisor->stopping = true;
    supervisor->status = status;
    /* Who comes now is refused, and not left waiting, also where an instance does not come to closing its
     * own. */
    if (!supervisor->options->borrowed)
        shutdown(supervisor->options->listener, SHUT_RDWR);
    close(supervisor->options->listener);
    notify_send(supervisor->options->notify, "STOPPING=1");
    watcher_stop(supervisor->watcher);
    for (unsigned i = 0; i < supervisor->options->instances; i++)
        uv_timer_stop(&supervisor->places[i].pause);
    for (struct member *member = supervisor->members; member; member = member->next)
        drain(supervisor, member);
    finish_if_empty(supervisor);
}

/* ---- Starting ---------------------------------------------------------------------------------------- */

/* In development who made the mistake sees it in the browser; a daemon that cannot start says so and ends. */
static bool shows_errors(const struct supervisor *supervisor)
{
    return !supervisor->options->production && (supervisor->announced || supervisor->log->echo < 0);
}

/* `why` the one before did not start, for this one to serve; or NULL. */
static struct member *start(struct supervisor *supervisor, struct place *place, const char *why)
{
    const struct supervisor_options *options = supervisor->options;
    sl_buffer words = {0};
    sl_buffer_printf(
        &words, "instance%s%s%s%s%s", options->production ? "," OPTION_PRODUCTION : "",
        supervisor->log->path ? "," OPTION_LOG_FILES : "", place->metrics >= 0 ? "," OPTION_METRICS : "",
        shows_errors(supervisor) ? "," OPTION_SHOWS : "", options->borrowed ? "," OPTION_BORROWED : "");
    struct member_options member_options = {
        .directory = options->manifest->directory,
        .logs = options->logs,
        .words = words.data,
        .app_name = options->manifest->app_name,
        .why = why,
        .place = place->number,
        .listener = options->listener,
        .metrics = place->metrics,
        .silence_ms = supervisor->silence_ms,
    };
    struct member *member = NULL;
    int code = member_start(supervisor->loop, &member_options, supervisor, &events, supervisor->log, &member);
    sl_buffer_done(&words);
    if (code < 0) {
        SAY(supervisor, SL_ERROR, "instance %u cannot be started: %s", place->number, sl_code_message(code));
        return NULL;
    }
    member->next = supervisor->members;
    supervisor->members = member;
    return member;
}

static void pause_is_over(uv_timer_t *timer)
{
    struct place *place = timer->data;
    place->current = start(place->supervisor, place, NULL);
    if (!place->current)
        uv_timer_start(timer, pause_is_over, PAUSE_MAX_MS, 0);
}

static void restart_later(struct supervisor *supervisor, struct place *place, const struct member *ended,
                          const char *reason)
{
    uint64_t now = sl_loop_now(supervisor->loop);
    if (ended->state == MEMBER_READY && now - ended->ready_at >= HEALTHY_MS)
        place->pause_ms = PAUSE_MIN_MS;
    SAY(supervisor, SL_ERROR, "instance %u (process %d) %s; it is started again in %llu ms", place->number,
        (int)ended->process.pid, reason, (unsigned long long)place->pause_ms);
    uv_timer_start(&place->pause, pause_is_over, place->pause_ms, 0);
    place->pause_ms *= 2;
    if (place->pause_ms > PAUSE_MAX_MS)
        place->pause_ms = PAUSE_MAX_MS;
}

/* ---- What members tell ------------------------------------------------------------------------------- */

static void announce(struct supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->options->instances; i++)
        if (!supervisor->places[i].current || supervisor->places[i].current->state != MEMBER_READY)
            return;
    supervisor->announced = true;
    supervisor->options->ready(supervisor->options->data);
    notify_send(supervisor->options->notify, "READY=1");
}

static void member_ready(struct member *member)
{
    struct supervisor *supervisor = member->owner;
    struct place *place = &supervisor->places[member->place];
    member->ready_at = sl_loop_now(supervisor->loop);
    if (place->next == member) {
        if (place->current)
            drain(supervisor, place->current);
        else
            uv_timer_stop(&place->pause);
        place->current = member;
        place->next = NULL;
        supervisor->rolled++;
        roll_on(supervisor);
    }
    if (!supervisor->announced)
        announce(supervisor);
}

/* Then instances are of the new build, and we of the old. */
static void say_if_replaced(struct supervisor *supervisor)
{
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
    const char suffix[] = " (deleted)";
    size_t length = sizeof(suffix) - 1;
    if (size > (ssize_t)length && memcmp(path + size - length, suffix, length) == 0)
        SAY(supervisor, SL_WARNING, "silver itself was rebuilt or replaced: start it again");
}

static void end_roll(struct supervisor *supervisor)
{
    supervisor->rolling = false;
    if (!supervisor->stopping)
        notify_send(supervisor->options->notify, "READY=1");
}

/* In development one that did not come up is followed by one that serves why. */
static bool explain_end(struct supervisor *supervisor, struct place *place, const struct member *ended,
                        bool was_next, bool was_current, const char *reason)
{
    if (ended->state != MEMBER_STARTING || ended->explains || !shows_errors(supervisor))
        return false;
    struct member **role = was_next ? &place->next : &place->current;
    if (!was_next && (!was_current || supervisor->announced))
        return false;
    SAY(supervisor, SL_ERROR, "instance %u did not become ready, and why is served until it starts: it %s",
        place->number, reason);
    *role = start(supervisor, place, reason);
    return *role != NULL;
}

static void member_ended(struct member *member, const char *reason)
{
    struct supervisor *supervisor = member->owner;
    struct place *place = &supervisor->places[member->place];
    for (struct member **link = &supervisor->members; *link; link = &(*link)->next) {
        if (*link == member) {
            *link = member->next;
            break;
        }
    }
    reporter_heard(supervisor->reporter); /* it will not answer any more */
    bool was_current = place->current == member, was_next = place->next == member;
    if (was_current)
        place->current = NULL;
    if (was_next)
        place->next = NULL;
    if (supervisor->stopping) {
        finish_if_empty(supervisor);
    } else if (explain_end(supervisor, place, member, was_next, was_current, reason)) {
        return;
    } else if (was_next) {
        SAY(supervisor, SL_ERROR, "the new instance %u %s; the one before goes on", member->place, reason);
        say_if_replaced(supervisor);
        end_roll(supervisor);
    } else if (was_current && !supervisor->announced) {
        if (member->signal || member->status != 1)
            SAY(supervisor, SL_ERROR, "instance %u %s before it was ready", member->place, reason);
        stop(supervisor, 1);
    } else if (was_current) {
        restart_later(supervisor, place, member, reason);
    } else if (member->status || (member->signal && member->signal != SIGKILL)) {
        SAY(supervisor, SL_WARNING, "the instance %u before (process %d) %s while it drained", member->place,
            (int)member->process.pid, reason);
    }
}

static void member_reported(struct member *member)
{
    reporter_heard(((struct supervisor *)member->owner)->reporter);
}

static const struct member_events events = {
    .ready = member_ready, .reported = member_reported, .ended = member_ended};

/* ---- Reports ----------------------------------------------------------------------------------------- */

static void ask_reports(void *data)
{
    struct supervisor *supervisor = data;
    for (struct member *member = supervisor->members; member; member = member->next)
        if (member->state != MEMBER_STARTING) /* which has no ears yet */
            member_ask_report(member);
}

static bool have_reports(void *data)
{
    const struct supervisor *supervisor = data;
    for (const struct member *member = supervisor->members; member; member = member->next)
        if (member->asked && !member->report)
            return false;
    return true;
}

static json_t *compose_report(void *data)
{
    const struct supervisor *supervisor = data;
    return overview(supervisor->options, supervisor->members, sl_loop_now(supervisor->loop));
}

/* Without it the application is served all the same. */
static void open_reporter(struct supervisor *supervisor)
{
    static const struct reporter_events reports = {
        .ask = ask_reports, .complete = have_reports, .compose = compose_report};
    SL_AUTO_ERROR sl_error *error = NULL;
    if (supervisor->options->report_path &&
        reporter_new(supervisor->loop, supervisor->options->report_path, &reports, supervisor,
                     &supervisor->reporter, &error) < 0)
        SAY(supervisor, SL_WARNING, "%s", error->message);
}

/* ---- Rolling ----------------------------------------------------------------------------------------- */

static void say_reloaded(struct supervisor *supervisor)
{
    for (unsigned i = 0; i < supervisor->options->instances; i++) {
        const struct member *member = supervisor->places[i].current;
        if (!member || !member->broken)
            continue;
        SAY(supervisor, SL_WARNING, "%s does not compile or start: its error is served until it does",
            supervisor->options->manifest->app_name);
        say_if_replaced(supervisor);
        return;
    }
    SAY(supervisor, SL_INFO, "reloaded");
}

/* Starts the next one of the place whose turn it is. */
static void roll_on(struct supervisor *supervisor)
{
    if (supervisor->stopping || !supervisor->rolling)
        return;
    if (supervisor->rolled == supervisor->options->instances) {
        say_reloaded(supervisor);
        end_roll(supervisor);
        return;
    }
    struct place *place = &supervisor->places[supervisor->rolled];
    place->next = start(supervisor, place, NULL);
    if (!place->next)
        end_roll(supervisor);
}

/* What the manifest asks for since it was changed; what it does not any more goes with us. */
static void start_services(struct supervisor *supervisor, const struct manifest *manifest)
{
    SL_AUTO_ERROR sl_error *error = NULL;
    if (services_start(manifest, supervisor->options->services, &error) < 0)
        SAY(supervisor, SL_ERROR, "%s%s%s", error->message, error->hint ? "\n" : "",
            error->hint ? error->hint : "");
}

/* Takes from the manifest what can be taken while serving, and says what cannot. One that is wrong is told by
 * the instance that does not start with it. */
static void read_manifest(struct supervisor *supervisor)
{
    const struct manifest *used = supervisor->options->manifest;
    struct complaints complaints = {0};
    struct manifest *now = NULL;
    if (manifest_load(used->directory, &complaints, &now) == 0) {
        sl_buffer names = {0};
        manifest_unreached(used, now, &names);
        if (names.size)
            SAY(supervisor, SL_WARNING,
                "%s: a reload does not change %s: that takes effect when `silver serve` is started again",
                used->path, names.data);
        sl_buffer_done(&names);
        start_services(supervisor, now);
        supervisor->drain_ms = now->limits.drain_ms;
        supervisor->log->logger.level = now->level;
    }
    manifest_free(now);
    complaints_done(&complaints);
}

static void roll(struct supervisor *supervisor)
{
    read_manifest(supervisor);
    for (unsigned i = 0; i < supervisor->options->instances; i++) {
        struct place *place = &supervisor->places[i];
        if (!place->next)
            continue;
        struct member *overtaken = place->next; /* it was made of what has changed since */
        place->next = NULL;
        drain(supervisor, overtaken);
    }
    supervisor->rolling = true;
    supervisor->rolled = 0;
    char state[64];
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)sl_monotonic_ns() / 1000);
    notify_send(supervisor->options->notify, state);
    roll_on(supervisor);
}

static void sources_changed(void *data)
{
    struct supervisor *supervisor = data;
    SAY(supervisor, SL_INFO, "%s has changed: reloading", supervisor->options->manifest->app_name);
    roll(supervisor);
}

/* ---- Signals ----------------------------------------------------------------------------------------- */

static void ask_all(struct supervisor *supervisor, const char *line)
{
    for (struct member *member = supervisor->members; member; member = member->next)
        member_ask(member, line);
}

static void hang_up(struct supervisor *supervisor)
{
    if (!supervisor->log->path && isatty(STDERR_FILENO)) { /* the terminal is gone, and with it who watched */
        stop(supervisor, 0);
        return;
    }
    int code = log_file_reopen(supervisor->log);
    if (code < 0)
        SAY(supervisor, SL_ERROR, "the log cannot be opened again: %s", sl_code_message(code));
    else if (supervisor->log->path)
        log_file_redirect(supervisor->log);
    ask_all(supervisor, ASKS_REOPEN);
    if (supervisor->options->production && supervisor->announced)
        roll(supervisor);
}

static void signalled(uv_signal_t *handle, int number)
{
    struct supervisor *supervisor = handle->data;
    if (number == SIGUSR2) {
        ask_all(supervisor, ASKS_DUMP);
    } else if (number == SIGHUP) {
        if (!supervisor->stopping)
            hang_up(supervisor);
    } else if (!supervisor->stopping) {
        stop(supervisor, supervisor->announced ? 0 : 1);
    } else {
        supervisor->status = 1;
        kill_all(supervisor);
    }
}

static void pet_watchdog(uv_timer_t *timer)
{
    struct supervisor *supervisor = timer->data;
    for (unsigned i = 0; i < supervisor->options->instances; i++) {
        if (supervisor->places[i].current && member_answers(supervisor->places[i].current)) {
            notify_send(supervisor->options->notify, "WATCHDOG=1");
            return;
        }
    }
}

/* What keeps a service that all instances share may be killed as anything else. */
static void repair_services(uv_timer_t *timer)
{
    struct supervisor *supervisor = timer->data;
    if (!supervisor->stopping && services_repair(supervisor->options->services))
        SAY(supervisor, SL_WARNING, "service.postgres had ended, and is started again");
}

/* ---- The whole --------------------------------------------------------------------------------------- */

static void open_handles(struct supervisor *supervisor)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR2};
    uv_loop_t *uv = sl_loop_uv(supervisor->loop);
    for (size_t i = 0; i < sl_array_size(numbers); i++) {
        uv_signal_init(uv, &supervisor->signals[i]);
        supervisor->signals[i].data = supervisor;
        uv_signal_start(&supervisor->signals[i], signalled, numbers[i]);
    }
    uv_timer_t *timers[] = {&supervisor->watchdog, &supervisor->repair};
    for (size_t i = 0; i < sl_array_size(timers); i++) {
        uv_timer_init(uv, timers[i]);
        timers[i]->data = supervisor;
    }
    for (unsigned i = 0; i < supervisor->options->instances; i++) {
        uv_timer_init(uv, &supervisor->places[i].pause);
        supervisor->places[i].pause.data = &supervisor->places[i];
    }
    uv_timer_start(&supervisor->repair, repair_services, REPAIR_MS, REPAIR_MS);
    uint64_t every = supervisor->options->notify->watchdog_ms / 2;
    if (every)
        uv_timer_start(&supervisor->watchdog, pet_watchdog, every, every);
}

static void close_handles(struct supervisor *supervisor)
{
    for (size_t i = 0; i < sl_array_size(supervisor->signals); i++)
        uv_close((uv_handle_t *)&supervisor->signals[i], NULL);
    uv_close((uv_handle_t *)&supervisor->repair, NULL);
    uv_close((uv_handle_t *)&supervisor->watchdog, NULL);
    for (unsigned i = 0; i < supervisor->options->instances; i++)
        uv_close((uv_handle_t *)&supervisor->places[i].pause, NULL);
}

/* Each place has its metrics at an address of its own: the manifest's, its port counted up by slot and place.
 */
static int open_metrics(struct supervisor *supervisor)
{
    const struct supervisor_options *options = supervisor->options;
    for (unsigned i = 0; i < options->instances && options->manifest->metrics; i++) {
        sl_error *error = NULL;
        char *address = address_offset(options->manifest->metrics, options->slot * options->instances + i);
        int code = address ? sl_listen(address, 16, &supervisor->places[i].metrics, &error) : SL_EINVAL;
        if (code < 0)
            SAY(supervisor, SL_ERROR, "no metrics for instance %u: %s", i,
                error ? error->message : "the port would be beyond 65535");
        free(address);
        sl_error_unref(error);
        if (code < 0)
            return code;
    }
    return 0;
}

static uint64_t silence_limit(bool production)
{
    const char *given = getenv(SILENCE_VARIABLE);
    uint64_t ms;
    if (given && sl_view_number((sl_view){given, strlen(given)}, INT32_MAX, &ms) == 0 && ms > 0)
        return ms;
    return production ? SILENCE_MS : SILENCE_IN_DEVELOPMENT_MS;
}

int supervisor_run(sl_loop *loop, const struct supervisor_options *options)
{
    struct supervisor *supervisor = sl_calloc(1, sizeof(*supervisor));
    *supervisor = (struct supervisor){.options = options,
                                      .loop = loop,
                                      .log = options->log,
                                      .drain_ms = options->manifest->limits.drain_ms,
                                      .silence_ms = silence_limit(options->production)};
    for (unsigned i = 0; i < options->instances; i++)
        supervisor->places[i] =
            (struct place){.supervisor = supervisor, .number = i, .pause_ms = PAUSE_MIN_MS, .metrics = -1};
    int status = 1;
    if (open_metrics(supervisor) < 0) {
        close(options->listener);
    } else {
        open_handles(supervisor);
        open_reporter(supervisor);
        for (unsigned i = 0; i < options->instances && !supervisor->stopping; i++) {
            supervisor->places[i].current = start(supervisor, &supervisor->places[i], NULL);
            if (!supervisor->places[i].current)
                stop(supervisor, 1);
        }
        if (!options->production && !supervisor->stopping)
            supervisor->watcher =
                watcher_new(loop, options->manifest, &options->log->logger, sources_changed, supervisor);
        if (!supervisor->stopping || supervisor->members)
            sl_loop_run(loop);
        status = supervisor->status;
        reporter_stop(supervisor->reporter);
        close_handles(supervisor);
    }
    for (unsigned i = 0; i < options->instances; i++)
        if (supervisor->places[i].metrics >= 0)
            close(supervisor->places[i].metrics);
    sl_loop_free(loop); /* the handles lie in what is freed now */
    watcher_free(supervisor->watcher);
    free(supervisor);
    return status;
}
