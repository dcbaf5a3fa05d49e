/* lend.c: another library on the same connection, in the same transaction. */
#include "store/store.h"
#include "core/task.h"

void sl__lend(const sl_site *site, const char *name, sl_lend_fn *fn, void *data)
{
    sl_store *store = sl__store_named(site, name);
    sl_session *session = sl__session_of(site, store, /* writes= */ true);
    sl__session_settle(site, session);
    sl__session_connect(site, session);
    sl_error *error = store->driver->lend(session->connection, fn, data);
    session->generation++;
    if (error)
        sl__session_fail(site, session, error);
}
