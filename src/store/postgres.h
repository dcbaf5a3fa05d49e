/* postgres.h: what the PostgreSQL driver can do beside what every driver can. */
#pragma once

#include "store/driver.h"

/* Runs "COPY table (columns) FROM STDIN" in the connection's transaction, with `rows` rows of `columns`
 * values each, one after the other. Gives the number of rows that were stored. An error aborts the
 * transaction. May suspend. */
sl_error *sl__postgres_copy(sl__connection *connection, const char *sql, size_t size, const sl_value *values,
                            unsigned columns, size_t rows, int64_t *ret_rows);
