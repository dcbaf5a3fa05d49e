/* status.c: `silver status`: asks the supervisors of an application's slots what they do. */
#include "run/reporter.h"
#include "run/run.h"
#include "run/slots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_S 10 /* more than a supervisor waits for its instances */

/* ---- Asking ------------------------------------------------------------------------------------------ */

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t size = sizeof(peer);
    struct timeval patience = {.tv_sec = ANSWER_S};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        int code = -errno;
        if (fd >= 0)
            close(fd);
        return code;
    }
    if (peer.uid == geteuid() || peer.uid == 0)
        return fd;
    close(fd);
    return SL_EACCES;
}

/* What the supervisor says; NULL: nobody is there, or says nothing. */
static json_t *ask(const char *runtime, int slot)
{
    char *path = reporter_path(runtime, slot);
    int fd = dial(path);
    sl_buffer text = {0};
    json_t *answer = NULL;
    if (fd >= 0 && sl_buffer_read(&text, fd, REPORT_SIZE_MAX) == 0 && text.size)
        answer = json_loadb(text.data, text.size, 0, NULL);
    if (fd >= 0)
        close(fd);
    sl_buffer_done(&text);
    free(path);
    return answer;
}

/* Whether somebody holds the slot, who may be just starting. */
static bool is_held(const char *runtime, int slot)
{
    char *path = sl_printf_heap("%s/slots/%d", runtime, slot);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    free(path);
    return held;
}

static json_t *ask_all(const char *runtime)
{
    json_t *slots = json_array();
    for (int slot = 0; slot < RUN_SLOTS_MAX; slot++) {
        json_t *answer = ask(runtime, slot);
        if (!json_is_object(answer)) {
            json_decref(answer);
            answer = is_held(runtime, slot) ? json_pack("{s:i, s:b}", "slot", slot, "answers", 0) : NULL;
        } else {
            json_object_set_new(answer, "answers", json_true());
        }
        if (answer)
            json_array_append_new(slots, answer);
    }
    return slots;
}

/* ---- Saying ------------------------------------------------------------------------------------------ */

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void put_age(FILE *out, json_int_t ms)
{
    json_int_t s = ms / 1000;
    if (s < 120)
        fprintf(out, "for %lld s", (long long)s);
    else if (s < 7200)
        fprintf(out, "for %lld min", (long long)s / 60);
    else if (s < 172800)
        fprintf(out, "for %lld h", (long long)s / 3600);
    else
        fprintf(out, "for %lld days", (long long)s / 86400);
}

static void put_memory(FILE *out, json_int_t bytes)
{
    fprintf(out, ", %.1f MiB", (double)bytes / (1 << 20));
}

static void put_child(FILE *out, const json_t *child)
{
    fprintf(out, "      process %lld %s ", (long long)number(child, "pid"), text(child, "state"));
    put_age(out, number(child, "age_us") / 1000);
    put_memory(out, number(child, "memory"));
    fprintf(out, ", %lld calls, %lld running\n", (long long)number(child, "calls"),
            (long long)number(child, "running"));
}

/* How the calls ended, but for those that ended well; in the order in which the manager counts. */
static void put_calls(FILE *out, const json_t *calls)
{
    const char *outcome;
    json_t *count;
    fprintf(out, "%lld calls", (long long)number(calls, "accepted"));
    json_object_foreach((json_t *)calls, outcome, count)
    {
        if (json_integer_value(count) && strcmp(outcome, "accepted") != 0)
            fprintf(out, ", %lld %s", (long long)json_integer_value(count), outcome);
    }
}

static void put_service(FILE *out, const json_t *service)
{
    size_t i;
    json_t *child;
    fprintf(out, "    service %s: ", text(service, "name"));
    put_calls(out, json_object_get(service, "calls"));
    fprintf(out, "; %lld running, %lld waiting; %lld starts, %lld crashes%s\n",
            (long long)number(service, "running"), (long long)number(service, "waiting"),
            (long long)number(service, "starts"), (long long)number(service, "crashes"),
            json_is_true(json_object_get(service, "failing")) ? "; refuses calls after too many crashes"
                                                              : "");
    json_array_foreach(json_object_get(service, "children"), i, child) put_child(out, child);
}

static void put_instance(FILE *out, const json_t *instance)
{
    size_t i;
    json_t *service;
    fprintf(out, "  instance %lld: process %lld %s ", (long long)number(instance, "instance"),
            (long long)number(instance, "pid"), text(instance, "state"));
    put_age(out, number(instance, "age_ms"));
    put_memory(out, number(instance, "memory"));
    if (json_is_true(json_object_get(instance, "answers")))
        fprintf(out, ", %lld requests, %lld in flight, %lld connections\n",
                (long long)number(instance, "requests"), (long long)number(instance, "in_flight"),
                (long long)number(instance, "connections"));
    else
        fprintf(out, ", does not answer\n");
    json_array_foreach(json_object_get(instance, "services"), i, service) put_service(out, service);
}

static void put_slot(FILE *out, const json_t *slot)
{
    size_t i;
    json_t *instance;
    const json_t *postgres = json_object_get(json_object_get(slot, "services"), "postgres");
    fprintf(out, "slot %lld: ", (long long)number(slot, "slot"));
    if (json_is_false(json_object_get(slot, "answers"))) {
        fprintf(out, "taken by a process that is still starting, or does not answer\n");
        return;
    }
    fprintf(out, "%s, process %lld ", text(slot, "url"), (long long)number(slot, "pid"));
    put_age(out, number(slot, "age_ms"));
    fprintf(out, ", %s\n", json_is_true(json_object_get(slot, "production")) ? "production" : "development");
    if (postgres)
        fprintf(out, "  PostgreSQL of its own: `psql -h %s -U %s %s`\n", text(postgres, "host"),
                text(postgres, "user"), text(postgres, "dbname"));
    json_array_foreach(json_object_get(slot, "instances"), i, instance) put_instance(out, instance);
}

static void put_all(FILE *out, const struct manifest *manifest, const json_t *slots)
{
    size_t i;
    json_t *slot;
    fprintf(out, "%s: %s\n", manifest->app_name, json_array_size(slots) ? "running" : "not running");
    json_array_foreach((json_t *)slots, i, slot) put_slot(out, slot);
}

static void put_json(FILE *out, const struct manifest *manifest, const json_t *slots)
{
    json_t *all = json_pack("{s:s, s:s, s:b, s:O}", "application", manifest->app_name, "directory",
                            manifest->directory, "running", json_array_size(slots) > 0, "slots", slots);
    json_dumpf(all, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(all);
}

int run_status(const char *directory, bool json, FILE *out)
{
    struct complaints complaints = {0};
    struct manifest *manifest = NULL;
    SL_AUTO_ERROR sl_error *error = NULL;
    char *runtime = NULL;
    if (manifest_load(directory ? directory : ".", &complaints, &manifest) < 0) {
        complaints_print(&complaints, stderr);
        complaints_done(&complaints);
        return 1;
    }
    int status = 1;
    if (runtime_directory(manifest->directory, &runtime, &error) < 0) {
        fprintf(stderr, "silver status: %s\n%s\n", error->message, error->hint ? error->hint : "");
    } else {
        json_t *slots = ask_all(runtime);
        (json ? put_json : put_all)(out, manifest, slots);
        status = json_array_size(slots) ? 0 : RUN_EXIT_NOT_RUNNING;
        json_decref(slots);
    }
    free(runtime);
    manifest_free(manifest);
    return status;
}
