/* The search's index, with a real history and a real SQLite. */
#include "../core/check.h"

#include "../../../apps/chat/plugins/search/index.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/silver-search-XXXXXX";
static char *path, *history;

/* ---- A history, as the chat keeps it ----------------------------------------------------------------- */

static void tell_history(const char *sql)
{
    sqlite3 *db;
    char *message = NULL;
    assert_int_equal(sqlite3_open(history, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, sql, NULL, NULL, &message))
        fail_msg("%s: %s", sql, message);
    sqlite3_close(db);
}

static void make_history(void)
{
    tell_history("PRAGMA journal_mode = WAL; CREATE TABLE message (id INTEGER PRIMARY KEY AUTOINCREMENT, "
                 "room TEXT NOT NULL,"
                 "author TEXT NOT NULL, nonce TEXT NOT NULL, body TEXT NOT NULL, sent INTEGER NOT NULL,"
                 "UNIQUE (room, author, nonce)) STRICT");
}

/* Sent on the n-th of January 2026, at noon UTC. */
static void say(const char *room, const char *author, const char *body, int day)
{
    char *sql = sqlite3_mprintf(
        "INSERT INTO message (room, author, nonce, body, sent) VALUES (%Q, %Q, hex(randomblob(8)),"
        "%Q, unixepoch('2026-01-01 12:00', '+%d days') * 1000000)",
        room, author, body, day - 1);
    tell_history(sql);
    sqlite3_free(sql);
}

static void remove_file(const char *of, const char *end)
{
    char *file = sl_printf_heap("%s%s", of, end);
    unlink(file);
    free(file);
}

static void remove_all(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".lock"};
    for (size_t i = 0; i < sl_array_size(ends); i++) {
        remove_file(path, ends[i]);
        remove_file(history, ends[i]);
        char *beside = sl_printf_heap("%s.new", path);
        remove_file(beside, ends[i]);
        free(beside);
    }
}

static int set_up(void **state)
{
    setenv("TZ", "UTC", 1);
    if (!path) {
        if (!mkdtemp(directory))
            return -1;
        path = sl_printf_heap("%s/search.sqlite", directory);
        history = sl_printf_heap("%s/chat.sqlite", directory);
    }
    remove_all();
    make_history();
    return 0;
}

static int tear_down_all(void **state)
{
    remove_all();
    rmdir(directory);
    free(path);
    free(history);
    return 0;
}

/* ---- Looking ----------------------------------------------------------------------------------------- */

static struct search_found look(search_index *index, const char *query)
{
    struct search_wanted wanted;
    struct search_found found = {0};
    search_parse(sl_task_arena(), query, &wanted);
    if (wanted.wrong)
        fail_msg("%s: %s", query, wanted.wrong);
    search_index_catch_up(index);
    search_index_find(index, &wanted, 0, 100, &found);
    assert_null(found.wrong);
    return found;
}

/* The numbers of the hits, in order: "3 1 ". */
static const char *hits(search_index *index, const char *query)
{
    struct search_found found = look(index, query);
    const char *text = "";
    for (size_t i = 0; i < found.hits.count; i++)
        text = sl_printf("%s%lld ", text, (long long)found.hits.items[i].id);
    assert_int_equal(found.total, found.hits.count);
    return text;
}

/* A hit's text, with what is marked in brackets. */
static const char *shown(const struct search_hit *hit)
{
    const char *text = "";
    for (size_t i = 0; i < hit->pieces.count; i++)
        text = sl_printf(hit->pieces.items[i].marked ? "%s[%s]" : "%s%s", text, hit->pieces.items[i].text);
    return text;
}

static search_index *opened(void)
{
    search_index *index = search_index_open(path, history);
    sl_defer(search_index_close, index);
    return index;
}

/* ---- Tests ------------------------------------------------------------------------------------------- */

static void *finds(void *data)
{
    say("lobby", "Ada", "Fish soup today", 1);
    say("lobby", "Grace Hopper", "Soup is cold, fish is not", 2);
    say("Küche", "ADA", "fishing for compliments", 3);
    say("Küche", "Zoë", "ÉTÉ in the café", 4);
    say("lobby", "🌤", "fish fish fish fish", 5);
    search_index *index = opened();
    assert_string_equal(hits(index, "compliments"), "3 ");
    assert_string_equal(hits(index, "FISH soup"), "1 2 "); /* the shorter one is the better */
    assert_string_equal(hits(index, "\"fish soup\""), "1 ");
    assert_string_equal(hits(index, "fish"), "5 1 2 ");
    assert_int_equal(strlen(hits(index, "fis*")), strlen("5 1 2 3 "));
    assert_string_equal(hits(index, "\"fish so\"*"), "1 ");
    assert_string_equal(hits(index, "soup -cold"), "1 ");
    assert_string_equal(hits(index, "fis* -\"fish soup\" -comp*"), "5 2 ");
    assert_string_equal(hits(index, "ete cafe"), "4 ");
    assert_string_equal(hits(index, "author:ada"), "3 1 "); /* the newest first */
    assert_string_equal(hits(index, "author:zoË"), "4 ");
    assert_string_equal(hits(index, "author:🌤"), "5 ");
    assert_string_equal(hits(index, "author:Grace"), "");
    assert_string_equal(hits(index, "author:\"grace hopper\" author:🌤"), "5 2 ");
    assert_string_equal(hits(index, "room:KÜCHE"), "4 3 ");
    assert_string_equal(hits(index, "-room:küche -author:Ada"), "5 2 ");
    assert_string_equal(hits(index, "room:lobby -soup"), "5 ");
    assert_string_equal(hits(index, "before:2026-01-03"), "2 1 ");
    assert_string_equal(hits(index, "after:2026-01-03"), "5 4 ");
    assert_string_equal(hits(index, "fish after:2026-01-01 before:2026-01-05"), "2 ");
    assert_string_equal(hits(index, "after:2026-01"), "");
    assert_string_equal(hits(index, "🌤 nothing"), "");
    return NULL;
}

static void test_finding(void **state)
{
    assert_int_equal(sl_run("test", finds, NULL, NULL), 0);
}

static void *shows(void *data)
{
    say("lobby", "Ada", "<b>Fish</b> & \"soup\"\n\x02not marked\x03 <mark>", 1);
    char *lengthy = sl_alloc(4000);
    for (int i = 0; i < 3900; i += 4)
        memcpy(lengthy + i, i == 2000 ? "fish" : "abc ", 5);
    say("lobby", "Ada", lengthy, 2);
    search_index *index = opened();
    struct search_found found = look(index, "fish soup");
    assert_int_equal(found.hits.count, 1);
    assert_string_equal(shown(&found.hits.items[0]), "<b>[Fish]</b> & \"[soup]\"\n not marked  <mark>");
    assert_string_equal(found.hits.items[0].room, "lobby");
    assert_string_equal(found.hits.items[0].author, "Ada");
    assert_int_equal(found.hits.items[0].sent, 1767268800000000);
    found = look(index, "\"abc abc\" room:lobby");
    assert_int_equal(found.hits.count, 1);
    assert_true(strlen(shown(&found.hits.items[0])) < 400);
    found = look(index, "room:lobby");
    assert_int_equal(found.hits.items[0].pieces.count, 1);
    assert_false(found.hits.items[0].pieces.items[0].marked);
    assert_int_equal(strlen(found.hits.items[0].pieces.items[0].text), 300 + strlen("…"));
    return NULL;
}

static void test_hits_are_text_in_pieces(void **state)
{
    assert_int_equal(sl_run("test", shows, NULL, NULL), 0);
}

static void *pages(void *data)
{
    tell_history(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
        "INSERT INTO message (room, author, nonce, body, sent) SELECT 'r', 'a', i, 'word ' || i, i FROM n");
    search_index *index = opened();
    search_index_catch_up(index);
    struct search_wanted wanted;
    search_parse(sl_task_arena(), "word", &wanted);
    struct search_found first = {0}, second = {0}, last = {0};
    search_index_find(index, &wanted, 0, 20, &first);
    search_index_find(index, &wanted, 20, 20, &second);
    search_index_find(index, &wanted, 2495, 20, &last);
    assert_int_equal(first.total, SEARCH_COUNTED);
    assert_true(first.more_than_total);
    assert_int_equal(first.hits.items[0].id, 2500); /* equally good: the newest first */
    assert_int_equal(second.hits.items[0].id, 2480);
    assert_int_equal(last.hits.count, 5);
    assert_string_equal(hits(index, "1234"), "1234 ");
    return NULL;
}

static void test_pages(void **state)
{
    assert_int_equal(sl_run("test", pages, NULL, NULL), 0);
}

static void *catches_up(void *data)
{
    say("lobby", "Ada", "one", 1);
    search_index *first = opened(), *second = opened();
    assert_string_equal(hits(first, "one"), "1 ");
    assert_string_equal(hits(second, "one"), "1 ");
    say("lobby", "Ada", "two", 1);
    assert_string_equal(hits(first, "two"), "2 ");
    say("lobby", "Ada", "three", 1);
    assert_string_equal(hits(second, "three"), "3 ");
    assert_string_equal(hits(second, "author:ada"), "3 2 1 ");
    struct search_document changed[] = {{2, "lobby", "Ada", "changed", 0}, {7, "lobby", "Bob", "seven", 0}};
    search_index_add(first, changed, 2);
    assert_string_equal(hits(second, "two"), "");
    assert_string_equal(hits(second, "changed"), "2 ");
    assert_string_equal(hits(second, "seven"), "7 ");
    search_index_flush(second);
    return NULL;
}

static void test_several_have_it_open_and_catch_up(void **state)
{
    assert_int_equal(sl_run("test", catches_up, NULL, NULL), 0);
}

static void *before_there_is_one(void *data)
{
    remove_all();
    search_index *index = opened();
    assert_string_equal(hits(index, "author:ada"), "");
    tell_history("CREATE TABLE room (name TEXT)"); /* the chat is about to make it */
    assert_string_equal(hits(index, "author:ada"), "");
    make_history();
    say("lobby", "Ada", "first", 1);
    assert_string_equal(hits(index, "first"), "1 ");
    return NULL;
}

static void test_the_history_may_come_later(void **state)
{
    assert_int_equal(sl_run("test", before_there_is_one, NULL, NULL), 0);
}

static void *another_history(void *data)
{
    say("lobby", "Ada", "old", 1);
    say("lobby", "Ada", "older", 1);
    assert_string_equal(hits(opened(), "old"), "1 ");
    tell_history("DELETE FROM message; DELETE FROM sqlite_sequence"); /* as if the file had been deleted */
    for (int i = 0; i < 3; i++)
        say("lobby", "Ada", "new", 1);
    search_index *index = opened();
    assert_string_equal(hits(index, "new"), "3 2 1 ");
    assert_string_equal(hits(index, "ol*"), "");
    return NULL;
}

static void test_another_history_begins_the_index_anew(void **state)
{
    assert_int_equal(sl_run("test", another_history, NULL, NULL), 0);
}

static void write_file(const char *contents)
{
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs(contents, file);
    fclose(file);
}

static void *damaged(void *data)
{
    say("lobby", "Ada", "still there", 1);
    write_file("this is no database ");
    assert_string_equal(hits(opened(), "still"), "1 ");
    sqlite3 *db;
    sqlite3_open(path, &db);
    sqlite3_exec(db, "PRAGMA user_version = 77", NULL, NULL, NULL); /* of another version of the chat */
    sqlite3_close(db);
    assert_string_equal(hits(opened(), "still"), "1 ");
    return NULL;
}

static void test_an_index_that_cannot_be_used_is_made_anew(void **state)
{
    assert_int_equal(sl_run("test", damaged, NULL, NULL), 0);
}

static void *rebuilds(void *data)
{
    for (int i = 0; i < 5; i++)
        say("lobby", "Ada", i % 2 ? "odd" : "even", 1);
    search_index *index = opened();
    assert_string_equal(hits(index, "odd"), "4 2 ");
    struct search_document wrong = {2, "lobby", "Ada", "wrong", 0};
    search_index_add(index, &wrong, 1);
    assert_string_equal(hits(index, "wrong"), "2 ");
    assert_int_equal(search_index_rebuild(path, history), 5);
    assert_string_equal(hits(index, "wrong"), ""); /* who has it open sees the new one */
    assert_string_equal(hits(index, "odd"), "4 2 ");
    say("lobby", "Ada", "odd", 1);
    assert_string_equal(hits(index, "odd"), "6 4 2 ");
    assert_string_equal(hits(opened(), "odd"), "6 4 2 ");
    write_file("broken ");
    assert_int_equal(search_index_rebuild(path, history), 6);
    assert_string_equal(hits(opened(), "odd"), "6 4 2 ");
    char *beside = sl_printf("%s.new", path);
    assert_int_equal(access(beside, F_OK), -1);
    return NULL;
}

static void test_making_it_anew(void **state)
{
    assert_int_equal(sl_run("test", rebuilds, NULL, NULL), 0);
}

static void *rebuilds_nothing(void *data)
{
    remove_all();
    search_index_rebuild(path, history);
    return NULL;
}

static void test_there_must_be_a_history_to_make_it_of(void **state)
{
    assert_int_equal(sl_run("test", rebuilds_nothing, NULL, NULL), SL_ENOENT);
}

static void *catch_up(void *index)
{
    search_index_catch_up(index);
    return NULL;
}

static void *reads_a_broken_history(void *data)
{
    remove_all();
    FILE *file = fopen(history, "w");
    for (int i = 0; i < 1000; i++)
        fputs("no database ", file);
    fclose(file);
    search_index *index = opened();
    for (int twice = 0; twice < 2; twice++) {
        sl_error *error;
        sl_try(sl_spawn(catch_up, index), &error);
        assert_int_equal(error->code, SL_EDATABASE);
        assert_non_null(strstr(error->message, history));
        assert_non_null(strstr(error->hint, "backup"));
    }
    assert_false(search_index_damaged(index));
    remove_all(); /* somebody put it away: the chat makes another */
    make_history();
    say("lobby", "Ada", "mended", 1);
    assert_string_equal(hits(opened(), "mended"), "1 ");
    return NULL;
}

static void test_a_history_that_cannot_be_read_is_named(void **state)
{
    assert_int_equal(sl_run("test", reads_a_broken_history, NULL, NULL), 0);
}

/* Killed at any moment, in the midst of catching up and of rebuilding, it finds all afterwards. */
static void *works_until_killed(void *data)
{
    search_index *index = opened();
    bool told = write(*(int *)data, "r", 1) == 1;
    while (told) {
        search_index_rebuild(path, history);
        search_index_catch_up(index);
        struct search_document same = {1, "r", "a", "word 1", 0};
        search_index_add(index, &same, 1);
    }
    return NULL;
}

static void kill_one_at_work(unsigned after_us)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        sl_run("child", works_until_killed, &ready[1], NULL);
        _exit(1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    usleep(after_us); /* at another moment each time: any will do */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ready[0]);
    close(ready[1]);
}

static void *finds_all(void *data)
{
    search_index *index = opened();
    struct search_found found = look(index, "word");
    assert_int_equal(found.total, 900 + (intptr_t)data);
    assert_int_equal(search_index_rebuild(path, history), 900 + (intptr_t)data);
    assert_int_equal(look(index, "word").total, 900 + (intptr_t)data);
    return NULL;
}

static void test_killed_at_work(void **state)
{
    tell_history(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
        "INSERT INTO message (room, author, nonce, body, sent) SELECT 'r', 'a', i, 'word ' || i, i FROM n");
    for (unsigned i = 1; i <= 20; i++) {
        kill_one_at_work(i * i * 100);
        say("r", "b", "word", 1);
        assert_int_equal(sl_run("test", finds_all, (void *)(intptr_t)i, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_finding, set_up),
        cmocka_unit_test_setup(test_hits_are_text_in_pieces, set_up),
        cmocka_unit_test_setup(test_pages, set_up),
        cmocka_unit_test_setup(test_several_have_it_open_and_catch_up, set_up),
        cmocka_unit_test_setup(test_the_history_may_come_later, set_up),
        cmocka_unit_test_setup(test_another_history_begins_the_index_anew, set_up),
        cmocka_unit_test_setup(test_an_index_that_cannot_be_used_is_made_anew, set_up),
        cmocka_unit_test_setup(test_making_it_anew, set_up),
        cmocka_unit_test_setup(test_there_must_be_a_history_to_make_it_of, set_up),
        cmocka_unit_test_setup(test_a_history_that_cannot_be_read_is_named, set_up),
        cmocka_unit_test_setup(test_killed_at_work, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down_all);
}
