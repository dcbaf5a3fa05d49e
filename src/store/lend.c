/* lend.c: another library on the same connection, in the same transaction. */
#include "store/store.h"
#include "core/task.h"

void sl__lend(const sl_site *site, const char *name, sl_lend_fn *fn, void *data)
{
    sl_store *store = sl__store_named(site, name);
    sl_session *session = sl__session_of(site, store, /* writes= */ true);
    sl__session_settle(site, session);
    if (!session->connection) { /* a statement that does nothing takes one, and begins the transaction */
        sl_error *error = sl__run_plain(session, "SELECT 1");
        if (error)
            sl__session_fail(site, session, error);
    }
    if (!session->connection->writer) {
        sl_error *error =
            store->driver->become_writer(session->connection, &(sl__begin){.writes = true, .site = site});
        if (error)
            sl__session_fail(site, session, error);
    }
    session->wrote = true;
    sl_error *error = store->driver->lend(session->connection, fn, data);
    session->generation++;
    if (error)
        sl__session_fail(site, session, error);
}
