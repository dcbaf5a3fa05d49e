"""silver.storm: Storm in the transaction of the request.

    store = silver.storm.store()            # "sqlite" or "postgres", and without a name the only one
    store.add(Person(name="Ann"))

A transaction has one store for each database, and the next has another: objects live as long as their transaction. What was
added and changed is written (flush) before the commit and at savepoints. store.commit() writes and forgets, as ever, but the
transaction is committed when its request or `with` ends; store.rollback() dooms it, since others work in it, too."""

import silver
from silver import _database
from silver import _transaction as transactions

try:
    from storm.database import ConnectionWrapper, CursorWrapper
    from storm.store import Store
    from storm.uri import URI
except ImportError as missing:
    raise silver.Error("silver.storm needs the package storm",
                       hint="install python3-storm, or put storm into requirements.txt") from missing

__all__ = ["store"]


class _Joined:
    """Of Storm's connections: the raw one is the transaction's, which others end."""

    _ending = False

    def commit(self, xid=None):
        self._ensure_connected()
        self._raw_connection.commit()

    def rollback(self, xid=None):
        if self._raw_connection is not None and not self._ending:
            self._raw_connection.rollback()

    def _refuse(self, *_):
        raise silver.Error("the transaction is shared: whether it has two phases is not a store's matter", -22)

    begin = prepare = recover = _refuse


def _sqlite():
    from storm.databases import sqlite

    class Connection(_Joined, sqlite.SQLiteConnection):
        _in_transaction = True  # Storm need not begin one

        def build_raw_cursor(self):
            cursor = super().build_raw_cursor()
            cursor.row_factory = None  # whatever others have set
            return cursor

    class Database(sqlite.SQLite):
        connection_factory = Connection

        def raw_connect(self):
            return ConnectionWrapper(_database.open(transactions.needed(), _database.service("sqlite")), self)

    return Database(URI("sqlite:"))


def _postgres():
    import psycopg2.extensions
    from storm.databases import postgres

    class Connection(_Joined, postgres.PostgresConnection):
        def build_raw_cursor(self):
            shared = self._raw_connection._connection
            return CursorWrapper(shared.cursor(cursor_factory=psycopg2.extensions.cursor), self._database)

    class Database(postgres.Postgres):
        connection_factory = Connection

        def raw_connect(self):
            shared = _database.open(transactions.needed(), _database.service("postgres"))
            self._version = shared.server_version
            return ConnectionWrapper(shared, self)

    return Database(URI("postgres:"))


_databases = {}


def _database_of(name):
    if name not in _databases:
        _databases[name] = {"sqlite": _sqlite, "postgres": _postgres}[name]()
    return _databases[name]


class _Part:
    """A store's part in the transaction."""

    name = "a store of Storm"

    def __init__(self, store):
        self.store = store

    def flush(self):
        self.store.flush()

    def savepoint(self):
        self.store.flush()

    def roll_back(self, saved):
        """What objects went through is undone in the database: the store forgets it."""
        connection = self.store._connection
        connection._ending = True
        try:
            self.store.rollback()
        finally:
            connection._ending = False

    def abort(self):
        self.roll_back(None)

    def finish(self):
        self.store.invalidate()


def store(name=None):
    """Storm's Store of the transaction that holds here."""
    name = _database.service(name).name
    transaction = transactions.needed()
    key = "storm", name
    with transaction.lock:
        if key not in transaction.data:
            transaction.check()
            made = Store(_database_of(name))
            transaction.join(_Part(made))
            transaction.data[key] = made
        return transaction.data[key]
