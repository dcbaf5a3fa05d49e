/* Requests for whose tasks there is no memory. */
#include "serving.h"

#include "core/stack.h"

#include <stdatomic.h>

static reply r;
static atomic_bool none_left;

/* The linker puts this one in the place of stack.c's. */
sl__stack *__real_sl__stack_get(sl__stacks **stacks);
sl__stack *__wrap_sl__stack_get(sl__stacks **stacks);

sl__stack *__wrap_sl__stack_get(sl__stacks **stacks)
{
    return atomic_load(&none_left) ? NULL : __real_sl__stack_get(stacks);
}

static sl_response *hello(sl_request *req)
{
    return sl_text(req, 200, "hello");
}

static void refused(int port)
{
    int fd = dial(port);
    put(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    get(fd, &r);
    CHECK(r.status == 200);
    atomic_store(&none_left, true);
    put(fd, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n");
    get(fd, &r);
    CHECK(r.status == 503 && strstr(r.body, "no memory"));
    CHECK(strcmp(field_of(&r, "Connection"), "close") == 0 && field_of(&r, "Retry-After"));
    CHECK(at_end(fd));
    close(fd);
    fd = dial(port);
    put(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    get_head(fd, &r);
    CHECK(r.status == 503 && at_end(fd));
    close(fd);
    /* Their places among the requests in flight are free again. */
    atomic_store(&none_left, false);
    ask(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &r);
    CHECK(r.status == 200);
}

static void test_requests(void **state)
{
    serving s = serving_with(hello);
    s.options.limits.in_flight = 1;
    serve(s, refused);
}

static void *nothing(void *data)
{
    return data;
}

static void *spawns(void *data)
{
    atomic_store(&none_left, true);
    sl_error *error = NULL;
    assert_null(sl_try(sl_spawn(nothing, "x"), &error));
    assert_int_equal(error->code, SL_ENOMEM);
    atomic_store(&none_left, false);
    return sl_await(sl_spawn(nothing, "x"));
}

static void test_spawn(void **state)
{
    void *value = NULL;
    assert_int_equal(sl_run("test", spawns, NULL, &value), 0);
    assert_string_equal(value, "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_spawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
