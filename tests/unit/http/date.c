/* date.c: HTTP dates. */
#include "http/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

static void writes_imf_fixdates(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {951868799, "Tue, 29 Feb 2000 23:59:59 GMT"},
        {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
        {4107542399, "Sun, 28 Feb 2100 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT"},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        char text[30];
        sl__http_date(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void agrees_with_the_c_library(void **state)
{
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        int64_t seconds = (int64_t)(random % 253402300800u), read = -1;
        char text[30], theirs[40];
        struct tm parts;
        time_t time = (time_t)seconds;
        strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&time, &parts));
        sl__http_date(seconds, text);
        assert_string_equal(text, theirs);
        assert_int_equal(sl__http_date_parse(sl_view_of(text), &read), 0);
        assert_int_equal(read, seconds);
    }
}

static void reads_all_three_forms(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Wed Dec 31 23:59:59 1969", -1},
        {"Sat Dec 31 23:59:60 2016", 1483228800},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Fri Dec 31 23:59:59 9999", 253402300799},
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        int64_t seconds = 42;
        assert_int_equal(sl__http_date_parse(sl_view_of(cases[i].text), &seconds), 0);
        assert_int_equal(seconds, cases[i].seconds);
    }
}

/* A year of two digits is the one within the next 50 years, else the one before. */
static void places_years_of_two_digits(void **state)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    time_t now = time(NULL);
    struct tm today;
    gmtime_r(&now, &today);
    for (int ahead = -49; ahead <= 50; ahead++) {
        int year = today.tm_year + 1900 + ahead;
        struct tm parts = {.tm_year = year - 1900, .tm_mon = 5, .tm_mday = 15, .tm_hour = 12};
        int64_t wanted = timegm(&parts), seconds = 0;
        char text[64];
        snprintf(text, sizeof(text), "%s, 15-Jun-%02d 12:00:00 GMT", days[parts.tm_wday], year % 100);
        assert_int_equal(sl__http_date_parse(sl_view_of(text), &seconds), 0);
        assert_int_equal(seconds, wanted);
    }
}

static void refuses_the_rest(void **state)
{
    static const char *const cases[] = {
        "",
        "0",
        "now",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Monday, 06-Nov-94 08:49:37 GMT",
        "Mon Nov  6 08:49:37 1994",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 06 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Tue, 30 Feb 2000 00:00:00 GMT",
        "Thu, 29 Feb 1900 00:00:00 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 19941 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < sl_array_size(cases); i++) {
        int64_t seconds = 42;
        if (sl__http_date_parse(sl_view_of(cases[i]), &seconds) != SL_EPARSE)
            fail_msg("this was taken for a date: \"%s\"", cases[i]);
        assert_int_equal(seconds, 42);
    }
    int64_t seconds = 42;
    assert_int_equal(sl__http_date_parse((sl_view){"Sun, 06 Nov\0001994 08:49:37 GMT", 29}, &seconds),
                     SL_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_imf_fixdates),   cmocka_unit_test(agrees_with_the_c_library),
        cmocka_unit_test(reads_all_three_forms), cmocka_unit_test(places_years_of_two_digits),
        cmocka_unit_test(refuses_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
