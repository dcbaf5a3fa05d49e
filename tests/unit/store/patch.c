/* Patches: their files, which are missing, and how they are applied. */
#include "database.h"

#include <jansson.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#define NOTE(F) F(id, integer, SL_PRIMARY_KEY) F(text, text, SL_REQUIRED)
SL_MODEL(note, NOTE);

/* ---- Files ---- */

static void check_name(const char *name, int wanted, unsigned number, const char *summary, int dialect)
{
    sl__patch_file file = {0};
    const char *wrong = NULL;
    int got = sl__patch_file_name(name, &file, &wrong);
    if (got != wanted)
        fprintf(stderr, "%s: %d\n", name, got);
    CHECK(got == wanted && !wrong == (wanted >= 0 && !summary));
    if (got == 1) {
        CHECK(file.number == number && file.any_dialect == (dialect < 0));
        CHECK(dialect < 0 || file.dialect == (sl__dialect)dialect);
        CHECK_TEXT(file.summary, summary);
    }
}

TASK_TEST(files_are_known_by_their_names)
{
    check_name("001-notes.sql", 1, 1, "notes", -1);
    check_name("012-what_it-Does2.sql", 1, 12, "what_it-Does2", -1);
    check_name("1000-x.sql", 1, 1000, "x", -1);
    check_name("003-x.sqlite.sql", 1, 3, "x", SL__SQLITE);
    check_name("003-x.postgres.sql", 1, 3, "x", SL__POSTGRES);
    check_name("README", 0, 0, NULL, 0);
    check_name("notes.txt", 0, 0, NULL, 0);
    check_name("001-x.sql~", 0, 0, NULL, 0);
    check_name(".001-x.sql", 0, 0, NULL, 0);
    static const char *const wrong[] = {"notes.sql",        "1-x.sql",   "01-x.sql",        "001.sql",
                                        "001x.sql",         "001-.sql",  "001-a b.sql",     "000-x.sql",
                                        "0000000001-x.sql", "-01-x.sql", "001-x.mysql.sql", "001-x.y.sql",
                                        "001-.sqlite.sql",  "+01-x.sql", "001-x.sql.sql"};
    for (size_t i = 0; i < sl_array_size(wrong); i++)
        check_name(wrong[i], SL_EPARSE, 0, "", 0);
    return NULL;
}

TASK_TEST(files_name_a_store_in_their_first_line)
{
    static const struct {
        const char *text, *store;
    } files[] = {{"-- store: main\nSELECT 1", "main"},
                 {"--store:main", "main"},
                 {"--   store:   a-b \r\n", "a-b"},
                 {"-- store:\nSELECT 1", NULL},
                 {"-- a store\n", NULL},
                 {"", NULL},
                 {"-", NULL},
                 {"SELECT 1 -- store: x", NULL},
                 {"\n-- store: main\n", NULL}};
    for (size_t i = 0; i < sl_array_size(files); i++) {
        const char *store = sl__patch_file_store(sl_view_of(files[i].text), sl_task_arena());
        CHECK(!store == !files[i].store);
        if (store)
            CHECK_TEXT(store, files[i].store);
    }
    return NULL;
}

TASK_TEST(checksums_are_sha_256)
{
    char checksum[SL__PATCH_CHECKSUM_SIZE];
    sl__patch_checksum("abc", 3, checksum);
    CHECK_TEXT(checksum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    return NULL;
}

/* ---- An application's directory ---- */

static char application[128];

static void new_application(void)
{
    static unsigned count;
    snprintf(application, sizeof(application), "%s/application%u", scratch, ++count);
    CHECK(mkdir(application, 0700) == 0 && mkdir(sl_printf("%s/schema", application), 0700) == 0);
}

static void put_patch(const char *name, const char *text)
{
    put_file(sl_printf("%s/schema/%s", application, name), text);
}

static void remove_patch(const char *name)
{
    CHECK(remove(sl_printf("%s/schema/%s", application, name)) == 0);
}

static void *migrate(__attribute__((unused)) void *data)
{
    return (void *)(uintptr_t)sl_migrate(application);
}

/* Migrating fails with this, whose detail is that (NULL: whatever). */
static const sl_error *check_migrate_fails(int code, const char *message, const char *detail)
{
    sl_error *error;
    sl_try(sl_spawn(migrate, NULL), &error);
    if (!error || error->code != code || !strstr(error->message, message)) {
        fprintf(stderr, "wanted %d \"%s\", got %d \"%s\"\n", code, message, error ? error->code : 0,
                error ? error->message : "a success");
        abort();
    }
    if (detail)
        CHECK_TEXT(error->detail, detail);
    return error;
}

static void keep_text(const sl__asked *row, void *data)
{
    const char **all = data;
    *all = sl_printf("%s%s%s", *all, **all ? "|" : "", row->texts[0] ? row->texts[0] : "NULL");
}

/* The texts that a question gives, with | between. */
static const char *texts_of(sl_store *store, const char *sql)
{
    const char *all = "";
    sl__ask(SL_HERE, store, sql, NULL, 1, 0, keep_text, &all);
    return all;
}

static const char *applied(sl_store *store)
{
    return texts_of(store, on_sqlite()
                               ? "SELECT number || ' ' || summary FROM sl_patch ORDER BY number"
                               : "SELECT number::text || ' ' || summary FROM sl_patch ORDER BY number");
}

#define NOTES_IN_SQLITE "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;"
#define NOTES_IN_POSTGRES                                                                                    \
    "CREATE TABLE note (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, text text NOT NULL);"

static void put_notes(void)
{
    put_patch("001-notes.sqlite.sql", NOTES_IN_SQLITE);
    put_patch("001-notes.postgres.sql", NOTES_IN_POSTGRES);
}

/* ---- Applying ---- */

DATABASE_TEST(patches_are_applied_once_and_in_order)
{
    new_application();
    sl_models(note_model);
    put_notes();
    put_patch("002-first.sql", "\xEF\xBB\xBF-- two\nINSERT INTO note (text) VALUES ('a;b');\n\nINSERT INTO "
                               "note (text) VALUES ('c');\n");
    put_patch("README", "nothing");
    sl_error *error = sl_schema_check(application);
    CHECK(error && error->code == SL_ESCHEMA && strstr(error->message, "needs 2 patches"));
    CHECK_TEXT(error->detail, on_sqlite() ? "schema/001-notes.sqlite.sql\nschema/002-first.sql"
                                          : "schema/001-notes.postgres.sql\nschema/002-first.sql");
    CHECK_TEXT(error->hint, sl_printf("run `silver run %s migrate`", application));
    int64_t before = sl_time_now();
    CHECK(sl_migrate(application) == 2);
    CHECK_TEXT(applied(store), "1 notes|2 first");
    CHECK_TEXT(texts_of(store, "SELECT text FROM note ORDER BY id"), "a;b|c");
    CHECK(sl_migrate(application) == 0);
    CHECK(!sl_schema_check(application));
    put_patch("003-more.sql", "UPDATE note SET text = 'd' WHERE text = 'c'");
    CHECK(sl_migrate(application) == 1);
    CHECK_TEXT(applied(store), "1 notes|2 first|3 more");
    CHECK_TEXT(texts_of(store, "SELECT text FROM note ORDER BY id"), "a;b|d");
    if (on_sqlite())
        CHECK_TEXT(
            texts_of(
                store,
                sl_printf("SELECT CAST(count(*) AS TEXT) FROM sl_patch WHERE applied BETWEEN %lld AND %lld",
                          (long long)before, (long long)sl_time_now())),
            "3");
}

DATABASE_TEST(no_schema_is_no_patches)
{
    new_application();
    CHECK(rmdir(sl_printf("%s/schema", application)) == 0);
    CHECK(sl_migrate(application) == 0);
    put_file(sl_printf("%s/schema", application), "a file");
    CHECK(sl_migrate(application) == 0);
    CHECK(!sl_schema_check(application));
    sl_models(note_model);
    CHECK(sl_migrate(application) == 1);
    CHECK_TEXT(applied(store), "0 made from the models");
    CHECK(!sl_schema_check(application));
}

DATABASE_TEST(a_patch_that_fails_leaves_nothing)
{
    new_application();
    put_notes();
    put_patch("002-wrong.sql",
              "INSERT INTO note (text) VALUES ('a');\n/* a\ncomment */\nINSERT INTO nothing VALUES (1);\n");
    const sl_error *error = check_migrate_fails(SL_EDATABASE, "schema/002-wrong.sql:4: ", NULL);
    CHECK(strstr(error->message, "nothing") && strstr(error->hint, "nothing of it was applied"));
    CHECK_TEXT(applied(store), "1 notes");
    CHECK_TEXT(texts_of(store, "SELECT text FROM note"), "");
    put_patch("002-wrong.sql",
              "INSERT INTO note (text) VALUES ('a');\nINSERT INTO note (id, text) VALUES (1, NULL);\n");
    check_migrate_fails(SL_ECONSTRAINT, "schema/002-wrong.sql:2: ", NULL);
    put_patch("002-wrong.sql",
              "INSERT INTO note (text) VALUES ('a');\n\nINSERT INTO note (text) VALUES ('it);\n");
    check_migrate_fails(SL_EPARSE, "schema/002-wrong.sql:3: a text that begins here does not end", NULL);
    put_patch("002-wrong.sql",
              "INSERT INTO note (text) VALUES ('a'); COMMIT; INSERT INTO note (text) VALUES ('b')");
    check_migrate_fails(SL_EPARSE, "schema/002-wrong.sql:1: COMMIT cannot stand here", NULL);
    CHECK_TEXT(texts_of(store, "SELECT text FROM note"), "");
    put_patch("002-wrong.sql", "INSERT INTO note (text) VALUES ('a')");
    CHECK(sl_migrate(application) == 1);
    CHECK_TEXT(texts_of(store, "SELECT text FROM note"), "a");
}

/* As a shell makes it before `silver db schema --difference > …` has written anything. */
DATABASE_TEST(a_patch_without_statements_is_not_applied)
{
    new_application();
    put_notes();
    put_patch("002-more.sql", "");
    const sl_error *error =
        check_migrate_fails(SL_ESCHEMA, "schema/002-more.sql: no statement stands in it", NULL);
    CHECK(strstr(error->hint, "nothing of it was applied") && strstr(error->hint, "SELECT 1;"));
    put_patch("002-more.sql", "-- ALTER TABLE note ADD COLUMN more integer;\n;\n");
    check_migrate_fails(SL_ESCHEMA, "schema/002-more.sql: no statement stands in it", NULL);
    CHECK_TEXT(applied(store), "1 notes");
    put_patch("002-more.sql", "SELECT 1;");
    CHECK(sl_migrate(application) == 1);
    CHECK_TEXT(applied(store), "1 notes|2 more");
}

SL_MODEL(same, NOTE, .table = "note");

DATABASE_TEST(two_models_of_one_table_are_not_made)
{
    new_application();
    sl_models(note_model, same_model);
    const sl_error *error = check_migrate_fails(SL_EINVAL, "note and same are both of the table note", NULL);
    CHECK(strstr(error->hint, "nothing of it was applied. give one of them another `.table`"));
    put_notes();
    CHECK(sl_migrate(application) == 1); /* they may share one that a patch makes */
    CHECK(!sl_schema_check(application));
}

DATABASE_TEST(what_fails_at_the_commit_says_where)
{
    new_application();
    put_notes();
    put_patch(
        "002-wrong.sql",
        "CREATE TABLE a (n integer PRIMARY KEY, b integer REFERENCES a DEFERRABLE INITIALLY DEFERRED);\n"
        "INSERT INTO a VALUES (1, 2);\n");
    const sl_error *error = check_migrate_fails(SL_ECONSTRAINT, "schema/002-wrong.sql: ", NULL);
    CHECK(on_sqlite() || strstr(error->hint, "as a whole or not at all"));
    CHECK_TEXT(applied(store), "1 notes");
    CHECK(!sl__look_for(SL_HERE, store, "a"));
}

DATABASE_TEST(files_that_are_no_patches)
{
    new_application();
    put_notes();
    put_patch("notes.sql", "");
    put_patch("002-\xC3\xA4.sql", "");
    put_patch("003-x.oracle.sql", "");
    put_patch("002-latin.sql", "SELECT '\xE4'");
    check_migrate_fails(SL_ESCHEMA, "files in schema/ are no patches",
                        "schema/002-latin.sql is not UTF-8 text\n"
                        "schema/002-\xC3\xA4.sql is not called NNN-what-it-does.sql\n"
                        "schema/003-x.oracle.sql is for no database that is known: .sqlite.sql, "
                        ".postgres.sql, or .sql for both\n"
                        "schema/notes.sql is not called NNN-what-it-does.sql");
    CHECK(!sl__look_for(SL_HERE, store, "note") && !sl__look_for(SL_HERE, store, "sl_patch"));
}

DATABASE_TEST(numbers_have_no_gaps_and_no_doubles)
{
    new_application();
    put_patch("002-b.sql", "");
    put_patch("002-a.sql", "");
    put_patch("004-c.sqlite.sql", "");
    put_patch("004-d.postgres.sql", "");
    put_patch("005-e.sql", "");
    put_patch("005-e.sqlite.sql", "");
    check_migrate_fails(SL_ESCHEMA, "the application's patches do not fit together",
                        "schema/002-a.sql and schema/002-b.sql have one number\n"
                        "schema/004-c.sqlite.sql and schema/004-d.postgres.sql have one number\n"
                        "schema/005-e.sql and schema/005-e.sqlite.sql have one number\n"
                        "there is no patch 1, but schema/002-a.sql\n"
                        "there is no patch 3, but schema/004-c.sqlite.sql");
    CHECK(!sl__look_for(SL_HERE, store, "sl_patch"));
}

DATABASE_TEST(a_patch_has_a_file_for_its_database)
{
    new_application();
    put_patch(on_sqlite() ? "001-x.postgres.sql" : "001-x.sqlite.sql", "");
    check_migrate_fails(SL_ESCHEMA, "do not fit together",
                        on_sqlite() ? "schema/001-x.postgres.sql has no file beside it for the store main: "
                                      "write schema/001-x.sqlite.sql"
                                    : "schema/001-x.sqlite.sql has no file beside it for the store main: "
                                      "write schema/001-x.postgres.sql");
    put_patch("001-x.sql", "SELECT 1");
    remove_patch(on_sqlite() ? "001-x.postgres.sql" : "001-x.sqlite.sql");
    CHECK(sl_migrate(application) == 1); /* nothing is done, and that is written down */
    CHECK_TEXT(applied(store), "1 x");
}

/* ---- Databases and applications that do not belong together ---- */

DATABASE_TEST(what_was_applied_stays_as_it_is)
{
    new_application();
    put_notes();
    put_patch("002-a.sql", "INSERT INTO note (text) VALUES ('a')");
    put_patch("003-b.sql", "INSERT INTO note (text) VALUES ('b')");
    CHECK(sl_migrate(application) == 3);
    put_patch("002-a.sql", "INSERT INTO note (text) VALUES ('A')");
    remove_patch("003-b.sql");
    put_patch("003-c.sql", "INSERT INTO note (text) VALUES ('c')"); /* another of this number */
    put_patch("004-d.sql", "INSERT INTO note (text) VALUES ('d')");
    static const char changed[] = "schema/002-a.sql was changed after it was applied to the store main\n"
                                  "schema/003-c.sql was changed after it was applied to the store main";
    check_migrate_fails(SL_ESCHEMA, "do not belong together", changed);
    sl_error *error = sl_schema_check(application);
    CHECK(error && error->code == SL_ESCHEMA);
    CHECK_TEXT(error->detail, changed);
    CHECK_TEXT(texts_of(store, "SELECT text FROM note ORDER BY id"), "a|b");
    put_patch("002-a.sql", "INSERT INTO note (text) VALUES ('a')");
    remove_patch("003-c.sql");
    remove_patch("004-d.sql");
    check_migrate_fails(SL_ESCHEMA, "do not belong together",
                        "patch 3 (b) was applied to the store main, and is not here");
}

DATABASE_TEST(a_patch_that_comes_too_late_is_refused)
{
    new_application();
    put_notes();
    put_patch("002-a.sql", "SELECT 1");
    put_patch("003-b.sql", "SELECT 1");
    CHECK(sl_migrate(application) == 3);
    execute("DELETE FROM sl_patch WHERE number = 2");
    check_migrate_fails(
        SL_ESCHEMA, "do not belong together",
        "schema/002-a.sql was not applied to the store main, but schema/003-b.sql was, which comes after it");
}

DATABASE_TEST(a_database_made_from_models_needs_a_decision)
{
    new_application();
    sl_models(note_model);
    CHECK(sl_migrate(application) == 1);
    put_notes();
    const sl_error *error = check_migrate_fails(SL_EDATABASE, "schema/001-notes.", NULL);
    CHECK(strstr(error->hint, "had tables of the models before there were patches"));
    CHECK(strstr(error->hint, sl_printf("`silver run %s migrate --record 1`", application)));
    sl_migrate_record(application, 1);
    CHECK(sl_migrate(application) == 0);
    put_patch("002-wrong.sql", "INSERT INTO nothing VALUES (1);");
    error = check_migrate_fails(SL_EDATABASE, "schema/002-wrong.sql:1", NULL);
    CHECK(!strstr(error->hint, "before there were patches"));
}

DATABASE_TEST(the_first_patch_makes_all_tables)
{
    new_application();
    sl_models(note_model);
    put_patch("001-more.sql", "ALTER TABLE note ADD COLUMN more text;");
    const sl_error *error = check_migrate_fails(SL_EDATABASE, "schema/001-more.sql:1", NULL);
    CHECK(strstr(error->hint, "let the first make all") && strstr(error->hint, "silver db schema"));
}

/* Made by hand, as `silver db schema` prints it: a first patch with a change alone would fail in a new
 * database. */
DATABASE_TEST(a_table_that_no_patch_makes_is_noticed)
{
    new_application();
    sl_models(note_model);
    execute("CREATE TABLE note (id integer, text text)");
    put_patch("001-more.sql", "ALTER TABLE note ADD COLUMN more text;");
    const sl_error *error = check_migrate_fails(
        SL_ESCHEMA,
        "schema/001-more.sql is the first patch, but the database has the table note, which no patch makes",
        NULL);
    CHECK(strstr(error->hint, sl_printf("`silver run %s migrate --record 1`", application)));
    CHECK(!sl__look_for(SL_HERE, store, "sl_patch")); /* nothing was done */
    /* As the hint says. */
    remove_patch("001-more.sql");
    put_notes();
    put_patch("002-more.sql", "ALTER TABLE note ADD COLUMN more text;");
    sl_migrate_record(application, 1);
    CHECK(sl_migrate(application) == 1);
    CHECK_TEXT(applied(store), "1 notes|2 more");
    execute("DROP TABLE note");
    execute("DROP TABLE sl_patch");
    CHECK(sl_migrate(application) == 2);
}

static void add_nothing(void)
{
}

/* Also under another name, for another database, or by what no words tell. */
DATABASE_TEST(what_may_make_a_table_is_believed)
{
    static const char *const makers[] = {"CREATE TABLE IF NOT EXISTS \"note\" (id integer)",
                                         "CREATE TABLE x (id integer); ALTER TABLE x RENAME TO Note",
                                         "/* first */ CREATE VIEW note AS SELECT 1",
                                         "CREATE TEMP TABLE note (id integer)"};
    static const char *const others[] = {"INSERT INTO note DEFAULT VALUES", "CREATE INDEX i ON note (id)",
                                         "ALTER TABLE note ADD x text", "CREATE TABLE noted (id integer)",
                                         ""};
    sl__step step = {.store = store};
    const sl__plan plan = {.count = 1, .items = &step};
    for (size_t i = 0; i < sl_array_size(makers); i++) {
        step.text = sl_view_of(makers[i]);
        CHECK(sl__plan_makes(&plan, store, "note"));
    }
    for (size_t i = 0; i < sl_array_size(others); i++) {
        step.text = sl_view_of(others[i]);
        CHECK(!sl__plan_makes(&plan, store, "note"));
    }
    step.fn = add_nothing;
    CHECK(sl__plan_makes(&plan, store, "note"));
}

static void *record(void *data)
{
    sl_migrate_record(application, *(const unsigned *)data);
    return NULL;
}

static void check_record_fails(unsigned number, const char *message)
{
    sl_error *error;
    sl_try(sl_spawn(record, &number), &error);
    CHECK(error && strstr(error->message, message));
}

static void *record_old(void *plan)
{
    sl__plan_record(SL_HERE, sl__stores_here(false), plan, 1, NULL, NULL);
    return NULL;
}

/* Both had looked before. */
DATABASE_TEST(two_write_one_patch_down)
{
    sl_error *error;
    new_application();
    put_notes();
    sl__plan plan = sl__plan_make(SL_HERE, sl__stores_here(false), application);
    sl_migrate_record(application, 1);
    sl_try(sl_spawn(record_old, &plan), &error);
    CHECK(error);
    CHECK(strstr(error->message, ".sql is applied already") && !error->hint);
    CHECK_TEXT(applied(store), "1 notes");
}

DATABASE_TEST(patches_are_written_down_in_order)
{
    new_application();
    put_notes();
    put_patch("002-a.sql", "SELECT 1");
    check_record_fails(2, "schema/001-notes.");
    check_record_fails(3, "there is no patch 3");
    sl_migrate_record(application, 1);
    check_record_fails(1, "is applied already");
    sl_migrate_record(application, 2);
    CHECK_TEXT(applied(store), "1 notes|2 a");
    CHECK(sl_migrate(application) == 0);
}

/* ---- In C ---- */

static void add_note(void)
{
    sl_add(sl_new(note, .text = "in C"));
}

static void fail_in_c(void)
{
    add_note();
    sl_save();
    sl_fail(SL_EFAILED, "no more");
}

DATABASE_TEST(patches_in_c_stand_between_files)
{
    new_application();
    put_notes();
    put_patch("003-more.sql", "INSERT INTO note (text) VALUES ('in SQL')");
    sl_patch(2, "adds a note", add_note);
    CHECK(sl_migrate(application) == 3);
    CHECK_TEXT(applied(store), "1 notes|2 adds a note|3 more");
    CHECK_TEXT(texts_of(store, "SELECT text FROM note ORDER BY id"), "in C|in SQL");
    CHECK(sl_migrate(application) == 0);
}

DATABASE_TEST(a_patch_in_c_that_fails_leaves_nothing)
{
    new_application();
    put_notes();
    sl_patch(2, "adds a note", fail_in_c);
    check_migrate_fails(SL_EFAILED, "patch.c", NULL);
    check_migrate_fails(SL_EFAILED, "): no more", NULL);
    CHECK_TEXT(applied(store), "1 notes");
    CHECK_TEXT(texts_of(store, "SELECT text FROM note ORDER BY id"), "");
}

DATABASE_TEST(numbers_are_of_files_and_c_alike)
{
    new_application();
    put_notes();
    sl_patch(1, "adds a note", add_note);
    sl_patch(3, "adds a note", add_note);
    check_migrate_fails(SL_ESCHEMA, "do not fit together", NULL);
}

/* ---- Several stores ---- */

static sl_store *declare_another(const char *name)
{
    sl_error *error = NULL;
    CHECK(sl_store_declare(sl_root_current(), name, sl_printf("sqlite:%s.another", application), &error) ==
          0);
    return sl__store_named(SL_HERE, name);
}

DATABASE_TEST(patches_say_which_store_they_are_for)
{
    new_application();
    sl_store *another = declare_another("another");
    put_patch("001-a.sql", "-- store: main\nCREATE TABLE a (a text)");
    put_patch("002-b.sql", "-- store: another\nCREATE TABLE b (b text)");
    put_patch("003-c.sqlite.sql", "-- store: another\nCREATE TABLE c (c text)");
    sl_patch(4, "adds nothing", add_note, .store = "another");
    sl_patch(5, "adds nothing", add_note);
    put_patch("006-d.sql", "SELECT 1");
    put_patch("007-e.sql", "-- store: nowhere\nSELECT 1");
    const sl_error *error = check_migrate_fails(SL_ESCHEMA, "do not fit together", NULL);
    CHECK(strstr(error->detail,
                 "schema/006-d.sql does not say for which store it is: begin it with `-- store: main` or "
                 "`-- store: another`\n"));
    CHECK(strstr(error->detail,
                 "schema/007-e.sql is for the store nowhere, which is not there: there are main and "
                 "another\n"));
    CHECK(strstr(error->detail,
                 "does not say for which store it is: sl_patch(…, .store = \"main\") or sl_patch(…, "
                 ".store = \"another\")"));
    CHECK_TEXT(error->hint,
               "`service.sqlite` in app.ini is the store sqlite, `service.sqlite.NAME` the store NAME, "
               "`service.postgres` the store postgres");
    CHECK(!sl__look_for(SL_HERE, store, "a") && !sl__look_for(SL_HERE, another, "b"));
}

DATABASE_TEST(each_store_keeps_its_own)
{
    new_application();
    sl_store *another = declare_another("another");
    put_patch("001-a.sql", "-- store: main\nCREATE TABLE a (a text)");
    put_patch("002-b.sql", "-- store: another\nCREATE TABLE b (b text)");
    put_patch("003-c.sqlite.sql", "-- store: another\nCREATE TABLE c (c text)");
    put_patch("004-d.sql", "-- store: main\nCREATE TABLE d (d text)");
    CHECK(sl_migrate(application) == 4);
    CHECK_TEXT(applied(store), "1 a|4 d");
    CHECK_TEXT(texts_of(another, "SELECT CAST(number AS TEXT) FROM sl_patch ORDER BY number"), "2|3");
    CHECK(sl_migrate(application) == 0);
    CHECK(!sl_schema_check(application));
    put_patch("004-d.sql", "-- store: another\nCREATE TABLE d (d text)");
    check_migrate_fails(SL_ESCHEMA, "do not belong together",
                        "patch 4 (d) was applied to the store main, and is not here");
}

/* ---- SQLite's ways ---- */

static const char two_tables[] =
    "CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT);"
    "CREATE TABLE house (id INTEGER PRIMARY KEY, city INTEGER REFERENCES city ON DELETE CASCADE);"
    "INSERT INTO city VALUES (1, 'Cork'), (2, 'Galway'); INSERT INTO house VALUES (1, 1), (2, 2);";
static const char city_anew[] = "CREATE TABLE city_new (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;"
                                "INSERT INTO city_new (id, name) SELECT id, name FROM city;"
                                "DROP TABLE city; ALTER TABLE city_new RENAME TO city;";

/* What refers to a table that is made anew stays as it is. */
static void *tables_are_made_anew_task(__attribute__((unused)) void *data)
{
    sl_store *store = declare("main");
    new_application();
    put_patch("001-two.sql", two_tables);
    put_patch("002-anew.sql", city_anew);
    CHECK(sl_migrate(application) == 2);
    CHECK_TEXT(texts_of(store, "SELECT name FROM city JOIN house ON city.id = house.city ORDER BY 1"),
               "Cork|Galway");
    /* And foreign keys are looked after again, whether a patch went well or not. */
    put_patch("003-wrong.sql", "DELETE FROM city; SELECT * FROM nothing;");
    check_migrate_fails(SL_EDATABASE, "schema/003-wrong.sql:1: ", NULL);
    execute("DELETE FROM city WHERE id = 1");
    CHECK_TEXT(texts_of(store, "SELECT CAST(id AS TEXT) FROM house"), "2");
    put_patch("003-wrong.sql", "UPDATE house SET city = 9; INSERT INTO house VALUES (7, 7)");
    check_migrate_fails(SL_ECONSTRAINT,
                        "schema/003-wrong.sql: rows refer to others that are not there: 2 of house to city",
                        NULL);
    CHECK_TEXT(texts_of(store, "SELECT CAST(city AS TEXT) FROM house"), "2");
    put_patch("003-wrong.sql", "UPDATE house SET city = NULL");
    CHECK(sl_migrate(application) == 1);
    execute("UPDATE house SET city = 2; DELETE FROM city");
    CHECK_TEXT(texts_of(store, "SELECT CAST(id AS TEXT) FROM house"), "");
    return NULL;
}

static void tables_are_made_anew_on_sqlite(void **state)
{
    assert_int_equal(database_task("sqlite", "anew", tables_are_made_anew_task), 0);
}

static void *let_go(void *data)
{
    sl_await(sl_sleep(300));
    CHECK(sqlite3_exec(data, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    return NULL;
}

/* Longer than a writer waits otherwise. */
static void *waits_task(__attribute__((unused)) void *data)
{
    sqlite3 *other;
    sl_store *store = declare("main");
    sl_store_configure(sl_root_current(), &(sl_store_options){.busy_ms = 20});
    new_application();
    put_patch("001-a.sql", "CREATE TABLE a (a)");
    CHECK(sqlite3_open(database_url + strlen("sqlite:"), &other) == SQLITE_OK);
    CHECK(sqlite3_exec(other, "BEGIN IMMEDIATE; CREATE TABLE b (b)", NULL, NULL, NULL) == SQLITE_OK);
    SL_SCOPE(scope)
    {
        sl_go(let_go, other);
        CHECK(sl_migrate(application) == 1);
    }
    CHECK(sl__look_for(SL_HERE, store, "a") && sl__look_for(SL_HERE, store, "b"));
    sqlite3_close(other);
    return NULL;
}

static void a_process_that_writes_long_is_waited_for(void **state)
{
    assert_int_equal(database_task("sqlite", "waits", waits_task), 0);
}

/* ---- Starting ---- */

static void *start(void *production)
{
    sl__schema_start(SL_HERE, application, !production);
    return NULL;
}

static sl_error *start_error(bool production)
{
    sl_error *error;
    sl_try(sl_spawn(start, production ? "" : NULL), &error);
    return error;
}

DATABASE_TEST(development_applies_what_is_missing)
{
    new_application();
    CHECK(!start_error(false));
    CHECK(!sl__look_for(SL_HERE, store, "sl_patch")); /* neither patches nor models: it is left alone */
    put_notes();
    CHECK(!start_error(false));
    put_patch("002-a.sql", "INSERT INTO note (text) VALUES ('a')");
    CHECK(!start_error(false));
    CHECK_TEXT(applied(store), "1 notes|2 a");
}

DATABASE_TEST(production_leaves_data_to_people)
{
    new_application();
    sl_models(note_model);
    put_notes();
    CHECK(!start_error(true)); /* an empty one has none */
    CHECK_TEXT(applied(store), "1 notes");
    put_patch("002-a.sql", "INSERT INTO note (text) VALUES ('a')");
    put_patch("003-b.sql", "INSERT INTO note (text) VALUES ('b')");
    sl_error *error = start_error(true);
    CHECK(error && error->code == SL_ESCHEMA && strstr(error->message, "needs 2 patches"));
    CHECK(strstr(error->message, on_sqlite() ? ".sqlite" : "store main"));
    CHECK_TEXT(applied(store), "1 notes");
    CHECK(sl_migrate(application) == 2);
    CHECK(!start_error(true));
}

DATABASE_TEST(a_database_that_differs_does_not_start)
{
    new_application();
    sl_models(note_model);
    execute("CREATE TABLE note (id integer)");
    for (int production = 0; production < 2; production++) {
        sl_error *error = start_error(production);
        CHECK(error && error->code == SL_ESCHEMA && strstr(error->message, "is not as the models want it"));
        CHECK(strstr(error->detail, "table note: column text is missing"));
        CHECK(strstr(error->hint, "silver db schema"));
    }
}

DATABASE_TEST(all_is_told)
{
    new_application();
    sl_models(note_model);
    put_notes();
    put_patch("002-a.sql", "INSERT INTO note (text) VALUES ('a')");
    json_t *told = sl__schema_tell(SL_HERE, application, NULL);
    json_t *it = json_array_get(json_object_get(told, "stores"), 0);
    CHECK_TEXT(json_string_value(json_object_get(it, "name")), "main");
    CHECK_TEXT(json_string_value(json_object_get(it, "dialect")), kind);
    CHECK(json_is_false(json_object_get(it, "same")));
    CHECK_TEXT(json_string_value(json_array_get(json_object_get(it, "lines"), 0)), "table note is missing");
    CHECK(json_array_size(json_object_get(json_object_get(it, "patches"), "missing")) == 2);
    json_decref(told);
    sl_migrate(application);
    told = sl__schema_tell(SL_HERE, application, "main");
    it = json_array_get(json_object_get(told, "stores"), 0);
    CHECK(json_is_true(json_object_get(it, "same")));
    CHECK_TEXT(json_string_value(json_object_get(it, "difference")), "");
    CHECK(json_array_size(json_object_get(json_object_get(it, "patches"), "applied")) == 2);
    json_decref(told);
}

/* ---- Processes ---- */

/* Runs fn in a process with a loop and a root of its own, on the same database. */
static pid_t in_process(sl_task_fn *fn)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(sl_run("process", fn, NULL, NULL) < 0 ? 100 : 0);
    return child;
}

static int status_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define PROCESSES 4
#define MANY 20

static void *lay_out(__attribute__((unused)) void *data)
{
    new_application();
    put_patch("001-counts.sql", "CREATE TABLE counts (n text)");
    for (unsigned i = 2; i <= MANY; i++)
        put_patch(sl_printf("%03u-more.sql", i), sl_printf("INSERT INTO counts VALUES ('%02u')", i));
    return NULL;
}

static void *migrate_alone(__attribute__((unused)) void *data)
{
    declare("main");
    sl_migrate(application);
    return NULL;
}

static void *look_at_counts(__attribute__((unused)) void *data)
{
    sl_store *store = declare("main");
    const char *wanted = "02";
    for (unsigned i = 3; i <= MANY; i++)
        wanted = sl_printf("%s|%02u", wanted, i);
    CHECK_TEXT(texts_of(store, "SELECT n FROM counts ORDER BY n"), wanted);
    return NULL;
}

static void several_processes(const char *its_kind)
{
    pid_t children[PROCESSES];
    assert_int_equal(database_task(its_kind, "layout", lay_out), 0);
    for (int i = 0; i < PROCESSES; i++)
        children[i] = in_process(migrate_alone);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(status_of(children[i]), 0);
    assert_int_equal(status_of(in_process(look_at_counts)), 0);
}

static void several_processes_do_it_once_on_sqlite(void **state)
{
    several_processes("sqlite");
}

static void several_processes_do_it_once_on_postgres(void **state)
{
    several_processes("postgres");
}

/* In the middle of the third patch. */
static void die(void)
{
    sl_execute("main", "INSERT INTO counts VALUES ('in C')");
    raise(SIGKILL);
}

static void *lay_out_two(__attribute__((unused)) void *data)
{
    new_application();
    put_patch("001-counts.sql", "CREATE TABLE counts (n text)");
    put_patch("002-one.sql", "INSERT INTO counts VALUES ('one')");
    return NULL;
}

static void *migrate_to_death(__attribute__((unused)) void *data)
{
    declare("main");
    sl_patch(3, "dies", die);
    sl_migrate(application);
    return NULL;
}

static void *look_at_what_is_left(__attribute__((unused)) void *data)
{
    sl_store *store = declare("main");
    CHECK_TEXT(applied(store), "1 counts|2 one");
    CHECK_TEXT(texts_of(store, "SELECT n FROM counts ORDER BY n"), "one");
    put_patch("003-two.sql", "INSERT INTO counts VALUES ('two')");
    CHECK(sl_migrate(application) == 1);
    CHECK_TEXT(texts_of(store, "SELECT n FROM counts ORDER BY n"), "one|two");
    return NULL;
}

static void killed(const char *its_kind)
{
    assert_int_equal(database_task(its_kind, "layout", lay_out_two), 0);
    int status = status_of(in_process(migrate_to_death));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(status_of(in_process(look_at_what_is_left)), 0);
}

static void whole_patches_survive_a_kill_on_sqlite(void **state)
{
    killed("sqlite");
}

static void whole_patches_survive_a_kill_on_postgres(void **state)
{
    killed("postgres");
}

int main(int argc, char **argv)
{
    if (argc > 1) /* those whose names fit, with * and ? */
        cmocka_set_test_filter(argv[1]);
    postgres_server_need();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_known_by_their_names),
        cmocka_unit_test(files_name_a_store_in_their_first_line),
        cmocka_unit_test(checksums_are_sha_256),
        ON_BOTH(patches_are_applied_once_and_in_order),
        ON_BOTH(no_schema_is_no_patches),
        ON_BOTH(a_patch_that_fails_leaves_nothing),
        ON_BOTH(a_patch_without_statements_is_not_applied),
        ON_BOTH(two_models_of_one_table_are_not_made),
        ON_BOTH(what_fails_at_the_commit_says_where),
        ON_BOTH(files_that_are_no_patches),
        ON_BOTH(numbers_have_no_gaps_and_no_doubles),
        ON_BOTH(a_patch_has_a_file_for_its_database),
        ON_BOTH(what_was_applied_stays_as_it_is),
        ON_BOTH(a_patch_that_comes_too_late_is_refused),
        ON_BOTH(a_database_made_from_models_needs_a_decision),
        ON_BOTH(a_table_that_no_patch_makes_is_noticed),
        ON_BOTH(what_may_make_a_table_is_believed),
        ON_BOTH(two_write_one_patch_down),
        ON_BOTH(patches_are_written_down_in_order),
        ON_BOTH(the_first_patch_makes_all_tables),
        ON_BOTH(patches_in_c_stand_between_files),
        ON_BOTH(a_patch_in_c_that_fails_leaves_nothing),
        ON_BOTH(numbers_are_of_files_and_c_alike),
        ON_BOTH(patches_say_which_store_they_are_for),
        ON_BOTH(each_store_keeps_its_own),
        cmocka_unit_test(tables_are_made_anew_on_sqlite),
        cmocka_unit_test(a_process_that_writes_long_is_waited_for),
        ON_BOTH(development_applies_what_is_missing),
        ON_BOTH(production_leaves_data_to_people),
        ON_BOTH(a_database_that_differs_does_not_start),
        ON_BOTH(all_is_told),
        ON_BOTH(several_processes_do_it_once),
        ON_BOTH(whole_patches_survive_a_kill),
    };
    return cmocka_run_group_tests(tests, scratch_new, scratch_remove);
}
