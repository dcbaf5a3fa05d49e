/* check.h: what the tests of this room share: cmocka, a program in a task, and a scratch directory. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <silver/io.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* cmocka's assertions jump, which must not happen across a task's switch: in tasks use this. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* cmocka's test around a task. */
#define TASK_TEST(name)                                                                                      \
    static void *name##_task(void *data);                                                                    \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        assert_int_equal(sl_run(#name, name##_task, *state, NULL), 0);                                       \
    }                                                                                                        \
    static void *name##_task(__attribute__((unused)) void *data)

/* The await fails with this code, and its message contains the text. */
#define CHECK_FAILS(deferred, wanted, text)                                                                  \
    do {                                                                                                     \
        sl_error *check_error = NULL;                                                                        \
        sl_try((deferred), &check_error);                                                                    \
        if (!check_error || check_error->code != (wanted) || !strstr(check_error->message, (text))) {        \
            fprintf(stderr, "%s:%d: wanted %d \"%s\", got %d \"%s\"\n", __FILE__, __LINE__, (wanted),        \
                    (text), check_error ? check_error->code : 0,                                             \
                    check_error ? check_error->message : "a success");                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static char scratch[64];

static inline int scratch_new(void **state)
{
    strcpy(scratch, "/tmp/silver-io-XXXXXX");
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

/* In the calling task's arena. */
static inline char *in_scratch(const char *name)
{
    return sl_printf("%s/%s", scratch, name);
}

static inline void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* How many descriptors are open, that of the listing left out. */
static inline int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 3;
}
