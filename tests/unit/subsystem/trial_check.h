/* trial_check.h: what the tests of the manager share: programs in a task with a manager that offers the
 * trials. */
#pragma once

#include "check.h"
#include "trial.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <jansson.h>

static inline bool no_children(void)
{
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static inline unsigned open_files(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* A manager, and this service offered with these options. */
static inline sl_manager *manager_new(void)
{
    sl_manager *manager;
    CHECK(sl_manager_new(sl_root_current(), &(sl_manager_options){.programs = getenv("TRIAL_PROGRAMS")},
                         &manager) == 0);
    return manager;
}

static inline void offer(sl_manager *manager, const char *name, const sl_offer *options)
{
    sl_error *error;
    if (sl_manager_offer(manager, name, options, getenv("TRIAL_MODULE"), &error) < 0) {
        fprintf(stderr, "%s\n", sl_error_text(error));
        abort();
    }
}
#define OFFER(manager, name, ...) offer((manager), #name, &(sl_offer){.service = name##_service, __VA_ARGS__})

/* cmocka's test around a task, in which `manager` is a manager without services; nothing of it is left at the
 * end. */
#define TRIAL_TEST(name)                                                                                     \
    static void name##_body(sl_manager *manager);                                                            \
    static void *name##_task(void *data)                                                                     \
    {                                                                                                        \
        unsigned files = open_files();                                                                       \
        sl_manager *manager = manager_new();                                                                 \
        name##_body(manager);                                                                                \
        sl_manager_free(manager);                                                                            \
        CHECK(no_children());                                                                                \
        while (open_files() != files) /* closed at the end of a pass of the loop */                          \
            sl_yield();                                                                                      \
        return NULL;                                                                                         \
    }                                                                                                        \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        assert_int_equal(sl_run(#name, name##_task, *state, NULL), 0);                                       \
    }                                                                                                        \
    static void name##_body(sl_manager *manager)

static inline int64_t number_of(sl_deferred *call)
{
    return ((const struct trial_number *)sl_await(call))->number;
}

/* What the statistics of a service say at a place ("calls.succeeded"). */
static inline json_int_t stat_of(sl_manager *manager, const char *service, const char *group,
                                 const char *name)
{
    json_t *all = sl_manager_stats(manager), *each;
    size_t i;
    json_int_t value = -1;
    json_array_foreach(all, i, each)
    {
        if (strcmp(json_string_value(json_object_get(each, "name")), service) == 0)
            value = json_integer_value(json_object_get(group ? json_object_get(each, group) : each, name));
    }
    json_decref(all);
    return value;
}

/* How many children of the only service are in this state (NULL: any). */
static inline unsigned children_in(sl_manager *manager, const char *state)
{
    json_t *all = sl_manager_stats(manager), *child;
    size_t i;
    unsigned count = 0;
    json_array_foreach(json_object_get(json_array_get(all, 0), "children"), i, child) count +=
        !state || strcmp(json_string_value(json_object_get(child, "state")), state) == 0;
    json_decref(all);
    return count;
}

/* Waits for what must come: the test's own time-out is the limit. */
#define AWAIT(condition)                                                                                     \
    while (!(condition))                                                                                     \
    sl_await(sl_sleep(1))

static char scratch[64];

static inline int scratch_new(void **state)
{
    strcpy(scratch, "/tmp/silver-trial-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    return remove(path);
}

static inline int scratch_remove(void **state)
{
    return nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline char *in_scratch(const char *name)
{
    return sl_printf("%s/%s", scratch, name);
}

static inline bool exists(const char *name)
{
    return access(in_scratch(name), F_OK) == 0;
}

static inline void touch(const char *name)
{
    FILE *file = fopen(in_scratch(name), "we");
    CHECK(file && fclose(file) == 0);
}
