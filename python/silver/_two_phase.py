"""One commit of SQLite and PostgreSQL: both or none, also after kill -9 at any step.

SQLite's file decides. Within the transaction there, which holds SQLite's lock for writing, the name of the common transaction
(the gid) is written into the table sl_decision; then PostgreSQL prepares; then SQLite commits, and that is the decision; then
PostgreSQL commits what it has prepared. So whoever gets the lock for writing and finds something prepared knows how it ended:
the gid stands in sl_decision, or it never will. That is how a worker finishes, when it first uses a database, what one that died
has left; one that lives is not disturbed, for it holds the lock from before it prepares until it has decided.

A gid is silver:APPLICATION:IDENTITY-PROCESS:NUMBER. The identity is a random one that the table has, so that two applications, or
two copies of one, in a PostgreSQL leave each other's alone. An instance in C has the same table, and gids that begin otherwise."""

import itertools
import os
import threading
import time
import uuid

import silver
from silver import _database

_TRIES = 20  # ten milliseconds apart

_lock = threading.Lock()
_recovered = False
_numbers = itertools.count(1)
_done = []  # gids whose rows are no longer needed
_swept = False  # rows that others left were looked after
_process = None  # (its number, its name in gids)


def _make_table(sqlite):
    """And gives its identity."""
    sqlite._run("CREATE TABLE IF NOT EXISTS sl_decision (gid text PRIMARY KEY NOT NULL, decision text NOT NULL)")
    sqlite._run("INSERT INTO sl_decision (gid, decision) VALUES ('identity', ?) ON CONFLICT DO NOTHING", (str(uuid.uuid4()),))
    return _identity(sqlite)


def _identity(sqlite):
    """Of the table; None where there is none, and so nothing was ever decided."""
    if not sqlite._run("SELECT 1 FROM sqlite_master WHERE name = 'sl_decision'").fetchone():
        return None
    row = sqlite._run("SELECT decision FROM sl_decision WHERE gid = 'identity'").fetchone()
    return row[0] if row else None


def _gid(identity):
    global _process
    if _process is None or _process[0] != os.getpid():
        _process = os.getpid(), "%x.%x" % (os.getpid(), time.time_ns())
    name = os.environ.get("SILVER_NAME", "")
    return "silver:%s:%s-%s:%d" % (name.replace(":", "_")[:60], identity, _process[1], next(_numbers))


def _ours(gids, identity):
    """Those that this table decides."""
    parts = [(gid, gid.split(":")) for gid in gids]
    return {gid for gid, part in parts if len(part) == 4 and part[0] == "silver" and part[2].startswith(identity + "-")}


# ---- Committing --------------------------------------------------------------------------------------------------


def commit(connections):
    """Commits all, or raises and has committed none."""
    for connection in connections:
        connection._check_commit()
    written = [connection for connection in connections if connection._has_written()]
    if len(written) > 1:
        by_name = {connection._service.name: connection for connection in connections}
        _commit_both(by_name["sqlite"], by_name["postgres"])
        return
    for connection in written:
        connection._commit()
    for connection in connections:
        if connection not in written:
            connection._rollback()  # it has only read


def _write_decision(sqlite, postgres):
    """The gid."""
    identity = _make_table(sqlite)
    gid = _gid(identity)
    sqlite._run("INSERT INTO sl_decision (gid, decision) VALUES (?, 'commit')", (gid,))
    for old in _done[:]:
        sqlite._run("DELETE FROM sl_decision WHERE gid = ?", (old,))
    if not _swept:
        _sweep(sqlite, identity, _prepared(postgres._run, identity) | {gid})
    return gid


def _decided(sqlite, identity):
    return _ours((gid for (gid,) in sqlite._run("SELECT gid FROM sl_decision").fetchall()), identity)


def _sweep(sqlite, identity, needed):
    """Removes the rows of what has ended everywhere. SQLite's lock is held, so all that has not is prepared."""
    for old in _decided(sqlite, identity) - needed:
        sqlite._run("DELETE FROM sl_decision WHERE gid = ?", (old,))


def _commit_both(sqlite, postgres):
    global _recovered, _swept
    old = len(_done)
    gid = _write_decision(sqlite, postgres)
    try:
        postgres._prepare(gid)
    except BaseException:
        _recovered = False  # where the answer was lost it may be prepared all the same
        raise
    try:
        sqlite._commit()
    except BaseException:
        if sqlite.in_transaction:
            sqlite._rollback()
            _finish(postgres, "ROLLBACK", gid)
        else:
            _recovered = False  # nobody knows what became of it; who recovers will
        raise
    _swept = True
    del _done[:old]
    if _finish(postgres, "COMMIT", gid):
        _done.append(gid)


def _finish(postgres, verb, gid):
    """The decision has fallen. Whether PostgreSQL has heard of it; if not, whoever recovers tells it."""
    global _recovered
    try:
        _end_prepared(postgres._alone, verb, gid)
        return True
    except Exception as error:
        _recovered = False
        silver.log.error("the transaction %s is decided, and PostgreSQL could not be told to %s it; that is done when it can be "
                         "reached: %s", gid, verb, error)
        return False


def _end_prepared(run, verb, gid):
    import psycopg2.errors

    for tries in range(_TRIES):
        try:
            run(verb + " PREPARED %s", (gid,))
            return
        except psycopg2.errors.UndefinedObject:
            return  # somebody else has done so
        except psycopg2.errors.ObjectNotInPrerequisiteState:  # somebody else is about to: it is "busy"
            if tries == _TRIES - 1:
                raise
            time.sleep(0.01)


def _prepared(run, identity):
    """The gids of ours that PostgreSQL has prepared in this database."""
    rows = run("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()").fetchall()
    return _ours((gid for (gid,) in rows), identity)


# ---- Recovering --------------------------------------------------------------------------------------------------


def recover_once():
    """Before the first transaction of this process, and again when something could not be finished."""
    global _recovered
    if _recovered:
        return
    with _lock:
        if _recovered:
            return
        if len(_database.configured()) == 2:
            try:
                if recover():
                    return
            except Exception as error:
                silver.log.warning("what other transactions may have left prepared could not be looked after: %s", error)
                return
        _recovered = True


def recover():
    """Ends what somebody left prepared. Gives the gids of what could not be ended."""
    from silver import _postgres, _sqlite

    sqlite = _sqlite.connect()
    try:
        identity = _identity(sqlite)
        if identity is None:  # nothing was ever decided; the first that is would take a new identity with it when it fails
            sqlite._run("BEGIN IMMEDIATE")
            _make_table(sqlite)
            sqlite._run("COMMIT")
            return set()
        postgres = _postgres.connect()
        try:
            if not _prepared(postgres._alone, identity):
                return set()
            return _recover(sqlite, postgres)
        finally:
            postgres._discard()
    finally:
        sqlite._discard()


def _recover(sqlite, postgres):
    sqlite._run("BEGIN IMMEDIATE")
    identity = _identity(sqlite)
    prepared, decided = _prepared(postgres._alone, identity), _decided(sqlite, identity)
    left = set()
    for gid in prepared:
        verb = "COMMIT" if gid in decided else "ROLLBACK"
        try:
            _end_prepared(postgres._alone, verb, gid)
            silver.log.info("the transaction %s, which somebody left prepared: %s", gid, verb.lower())
        except Exception as error:
            left.add(gid)
            silver.log.warning("the transaction %s, which somebody left prepared, could not be ended: %s", gid, error)
    _sweep(sqlite, identity, left)
    sqlite._run("COMMIT")
    return left
