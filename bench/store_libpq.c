/* store_libpq.c: PostgreSQL as a C program uses it: libpq, statements prepared, values in binary. */
#include "store.h"

#include <endian.h>
#include <libpq-fe.h>
#include <stdlib.h>

static PGconn *connection;

static PGresult *must(PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_PIPELINE_SYNC)
        give_up("libpq", PQerrorMessage(connection));
    return result;
}

static void execute(const char *sql)
{
    PQclear(must(PQexec(connection, sql)));
}

static void prepare(const char *name, const char *sql)
{
    PQclear(must(PQprepare(connection, name, sql, 0, NULL)));
}

void libpq_open(void)
{
    connection = PQconnectdb(postgres);
    if (PQstatus(connection) != CONNECTION_OK)
        give_up(postgres, PQerrorMessage(connection));
}

void libpq_close(void)
{
    PQfinish(connection);
}

/* The tables are there. Entries refer to items in the order of key_at. */
void libpq_fill(void)
{
    execute("INSERT INTO item SELECT i, " ROW_IN_POSTGRES " FROM generate_series(1, 20000) i");
    execute("INSERT INTO entry SELECT i, 1 + (i - 1) * 7919 % 20000 FROM generate_series(1, 20000) i");
    execute("VACUUM ANALYZE item, entry");
    prepare("get", "SELECT id, name, mail, number, weight FROM item WHERE id = $1::bigint");
    prepare("list", "SELECT id, item FROM entry WHERE id BETWEEN $1::bigint AND $2::bigint");
    prepare("any", "SELECT id, name, mail, number, weight FROM item WHERE id = ANY($1::bigint[])");
}

/* ---- Values in binary ---- */

static int64_t integer_of(const PGresult *result, int row, int column)
{
    uint64_t value;
    memcpy(&value, PQgetvalue(result, row, column), sizeof value);
    return (int64_t)be64toh(value);
}

static double real_of(const PGresult *result, int row, int column)
{
    int64_t bits = integer_of(result, row, column);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t read_row(const PGresult *result, int row)
{
    if (PQgetlength(result, row, 1) != TEXT_SIZE || PQgetlength(result, row, 2) != TEXT_SIZE)
        give_up("libpq", "a text has not the length that was stored");
    return row_sum(integer_of(result, row, 0), PQgetvalue(result, row, 1), PQgetvalue(result, row, 2),
                   integer_of(result, row, 3), real_of(result, row, 4));
}

/* ---- What is measured ---- */

uint64_t libpq_get(size_t n)
{
    static const int size = sizeof(uint64_t), format = 1;
    uint64_t sum = 0;
    clock_start();
    for (size_t i = 0; i < n; i++) {
        uint64_t key = htobe64((uint64_t)key_at(i));
        const char *value = (const char *)&key;
        PGresult *result = must(PQexecPrepared(connection, "get", 1, &value, &size, &format, /* binary */ 1));
        if (PQntuples(result) != 1)
            give_up("libpq", "a row is missing");
        sum += read_row(result, 0);
        PQclear(result);
    }
    clock_stop();
    return sum;
}

/* A hundred entries from number `first` on: which items they refer to. */
static void list(size_t first, uint64_t keys[static GROUP])
{
    static const int sizes[] = {sizeof(uint64_t), sizeof(uint64_t)}, formats[] = {1, 1};
    uint64_t from = htobe64(first + 1), to = htobe64(first + GROUP);
    const char *values[] = {(const char *)&from, (const char *)&to};
    PGresult *result = must(PQexecPrepared(connection, "list", 2, values, sizes, formats, /* binary */ 1));
    if (PQntuples(result) != GROUP)
        give_up("libpq", "entries are missing");
    for (int i = 0; i < GROUP; i++)
        keys[i] = (uint64_t)integer_of(result, i, 1);
    PQclear(result);
}

static void send_all(const uint64_t *keys)
{
    static const int size = sizeof(uint64_t), format = 1;
    for (int i = 0; i < GROUP; i++) {
        uint64_t key = htobe64(keys[i]);
        const char *value = (const char *)&key;
        if (!PQsendQueryPrepared(connection, "get", 1, &value, &size, &format, /* binary */ 1))
            give_up("libpq", PQerrorMessage(connection));
    }
    if (!PQpipelineSync(connection))
        give_up("libpq", PQerrorMessage(connection));
}

static uint64_t read_all(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < GROUP; i++) {
        PGresult *result = must(PQgetResult(connection));
        sum += read_row(result, 0);
        PQclear(result);
        PQclear(PQgetResult(connection)); /* the end of this one: NULL */
    }
    PQclear(must(PQgetResult(connection)));
    return sum;
}

uint64_t libpq_pipelined(size_t n)
{
    uint64_t sum = 0, keys[GROUP];
    execute("BEGIN");
    clock_start();
    for (size_t i = 0; i < n; i += GROUP) {
        list(i, keys);
        PQenterPipelineMode(connection);
        send_all(keys);
        sum += read_all();
        PQexitPipelineMode(connection);
    }
    clock_stop();
    execute("COMMIT");
    return sum;
}

/* An array of bigint as PostgreSQL sends it: dimensions, whether there are NULLs, the type, length and lower
 * bound, and then each with its size. */
static int put_array(const uint64_t *keys, uint32_t array[static 5 + 3 * GROUP])
{
    enum { TYPE_INT8 = 20 };
    uint32_t *at = array;
    *at++ = htobe32(1);
    *at++ = 0;
    *at++ = htobe32(TYPE_INT8);
    *at++ = htobe32(GROUP);
    *at++ = htobe32(1);
    for (int i = 0; i < GROUP; i++) {
        uint64_t key = htobe64(keys[i]);
        *at++ = htobe32(sizeof key);
        memcpy(at, &key, sizeof key);
        at += 2;
    }
    return (int)((char *)at - (char *)array);
}

/* The same with one query for the hundred: the floor of a preload. */
uint64_t libpq_any(size_t n)
{
    static const int format = 1;
    uint64_t sum = 0, keys[GROUP];
    uint32_t array[5 + 3 * GROUP];
    execute("BEGIN");
    clock_start();
    for (size_t i = 0; i < n; i += GROUP) {
        list(i, keys);
        int size = put_array(keys, array);
        const char *value = (const char *)array;
        PGresult *result = must(PQexecPrepared(connection, "any", 1, &value, &size, &format, /* binary */ 1));
        for (int row = 0; row < PQntuples(result); row++)
            sum += read_row(result, row);
        PQclear(result);
    }
    clock_stop();
    execute("COMMIT");
    return sum;
}
