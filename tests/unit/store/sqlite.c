/* The SQLite driver: values, statements, errors, and databases that cannot be opened. */
#include "sqlite_check.h"

#include <jansson.h>
#include <sys/stat.h>

/* ---- Values -------------------------------------------------------------------------------------------- */

enum shade { RED, GREEN };
static const char *const shade_texts[] = {"red", "green"};
static const sl_enum_names shade_names = {.name = "shade", .count = 2, .names = shade_texts};

struct thing {
    int64_t id;
    double weight;
    const char *name;
    sl_view photo;
    bool awake;
    int64_t seen;
    sl_date born;
    sl_decimal price;
    sl_uuid token;
    int shade;
    json_t *extra;
    uint64_t nulls;
};
#define FIELD(member, its_kind, its_bit, ...)                                                                \
    {                                                                                                        \
        .kind = SL_KIND_##its_kind, .offset = offsetof(struct thing, member), .bit = its_bit,                \
        .name = #member, __VA_ARGS__                                                                         \
    }
static const sl__field fields[] = {
    FIELD(id, INTEGER, 0),    FIELD(weight, REAL, 1),
    FIELD(name, TEXT, 2),     FIELD(photo, BYTES, 3),
    FIELD(awake, BOOLEAN, 4), FIELD(seen, TIME, 5),
    FIELD(born, DATE, 6),     FIELD(price, DECIMAL, 7, .scale = 2),
    FIELD(token, UUID, 8),    FIELD(shade, ENUM, 9, .names = &shade_names),
    FIELD(extra, JSON, 10),
};
#define COLUMNS sl_array_size(fields)
#define ALL_NULL ((UINT64_C(1) << COLUMNS) - 1)

static void make_things(void)
{
    open_store(NULL);
    write_alone(
        "CREATE TABLE thing (id INTEGER, weight REAL, name TEXT, photo BLOB, awake INTEGER, seen INTEGER,"
        " born TEXT, price INTEGER, token BLOB, shade TEXT, extra TEXT) STRICT");
}

#define INSERT "INSERT INTO thing VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"

static void insert_thing(const sl_value *values)
{
    sl__connection *connection = WRITE();
    sl__statement insert = STATEMENT(INSERT);
    insert.values = values;
    insert.count = COLUMNS;
    OK(run_quick(connection, insert));
    OK(DRIVER->commit(connection));
}

static sl__cursor *first_row(sl__connection *connection, const char *sql)
{
    sl__statement select = STATEMENT(sql);
    sl__cursor *cursor;
    bool row = false;
    OK(DRIVER->run(connection, &select, &cursor));
    OK(DRIVER->step(cursor, &row));
    CHECK(row);
    return cursor;
}

static void fill(sl_value values[COLUMNS])
{
    json_t *extra = json_pack("{s:[i,b]}", "a", 1, 1);
    const sl_value made[] = {
        INTEGER(INT64_MIN),
        {.kind = SL_KIND_REAL, .real = -0.1},
        TEXT("Ärger \"; --"),
        {.kind = SL_KIND_BYTES, .text = {"\0\xff\0", 3}},
        {.kind = SL_KIND_BOOLEAN, .boolean = true},
        {.kind = SL_KIND_TIME, .integer = -1},
        {.kind = SL_KIND_DATE, .date = {2026, 11, 29}},
        {.kind = SL_KIND_DECIMAL, .decimal = {-1250, 2}},
        {.kind = SL_KIND_UUID, .uuid = {{1, 0, 3}}},
        TEXT("green"),
        {.kind = SL_KIND_JSON, .json = extra},
    };
    memcpy(values, made, sizeof made);
}

static void check_thing(const struct thing *t)
{
    CHECK(t->nulls == 0 && t->id == INT64_MIN && t->weight == -0.1 && strcmp(t->name, "Ärger \"; --") == 0);
    CHECK(t->photo.size == 3 && memcmp(t->photo.data, "\0\xff\0", 3) == 0 && t->awake && t->seen == -1);
    CHECK(t->born.year == 2026 && t->born.month == 11 && t->born.day == 29);
    CHECK(t->price.units == -1250 && t->price.scale == 2 && t->token.bytes[0] == 1 && t->token.bytes[2] == 3);
    CHECK(t->shade == GREEN && json_integer_value(json_array_get(json_object_get(t->extra, "a"), 0)) == 1);
}

TASK_TEST(every_kind_comes_back)
{
    make_things();
    sl_value values[COLUMNS];
    fill(values);
    insert_thing(values);
    json_decref(values[10].json);
    for (int copied = 0; copied < 2; copied++) {
        struct thing thing = {.nulls = ALL_NULL | UINT64_C(1) << 40};
        sl__connection *connection = READ();
        sl__cursor *cursor = first_row(connection, "SELECT * FROM thing");
        OK(DRIVER->read(cursor, 0, fields, COLUMNS, &thing, &thing.nulls, copied ? sl_task_arena() : NULL));
        CHECK(thing.nulls == UINT64_C(1) << 40); /* others' bits are left alone */
        thing.nulls = 0;
        if (!copied)
            check_thing(&thing);
        bool row = true;
        OK(DRIVER->step(cursor, &row));
        CHECK(!row && cursor->changed == 1);
        DRIVER->close_cursor(cursor);
        DRIVER->rollback(connection);
        if (copied)
            check_thing(&thing);
        json_decref(thing.extra);
    }
    close_store();
    return NULL;
}

TASK_TEST(nulls_come_back)
{
    make_things();
    sl_value values[COLUMNS] = {0};
    for (unsigned i = 0; i < COLUMNS; i++)
        values[i] = (sl_value){.kind = fields[i].kind, .null = true};
    insert_thing(values);
    struct thing thing;
    memset(&thing, 0xaa, sizeof thing);
    thing.nulls = 0;
    sl__connection *connection = READ();
    sl__cursor *cursor = first_row(connection, "SELECT 1, thing.* FROM thing");
    CHECK(!DRIVER->is_null(cursor, 0) && DRIVER->is_null(cursor, 1));
    OK(DRIVER->read(cursor, 1, fields, COLUMNS, &thing, &thing.nulls, NULL));
    CHECK(thing.nulls == ALL_NULL);
    CHECK(thing.id == 0 && thing.weight == 0 && !thing.name && !thing.photo.data && !thing.awake &&
          !thing.extra);
    CHECK(thing.born.year == 0 && thing.price.units == 0 && thing.token.bytes[15] == 0 && thing.shade == 0);
    DRIVER->close_cursor(cursor);
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

TASK_TEST(empty_is_not_null)
{
    make_things();
    sl_value values[COLUMNS];
    fill(values);
    json_decref(values[10].json);
    values[2] = (sl_value){.kind = SL_KIND_TEXT};
    values[3] = (sl_value){.kind = SL_KIND_BYTES};
    values[10] = (sl_value){.kind = SL_KIND_JSON, .json = json_null()};
    insert_thing(values);
    for (int copied = 0; copied < 2; copied++) {
        struct thing thing = {0};
        sl__connection *connection = READ();
        sl__cursor *cursor = first_row(connection, "SELECT * FROM thing");
        OK(DRIVER->read(cursor, 0, fields, COLUMNS, &thing, &thing.nulls, copied ? sl_task_arena() : NULL));
        CHECK(thing.nulls == 0 && thing.name && !*thing.name && thing.photo.data && thing.photo.size == 0);
        CHECK(json_is_null(thing.extra));
        DRIVER->close_cursor(cursor);
        DRIVER->rollback(connection);
    }
    close_store();
    return NULL;
}

static sl_error *read_one(const char *sql, const sl__field *field, struct thing *thing)
{
    sl__connection *connection = READ();
    sl__cursor *cursor = first_row(connection, sql);
    sl_error *error = DRIVER->read(cursor, 0, field, 1, thing, &thing->nulls, sl_task_arena());
    DRIVER->close_cursor(cursor);
    DRIVER->rollback(connection);
    return error;
}

/* A column of SQLite's may hold anything. */
TASK_TEST(other_classes_are_converted_or_refused)
{
    open_store(NULL);
    struct thing thing = {0};
    OK(read_one("SELECT '42'", &fields[0], &thing));
    CHECK(thing.id == 42);
    OK(read_one("SELECT 3.0", &fields[0], &thing));
    CHECK(thing.id == 3);
    OK(read_one("SELECT 7", &fields[1], &thing));
    CHECK(thing.weight == 7.0);
    OK(read_one("SELECT '2026-11-29T00:00:00Z'", &fields[5], &thing));
    CHECK(thing.seen == INT64_C(1795910400000000));
    OK(read_one("SELECT '9.5'", &fields[7], &thing));
    CHECK(thing.price.units == 950 && thing.price.scale == 2);
    OK(read_one("SELECT '01000300-0000-0000-0000-000000000000'", &fields[8], &thing));
    CHECK(thing.token.bytes[0] == 1);
    OK(read_one("SELECT 0", &fields[4], &thing));
    CHECK(!thing.awake);
    FAILS(read_one("SELECT 2", &fields[4], &thing), SL_EPARSE, "awake");
    FAILS(read_one("SELECT '4x'", &fields[0], &thing), SL_EPARSE, "id");
    FAILS(read_one("SELECT 1.5", &fields[0], &thing), SL_EPARSE, "id");
    FAILS(read_one("SELECT x'00'", &fields[2], &thing), SL_EPARSE, "name");
    FAILS(read_one("SELECT '2026-02-30'", &fields[6], &thing), SL_EPARSE, "born");
    FAILS(read_one("SELECT x'0102'", &fields[8], &thing), SL_EPARSE, "token");
    FAILS(read_one("SELECT 'blue'", &fields[9], &thing), SL_EPARSE, "\"red\"");
    FAILS(read_one("SELECT '{'", &fields[10], &thing), SL_EPARSE, "extra");
    FAILS(read_one("SELECT 'a' || char(0) || 'b'", &fields[2], &thing), SL_EPARSE,
          "name: the text has a NUL");
    close_store();
    return NULL;
}

TASK_TEST(impossible_parameters_are_refused)
{
    open_store(NULL);
    sl__connection *connection = READ();
    FAILS(run(connection, STATEMENT("SELECT ?1", {.kind = SL_KIND_ENUM, .choice = 1})), SL_EINVAL,
          "parameter 1");
    FAILS(run(connection, STATEMENT("SELECT ?1", {.kind = SL_KIND_JSON})), SL_EINVAL, "parameter 1");
    FAILS(run(connection, STATEMENT("SELECT ?1 + ?2", INTEGER(1))), SL_EINVAL,
          "has 2 parameters, and 1 were given");
    FAILS(run(connection, STATEMENT("SELECT 1", INTEGER(1))), SL_EINVAL,
          "has 0 parameters, and 1 were given");
    CHECK(NUMBER(connection, "SELECT ?1 + ?2", INTEGER(1), INTEGER(2)) == 3);
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

/* ---- Statements ---------------------------------------------------------------------------------------- */

TASK_TEST(statements_are_kept)
{
    open_store(NULL);
    sl__connection *connection = READ();
    sl__sqlite_cache *cache = &inside()->links->cache;
    for (int i = 0; i < 5; i++)
        CHECK(NUMBER(connection, "SELECT ?1 + 1", INTEGER(i)) == i + 1);
    cache = &((sl__sqlite_transaction *)connection)->link->cache;
    CHECK(cache->count == 1 && cache->uses == 5);

    /* One that is being stepped through is not the same. */
    sl__statement select = STATEMENT("SELECT ?1 + 1", INTEGER(1));
    sl__cursor *outer;
    OK(DRIVER->run(connection, &select, &outer));
    CHECK(NUMBER(connection, "SELECT ?1 + 1", INTEGER(7)) == 8);
    bool row;
    OK(DRIVER->step(outer, &row));
    CHECK(row);
    OK(DRIVER->step(outer, &row));
    CHECK(!row);
    DRIVER->close_cursor(outer);
    CHECK(cache->count == 1);

    /* Without a shape it is not kept. */
    sl__statement once = STATEMENT("SELECT 5");
    once.shape = 0;
    CHECK(number_of(connection, once) == 5 && cache->count == 1);

    /* Those not used for longest make room. */
    for (int i = 0; i < 3 * SL__SQLITE_STATEMENTS; i++) {
        char sql[32];
        snprintf(sql, sizeof sql, "SELECT %d", i);
        CHECK(NUMBER(connection, sql) == i);
        CHECK(NUMBER(connection, "SELECT ?1 + 1", INTEGER(i)) == i + 1);
    }
    CHECK(cache->count == SL__SQLITE_STATEMENTS);
    sl__statement kept = STATEMENT("SELECT ?1 + 1", INTEGER(1));
    bool found = false;
    for (unsigned i = 0; i < sl_array_size(cache->slots); i++)
        found = found || (cache->slots[i] && cache->slots[i]->shape == kept.shape);
    CHECK(found);
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

/* All in one slot: the same hash, with other texts. */
TASK_TEST(colliding_shapes_are_told_apart)
{
    open_store(NULL);
    sl__connection *connection = READ();
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2 * SL__SQLITE_STATEMENTS; i += 1 + round) {
            char sql[32];
            snprintf(sql, sizeof sql, "SELECT %d", i);
            sl__statement select = STATEMENT(sql);
            select.shape = 42 + (uint64_t)i % 2 * 512;
            CHECK(number_of(connection, select) == i);
        }
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

TASK_TEST(statements_survive_changes_of_the_schema)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    write_alone("INSERT INTO a VALUES (1)");
    CHECK(READ_ALONE("SELECT * FROM a") == 1);
    sqlite3 *db = other_process();
    OTHER(db, "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 2");
    sqlite3_close(db);
    sl__connection *connection = READ();
    sl__cursor *cursor = first_row(connection, "SELECT * FROM a");
    struct thing thing = {0};
    OK(DRIVER->read(cursor, 1, fields, 1, &thing, &thing.nulls, NULL));
    CHECK(thing.id == 2);
    DRIVER->close_cursor(cursor);
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

TASK_TEST(bad_sql_is_told)
{
    open_store(NULL);
    sl__connection *connection = WRITE();
    FAILS(QUICK(connection, "SELEC 1"), SL_EDATABASE, "store main: near \"SELEC\": syntax error");
    FAILS(QUICK(connection, "SELECT x FROM nowhere"), SL_EDATABASE, "no such table: nowhere");
    FAILS(QUICK(connection, "SELECT x FROM nowhere"), SL_EDATABASE, "SELECT x FROM nowhere"); /* the detail */
    OK(QUICK(connection, "CREATE TABLE a (x INTEGER)"));
    FAILS(QUICK(connection, "SELECT \"y\" FROM a"), SL_EDATABASE, "no such column: y"); /* and no text 'y' */
    FAILS(QUICK(connection, ""), SL_EINVAL, "no statement");
    FAILS(QUICK(connection, " -- nothing\n /* at all */ ; "), SL_EINVAL, "no statement");
    FAILS(QUICK(connection, "SELECT 1; SELECT 2"), SL_EINVAL, "more than one statement");
    OK(QUICK(connection, "SELECT 1; -- and no more"));
    const char *const control[] = {"BEGIN",    "begin immediate",  "COMMIT",         "END TRANSACTION",
                                   "ROLLBACK", "/* x */ commit ;", "-- x\n rollback"};
    for (size_t i = 0; i < sl_array_size(control); i++)
        FAILS(QUICK(connection, control[i]), SL_EINVAL, "may not begin or end transactions");
    OK(QUICK(connection, "SAVEPOINT s1"));
    OK(QUICK(connection, "INSERT INTO a VALUES (1)"));
    OK(QUICK(connection, "ROLLBACK TO s1"));
    OK(QUICK(connection, "RELEASE s1"));
    FAILS(QUICK(connection, "RELEASE s1"), SL_EDATABASE, "no such savepoint");
    CHECK(NUMBER(connection, "SELECT count(*) FROM a") == 0);
    OK(DRIVER->commit(connection));
    close_store();
    return NULL;
}

TASK_TEST(constraints_are_told)
{
    open_store(NULL);
    write_alone(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT UNIQUE, y INTEGER NOT NULL DEFAULT 0 CHECK (y < 5))");
    write_alone("CREATE TABLE b (a INTEGER REFERENCES a (id), c TEXT, PRIMARY KEY (a, c)) WITHOUT ROWID");
    sl__connection *connection = WRITE();
    OK(QUICK(connection, "INSERT INTO a VALUES (1, 'one', 1)"));
    FAILS(QUICK(connection, "INSERT INTO a VALUES (2, 'one', 1)"), SL_EEXIST,
          "UNIQUE constraint failed: a.x");
    FAILS(QUICK(connection, "INSERT INTO a VALUES (1, 'two', 1)"), SL_EEXIST, "a.id");
    OK(QUICK(connection, "INSERT INTO b VALUES (1, 'c')"));
    FAILS(QUICK(connection, "INSERT INTO b VALUES (1, 'c')"), SL_EEXIST, "b.a, b.c");
    FAILS(QUICK(connection, "INSERT INTO a (y) VALUES (NULL)"), SL_ECONSTRAINT,
          "NOT NULL constraint failed: a.y");
    FAILS(QUICK(connection, "INSERT INTO a (y) VALUES (9)"), SL_ECONSTRAINT, "CHECK constraint failed");
    FAILS(QUICK(connection, "INSERT INTO b VALUES (7, 'c')"), SL_ECONSTRAINT,
          "FOREIGN KEY constraint failed");
    FAILS(QUICK(connection, "DELETE FROM a"), SL_ECONSTRAINT, "FOREIGN KEY constraint failed");
    CHECK(NUMBER(connection, "SELECT count(*) FROM a") == 1); /* the transaction goes on */
    OK(DRIVER->commit(connection));
    CHECK(READ_ALONE("SELECT count(*) FROM b") == 1);
    close_store();
    return NULL;
}

static int64_t changed_by(sl__connection *connection, sl__statement statement, bool quick)
{
    int64_t changed = -1;
    statement.writes = true;
    statement.quick = quick;
    OK(run_counted(connection, &statement, &changed));
    return changed;
}

TASK_TEST(changes_are_counted)
{
    open_store(NULL);
    sl__connection *connection = WRITE();
    for (int quick = 0; quick < 2; quick++) {
        CHECK(changed_by(connection, STATEMENT("CREATE TABLE a (id INTEGER PRIMARY KEY, x)"), quick) == 0);
        CHECK(changed_by(connection, STATEMENT("INSERT INTO a (x) VALUES (1), (2), (3)"), quick) == 3);
        CHECK(changed_by(connection, STATEMENT("CREATE INDEX i ON a (x)"), quick) == 0);
        CHECK(changed_by(connection, STATEMENT("UPDATE a SET x = 5 WHERE x > 1"), quick) == 2);
        CHECK(changed_by(connection, STATEMENT("UPDATE a SET x = 5 WHERE x > 10"), quick) == 0);
        CHECK(changed_by(connection, STATEMENT("WITH w AS (SELECT 1) DELETE FROM a WHERE x IN w"), quick) ==
              1);
        CHECK(changed_by(connection, STATEMENT("UPDATE a SET x = 6 RETURNING id"), quick) == 2);
        CHECK(changed_by(connection, STATEMENT("REPLACE INTO a VALUES (3, 4)"), quick) == 1);
        CHECK(changed_by(connection, STATEMENT("SELECT * FROM a"), quick) == 2);
        CHECK(changed_by(connection, STATEMENT("DROP TABLE a"), quick) == 0);
    }
    OK(DRIVER->commit(connection));
    close_store();
    return NULL;
}

TASK_TEST(keys_are_given)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (id INTEGER PRIMARY KEY, x)");
    sl__connection *connection = WRITE();
    for (int64_t i = 1; i < 5; i++) {
        sl__statement insert = STATEMENT("INSERT INTO a (x) VALUES (?1)", INTEGER(i));
        insert.writes = true;
        insert.quick = i % 2;
        sl__cursor *cursor;
        bool row = true;
        OK(DRIVER->run(connection, &insert, &cursor));
        OK(DRIVER->step(cursor, &row));
        CHECK(!row && cursor->key == i && cursor->changed == 1);
        OK(DRIVER->step(cursor, &row)); /* over is over */
        CHECK(!row);
        DRIVER->close_cursor(cursor);
    }
    DRIVER->rollback(connection);
    close_store();
    return NULL;
}

/* Statements are carried out when they are run, in order, also if they are stepped through later or never. */
TASK_TEST(statements_are_carried_out_in_order)
{
    open_store(NULL);
    write_alone("CREATE TABLE p (id INTEGER PRIMARY KEY)");
    write_alone("CREATE TABLE a (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))");
    sl__connection *connection = WRITE();
    sl__cursor *cursors[4];
    sl__statement statements[4] = {
        STATEMENT("INSERT INTO a VALUES (1, NULL) RETURNING id"),
        STATEMENT("SELECT id FROM a"),
        STATEMENT("INSERT INTO a VALUES (2, NULL) RETURNING id"),
        STATEMENT("SELECT count(*) FROM a"),
    };
    for (int i = 0; i < 4; i++) {
        statements[i].quick = i != 2;
        OK(DRIVER->run(connection, &statements[i], &cursors[i]));
    }
    bool row = false;
    struct thing thing = {0};
    OK(DRIVER->step(cursors[3], &row));
    OK(DRIVER->read(cursors[3], 0, fields, 1, &thing, &thing.nulls, NULL));
    CHECK(row && thing.id == 2);
    OK(DRIVER->step(cursors[0], &row));
    OK(DRIVER->read(cursors[0], 0, fields, 1, &thing, &thing.nulls, NULL));
    CHECK(row && thing.id == 1);
    for (int i = 0; i < 4; i++)
        DRIVER->close_cursor(cursors[i]);
    CHECK(NUMBER(connection, "SELECT count(*) FROM a") == 2);
    OK(DRIVER->commit(connection));

    /* What it breaks is found before it gives a row. */
    connection = WRITE();
    FAILS(QUICK(connection, "INSERT INTO a VALUES (3, 99) RETURNING id"), SL_ECONSTRAINT, "FOREIGN KEY");
    OK(DRIVER->commit(connection));
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 2);
    close_store();
    return NULL;
}

/* ---- Transactions -------------------------------------------------------------------------------------- */

TASK_TEST(readers_see_one_moment)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    sl__connection *first = READ(), *second = READ();
    CHECK(NUMBER(first, "SELECT count(*) FROM a") == 0);
    sl__connection *writer = WRITE();
    OK(QUICK(writer, "INSERT INTO a VALUES (1)"));
    CHECK(NUMBER(writer, "SELECT count(*) FROM a") == 1);
    CHECK(NUMBER(first, "SELECT count(*) FROM a") == 0);
    OK(DRIVER->commit(writer));
    CHECK(NUMBER(first, "SELECT count(*) FROM a") == 0);
    CHECK(NUMBER(second, "SELECT count(*) FROM a") == 1); /* its moment is that of its first statement */
    OK(DRIVER->commit(first));
    DRIVER->rollback(second);
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 1);
    close_store();
    return NULL;
}

TASK_TEST(readers_cannot_write)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    sl__connection *reader = READ();
    FAILS(QUICK(reader, "INSERT INTO a VALUES (1)"), SL_EINVAL, "the transaction only reads");
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 0);
    DRIVER->rollback(reader);
    close_store();
    return NULL;
}

TASK_TEST(what_was_committed_stays)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    sl__connection *writer = WRITE();
    OK(QUICK(writer, "INSERT INTO a VALUES (1)"));
    DRIVER->rollback(writer);
    write_alone("INSERT INTO a VALUES (2)");
    sqlite3 *db = other_process();
    sqlite3_stmt *sum;
    CHECK(sqlite3_prepare_v2(db, "SELECT sum(x) FROM a", -1, &sum, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(sum) == SQLITE_ROW && sqlite3_column_int(sum, 0) == 2);
    sqlite3_finalize(sum);
    sqlite3_close(db);
    close_store();
    open_store(NULL);
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 2);
    close_store();
    return NULL;
}

/* Whoever changes tables may drop one that others refer to, and make it anew. */
TASK_TEST(foreign_keys_are_left_alone_while_tables_change)
{
    for (int memory = 0; memory < 2; memory++) {
        open_store(memory ? "sqlite::memory:" : NULL);
        write_alone("CREATE TABLE a (id INTEGER PRIMARY KEY)");
        write_alone("CREATE TABLE b (a INTEGER REFERENCES a (id) ON DELETE CASCADE)");
        write_alone("INSERT INTO a VALUES (1)");
        write_alone("INSERT INTO b VALUES (1)");
        for (int undo = 1; undo >= 0; undo--) {
            sl__connection *connection = BEGIN(.writes = true, .schema = true);
            OK(QUICK(connection, "CREATE TABLE c (id INTEGER PRIMARY KEY, x)"));
            OK(QUICK(connection, "INSERT INTO c SELECT id, 5 FROM a"));
            OK(QUICK(connection, "DROP TABLE a"));
            OK(QUICK(connection, "ALTER TABLE c RENAME TO a"));
            if (undo)
                DRIVER->rollback(connection);
            else
                OK(DRIVER->commit(connection));
        }
        CHECK(READ_ALONE("SELECT count(*) FROM a JOIN b ON a.id = b.a WHERE x = 5") == 1);
        sl__connection *connection = WRITE(); /* and looked after again */
        FAILS(QUICK(connection, "INSERT INTO b VALUES (2)"), SL_ECONSTRAINT, "FOREIGN KEY");
        DRIVER->rollback(connection);
        close_store();
    }
    return NULL;
}

static void *write_one(void *data)
{
    sl__connection *writer = WRITE();
    OK(QUICK(writer, "INSERT INTO a VALUES (1)"));
    OK(DRIVER->commit(writer));
    return NULL;
}

TASK_TEST(memory_is_one_connection)
{
    open_store("sqlite::memory:");
    write_alone("CREATE TABLE a (x INTEGER)");
    sl__connection *reader = BEGIN();
    CHECK(NUMBER(reader, "SELECT count(*) FROM a") == 0);
    sl_deferred *waits = sl_spawn(write_one, NULL);
    sl_yield();
    sl_yield();
    CHECK(!sl_deferred_fired(waits));
    OK(DRIVER->become_writer(reader, &(sl__begin){.writes = true, .site = SL_HERE}));
    OK(QUICK(reader, "INSERT INTO a VALUES (2)"));
    OK(DRIVER->commit(reader));
    sl_await(waits);
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 3);
    sl__connection *writer = WRITE();
    sl__statement bulk = STATEMENT("UPDATE a SET x = x + 1");
    bulk.writes = true;
    OK(run(writer, bulk));
    DRIVER->rollback(writer);
    CHECK(READ_ALONE("SELECT sum(x) FROM a") == 3);
    CHECK(!inside()->links->next);
    close_store();
    return NULL;
}

/* ---- Lending ------------------------------------------------------------------------------------------- */

static void insert_two(void *connection, void *data)
{
    CHECK(sqlite3_exec(connection, "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)", NULL, NULL, NULL) ==
          SQLITE_OK);
    sqlite3_progress_handler(connection, 0, NULL, NULL);
    *(int *)data = 1;
}

static void run_lent(void *connection, void *data)
{
    sqlite3_exec(connection, data, NULL, NULL, NULL);
}

static void read_only_fails(void *connection, void *data)
{
    CHECK(sqlite3_exec(connection, "INSERT INTO a VALUES (1)", NULL, NULL, NULL) != SQLITE_OK);
    CHECK(sqlite3_exec(connection, "SELECT * FROM a", NULL, NULL, NULL) == SQLITE_OK);
}

TASK_TEST(connections_are_lent)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    int called = 0;
    sl__connection *writer = WRITE();
    OK(DRIVER->lend(writer, insert_two, &called));
    CHECK(called && NUMBER(writer, "SELECT sum(x) FROM a") == 3);
    OK(DRIVER->commit(writer));
    writer = WRITE();
    OK(DRIVER->lend(writer, insert_two, &called));
    DRIVER->rollback(writer);
    sl__connection *reader = READ();
    CHECK(NUMBER(reader, "SELECT sum(x) FROM a") == 3);
    OK(DRIVER->lend(reader, read_only_fails, NULL));
    OK(DRIVER->commit(reader));
    writer = WRITE(); /* the link of the reader does not stay so */
    OK(QUICK(writer, "DELETE FROM a"));
    OK(DRIVER->commit(writer));
    close_store();
    return NULL;
}

TASK_TEST(who_ends_a_lent_transaction_dooms_it)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    const char *const ends[] = {"ROLLBACK", "COMMIT", "RELEASE sl_lend",
                                "ROLLBACK TO sl_lend; RELEASE sl_lend", "COMMIT; BEGIN"};
    for (size_t i = 0; i < sl_array_size(ends); i++) {
        sl__connection *writer = WRITE();
        OK(QUICK(writer, "INSERT INTO a VALUES (1)"));
        FAILS(DRIVER->lend(writer, run_lent, (void *)ends[i]), SL_EDISCONNECTED, "ended by the code");
        FAILS(QUICK(writer, "INSERT INTO a VALUES (2)"), SL_EDISCONNECTED, "the transaction is gone");
        FAILS(DRIVER->commit(writer), SL_EDISCONNECTED, "the transaction is gone");
        sl__connection *reader = READ();
        FAILS(DRIVER->lend(reader, run_lent, (void *)ends[i]), SL_EDISCONNECTED, "ended by the code");
        DRIVER->rollback(reader);
    }
    write_alone("INSERT INTO a VALUES (5)");
    CHECK(READ_ALONE("SELECT max(x) FROM a") == 5);
    close_store();
    return NULL;
}

/* ---- Opening and closing ------------------------------------------------------------------------------- */

static sl_error *open_error(const char *url)
{
    options = (sl_store_options){.connections = 4, .busy_ms = 0};
    store = (sl_store){.name = (char *)"main", .url = (char *)url, .driver = DRIVER, .options = &options};
    sl_error *error = DRIVER->open(&store);
    CHECK(error && !store.data);
    return error;
}

TASK_TEST(databases_that_cannot_be_opened)
{
    FAILS(open_error("sqlite:"), SL_EDATABASE, "names no file");
    FAILS(open_error("sqlite:/no/such/place/a.db"), SL_EDATABASE,
          "cannot open /no/such/place/a.db: its directory /no/such/place: no such file");
    FAILS(open_error("sqlite:/a.db/b"), SL_EDATABASE, "its directory /a.db");
    FAILS(open_error(sl_printf("sqlite:%s", scratch)), SL_EDATABASE, "it is a directory");
    put_file(in_scratch("text.db"),
             "This is a text that is long enough to be looked at: no database at all, you see."
             "It goes on for a while, and is still none when it is over, which is now.");
    FAILS(open_error(sl_printf("sqlite:%s", in_scratch("text.db"))), SL_EDATABASE, "file is not a database");
    FAILS(open_error(sl_printf("sqlite:%s", in_scratch("text.db"))), SL_EDATABASE, "name another file");

    open_store(NULL);
    sqlite3 *db = other_process();
    OTHER(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    close_store();
    FAILS(open_error(sl_printf("sqlite:%s", store_path)), SL_EBUSY, "fuser -v");
    sqlite3_close(db);
    return NULL;
}

TASK_TEST(what_goes_into_a_file_that_is_gone_is_not_acknowledged)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    CHECK(unlink(store_path) == 0);
    sl__connection *writer = WRITE();
    OK(QUICK(writer, "INSERT INTO a VALUES (1)"));
    FAILS(DRIVER->commit(writer), SL_EDATABASE, "removed or replaced");
    close_store();
    return NULL;
}

TASK_TEST(files_of_utf_16_are_refused)
{
    snprintf(store_path, sizeof store_path, "%s/wide.db", scratch);
    sqlite3 *db = other_process();
    OTHER(db, "PRAGMA encoding = 'UTF-16'; CREATE TABLE a (x TEXT)");
    sqlite3_close(db);
    FAILS(open_error(sl_printf("sqlite:%s", store_path)), SL_EDATABASE, "its texts are in UTF-16");
    FAILS(open_error(sl_printf("sqlite:%s", store_path)), SL_EDATABASE, ".dump | sqlite3 new.db`");
    return NULL;
}

/* Root may write everywhere, so it has to become somebody else for this. */
TASK_TEST(read_only_files_are_told)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    close_store();
    CHECK(chmod(scratch, 0755) == 0 && chmod(store_path, 0444) == 0);
    bool root = geteuid() == 0;
    CHECK(!root || seteuid(65534) == 0);
    FAILS(open_error(sl_printf("sqlite:%s", store_path)), SL_EDATABASE,
          "let the user that runs this write to");
    FAILS(open_error(sl_printf("sqlite:%s", in_scratch("new.db"))), SL_EDATABASE, "may read and write");
    CHECK(!root || seteuid(0) == 0);
    CHECK(chmod(scratch, 0700) == 0);
    return NULL;
}

TASK_TEST(strange_names_are_names)
{
    open_store(sl_printf("sqlite:%s/a b?mode=ro&x=%%41#.db", scratch));
    write_alone("CREATE TABLE a (x INTEGER)");
    close_store();
    CHECK(access(in_scratch("a b?mode=ro&x=%41#.db"), F_OK) == 0);
    CHECK(chdir(scratch) == 0);
    open_store("sqlite:file:a.db");
    close_store();
    CHECK(access(in_scratch("file:a.db"), F_OK) == 0);
    CHECK(chdir("/") == 0);
    return NULL;
}

TASK_TEST(a_removed_file_is_not_made_anew)
{
    open_store(NULL);
    CHECK(unlink(store_path) == 0);
    sl__connection *reader = NULL;
    FAILS(DRIVER->begin(&store, &(sl__begin){.site = SL_HERE}, &reader), SL_EDATABASE, "the file is gone");
    CHECK(inside()->readers == 0);
    close_store();
    return NULL;
}

static void *begin_late(void *data)
{
    sl__connection *connection = NULL;
    FAILS(DRIVER->begin(&store, data, &connection), SL_ECLOSED, "store main was closed");
    return NULL;
}

TASK_TEST(closing_ends_what_is_open)
{
    open_store(NULL);
    write_alone("CREATE TABLE a (x INTEGER)");
    options.connections = 1;
    sl__connection *writer = WRITE(), *reader = READ();
    OK(QUICK(writer, "INSERT INTO a VALUES (1)"));
    sl__statement select = STATEMENT("SELECT 1 UNION SELECT 2");
    sl__cursor *cursor;
    bool row;
    OK(DRIVER->run(reader, &select, &cursor));
    OK(DRIVER->step(cursor, &row));
    sl_deferred *waits[] = {
        sl_spawn(begin_late, (&(sl__begin){.writes = true, .site = SL_HERE})),
        sl_spawn(begin_late, &(sl__begin){.site = SL_HERE}),
    };
    sl_yield();
    close_store();
    sl_await(sl_all(waits, 2));
    FAILS(DRIVER->step(cursor, &row), SL_EDISCONNECTED, "end reading before");
    DRIVER->close_cursor(cursor);
    FAILS(DRIVER->run(reader, &select, &cursor), SL_EDISCONNECTED, "the store was closed");
    FAILS(DRIVER->commit(writer), SL_EDISCONNECTED, "the store was closed");
    DRIVER->rollback(reader);
    open_store(NULL);
    CHECK(READ_ALONE("SELECT count(*) FROM a") == 0);
    close_store();
    return NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_kind_comes_back),
        TEST(nulls_come_back),
        TEST(empty_is_not_null),
        TEST(other_classes_are_converted_or_refused),
        TEST(impossible_parameters_are_refused),
        TEST(statements_are_kept),
        TEST(colliding_shapes_are_told_apart),
        TEST(statements_survive_changes_of_the_schema),
        TEST(bad_sql_is_told),
        TEST(constraints_are_told),
        TEST(changes_are_counted),
        TEST(keys_are_given),
        TEST(statements_are_carried_out_in_order),
        TEST(readers_see_one_moment),
        TEST(readers_cannot_write),
        TEST(what_was_committed_stays),
        TEST(foreign_keys_are_left_alone_while_tables_change),
        TEST(memory_is_one_connection),
        TEST(connections_are_lent),
        TEST(who_ends_a_lent_transaction_dooms_it),
        TEST(databases_that_cannot_be_opened),
        TEST(what_goes_into_a_file_that_is_gone_is_not_acknowledged),
        TEST(files_of_utf_16_are_refused),
        TEST(read_only_files_are_told),
        TEST(strange_names_are_names),
        TEST(a_removed_file_is_not_made_anew),
        TEST(closing_ends_what_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
