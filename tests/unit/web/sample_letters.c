/* Drives docs/samples/web/letters.c. */

#include "fixture.h"

#include "core/task.h"

#include <stdlib.h>
#include <unistd.h>

void sl_application(sl_app *app);

static void drive(site *s)
{
    const char *form = "Content-Type: application/x-www-form-urlencoded\n";
    assert_int_equal(request(s, "POST /letters", .headers = form, .body = "text=dear+reader")->status, 202);
    assert_int_equal(request(s, "POST /letters", .headers = form, .body = "to=you")->status, 400);
    sl_await(sl__background_done(sl_loop_current()));
}

static void letters_test(void **state)
{
    char directory[] = "/tmp/silver-letters-XXXXXX";
    assert_non_null(mkdtemp(directory));
    setenv("CONFIG_FILES", directory, 1);
    with_site(true, sl_application, drive);
    char command[128];
    snprintf(command, sizeof(command), "test \"$(cat %s/letter)\" = 'dear reader' && rm -r %s", directory,
             directory);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(letters_test)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
