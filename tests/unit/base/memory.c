/* Allocation and arenas. */
#include "check.h"

#include <signal.h>
#include <stdalign.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_small_and_large(void **state)
{
    sl_arena *arena = sl_arena_new();
    unsigned char **blocks = sl_calloc(3000, sizeof *blocks);
    size_t *sizes = sl_calloc(3000, sizeof *sizes), sum = 0;
    unsigned random = 1;
    for (int i = 0; i < 3000; i++) {
        random = random * 1103515245 + 12345;
        size_t size = i % 100 == 99 ? 300000 + random % 100000 : i % 10 == 9 ? random % 20000 : random % 200;
        blocks[i] = sl_arena_alloc(arena, size);
        sizes[i] = size;
        assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        memset(blocks[i], i, size);
        sum += size;
    }
    assert_true(sl_arena_used(arena) >= sum);
    assert_true(sl_arena_used(arena) < sum + 3000 * alignof(max_align_t));
    for (int i = 0; i < 3000; i++) /* none lies in another */
        for (size_t k = 0; k<sizes[i]; k += sizes[i]> 5000 ? 997 : 1)
            assert_int_equal(blocks[i][k], (unsigned char)i);
    free(blocks);
    free(sizes);
    assert_null(sl_arena_free(arena));
    assert_null(sl_arena_free(NULL));
}

static void test_reset(void **state)
{
    sl_arena *arena = sl_arena_new();
    void *first = sl_arena_alloc(arena, 16);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++)
            memset(sl_arena_alloc(arena, 5000), round, 5000);
        sl_arena_alloc(arena, 1000000);
        sl_arena_reset(arena);
        assert_int_equal(sl_arena_used(arena), 0);
        assert_ptr_equal(sl_arena_alloc(arena, 16), first); /* the first chunk is kept */
        char *cleared = sl_arena_zalloc(arena, 3000);
        for (int i = 0; i < 3000; i++)
            assert_int_equal(cleared[i], 0);
    }
    sl_arena_reset(arena);
    sl_arena_reset(arena);
    sl_arena_free(arena);
}

static void test_strings(void **state)
{
    sl_arena *arena = sl_arena_new();
    assert_string_equal(sl_arena_strdup(arena, ""), "");
    assert_string_equal(sl_arena_strdup(arena, "silver"), "silver");
    assert_memory_equal(sl_arena_strndup(arena, "a\0b", 3), "a\0b\0", 4);
    assert_string_equal(sl_arena_strndup(arena, NULL, 0), "");
    for (int width = 250; width < 262; width++) { /* around what is tried on the stack */
        char *text = sl_arena_printf(arena, "%*d", width, 7);
        assert_int_equal(strlen(text), width);
        assert_int_equal(text[width - 1], '7');
    }
    assert_string_equal(sl_arena_printf(arena, "%ls", L"\xd800"), "");
    sl_arena_free(arena);
}

static void test_heap(void **state)
{
    void *memory = sl_malloc(0);
    assert_non_null(memory);
    memory = sl_realloc(memory, 0);
    assert_non_null(memory);
    free(memory);
    memory = sl_calloc(0, 8);
    assert_non_null(memory);
    free(memory);
    char *text = sl_printf_heap("%s-%d", "a", 1);
    assert_string_equal(text, "a-1");
    free(text);
    text = sl_printf_heap("%s", "");
    assert_string_equal(text, "");
    free(text);
}

/* ---- Sizes that there is no memory for ---- */

static volatile size_t huge = SIZE_MAX;

static void ask_arena(void)
{
    sl_arena *arena = sl_arena_new();
    memset(sl_arena_alloc(arena, huge - 20), 0, 100);
}

static void ask_arena_almost(void)
{
    sl_arena *arena = sl_arena_new();
    memset(sl_arena_alloc(arena, huge - 31), 0, 100);
}

static void ask_buffer(void)
{
    sl_buffer buffer = {0};
    sl_buffer_puts(&buffer, "silver");
    sl_buffer_reserve(&buffer, huge - 3);
    memset(buffer.data, 0, 1000);
}

static void ask_calloc(void)
{
    memset(sl_calloc(huge / 2, 3), 0, 100);
}

/* The process ends with a message rather than go on with too little. */
static void assert_out_of_memory(void (*ask)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        ask();
        _exit(0);
    }
    close(ends[1]);
    sl_buffer said = {0};
    char some[4096];
    for (ssize_t n; (n = read(ends[0], some, sizeof some)) > 0;)
        sl_buffer_put(&said, some, (size_t)n);
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(said.data);
    /* The address sanitizer refuses such sizes before we can. */
    assert_true(strstr(said.data, "out of memory") || strstr(said.data, "allocation-size-too-big") ||
                strstr(said.data, "calloc-overflow"));
    sl_buffer_done(&said);
}

static void test_impossible_sizes(void **state)
{
    assert_out_of_memory(ask_arena);
    assert_out_of_memory(ask_arena_almost);
    assert_out_of_memory(ask_buffer);
    assert_out_of_memory(ask_calloc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_and_large),  cmocka_unit_test(test_reset),
        cmocka_unit_test(test_strings),          cmocka_unit_test(test_heap),
        cmocka_unit_test(test_impossible_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
