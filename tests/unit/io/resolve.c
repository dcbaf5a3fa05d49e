/* Names: what needs no name server. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

TASK_TEST(numbers_and_localhost)
{
    sl_addresses *found = sl_await(sl_resolve("127.0.0.1", "8080"));
    struct sockaddr_in *address = (struct sockaddr_in *)&found->addresses[0];
    CHECK(found->count == 1 && address->sin_family == AF_INET && ntohs(address->sin_port) == 8080);
    CHECK(ntohl(address->sin_addr.s_addr) == INADDR_LOOPBACK);
    found = sl_await(sl_resolve("::1", NULL));
    CHECK(found->count == 1 && found->addresses[0].ss_family == AF_INET6);
    found = sl_await(sl_resolve("localhost", "http"));
    CHECK(found->count >= 1);
    return NULL;
}

TASK_TEST(failures_name_the_host)
{
    sl_error *error;
    sl_try(sl_resolve("127.0.0.1", "no-such-service"), &error);
    CHECK(error && error->code < 0 && strstr(error->message, "127.0.0.1, port no-such-service") &&
          error->hint);
    sl_try(sl_resolve("not a host", "80"), &error);
    CHECK(error && error->code < 0 && strstr(error->message, "not a host"));
    char *endless = sl_alloc(2001);
    memset(endless, 'a', 2000);
    endless[2000] = '\0';
    sl_try(sl_resolve(endless, "80"), &error);
    CHECK(error && error->code < 0 && strlen(error->message) < 500);
    return NULL;
}

TASK_TEST(look_ups_are_cancelled)
{
    enum { COUNT = 200 };
    sl_deferred *many[COUNT];
    for (int i = 0; i < COUNT; i++)
        many[i] = sl_resolve("localhost", "80");
    for (int i = 0; i < COUNT; i++)
        sl_cancel(many[i]);
    for (int i = 0; i < COUNT; i++)
        CHECK_FAILS(many[i], SL_ECANCELED, "");
    CHECK(((sl_addresses *)sl_await(sl_resolve("127.0.0.1", "1")))->count == 1);
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_localhost),
        cmocka_unit_test(failures_name_the_host),
        cmocka_unit_test(look_ups_are_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
