/* check.h: what the tests of the run room share: cmocka, and directories to work in. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <silver/base.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes a directory of this test's own; free it with scratch_remove. */
static inline char *scratch_make(void)
{
    char *path = sl_strdup_heap("/tmp/silver-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline int scratch_remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    return remove(path);
}

static inline void scratch_remove(char *path)
{
    nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

/* Writes DIRECTORY/NAME. */
static inline void write_file(const char *directory, const char *name, const char *text)
{
    char *path = sl_printf_heap("%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    free(path);
}

/* All of a file; malloc'ed. */
static inline char *read_whole(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    sl_buffer text = {0};
    char chunk[4096];
    for (size_t size; (size = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        sl_buffer_put(&text, chunk, size);
    fclose(file);
    return text.data ? text.data : sl_strdup_heap("");
}
