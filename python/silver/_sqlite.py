"""Connections to the application's SQLite database (service.sqlite)."""

import sqlite3
import weakref

import silver
from silver._database import WAIT, Shared, guarded

ONE_WRITER = True
_QUERIES = ("SELECT", "PRAGMA", "EXPLAIN", "VALUES")


class Connection(Shared, sqlite3.Connection):
    """A connection of sqlite3 that shares its transaction. It is in autocommit mode, as sqlite3 calls it; BEGIN and COMMIT are
    ours."""

    _changes, _executed, _query_only = 0, False, False

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._cursors = []

    # -- what sqlite3 has

    def cursor(self, factory=sqlite3.Cursor):
        cursor = super().cursor(guarded(factory))
        self._cursors.append(weakref.ref(cursor))
        if len(self._cursors) > 100:
            self._cursors = [each for each in self._cursors if each() is not None]
        return cursor

    def execute(self, *arguments):
        return self.cursor().execute(*arguments)

    def executemany(self, *arguments):
        return self.cursor().executemany(*arguments)

    def executescript(self, script):
        """sqlite3's own commits first."""
        cursor, statement = self.cursor(), ""
        for piece in script.split(";"):
            statement += piece + ";"
            if sqlite3.complete_statement(statement):
                cursor.execute(statement)
                statement = ""
        if statement.strip(" \t\r\n;"):
            cursor.execute(statement)
        return cursor

    @property
    def isolation_level(self):
        return None

    @isolation_level.setter
    def isolation_level(self, level):
        raise silver.Error("the isolation level is not a mapper's to change: the transaction is shared", -22)

    # -- the part in a transaction

    def _before(self, sql):
        Shared._before(self, sql)
        if not self._executed and not sql.lstrip()[:7].upper().startswith(_QUERIES):
            self._executed = True

    def _run(self, sql, parameters=()):
        return sqlite3.Cursor(self).execute(sql, parameters)

    def _is_inside(self):
        return self.in_transaction

    def _begin(self, transaction):
        if transaction.read_only:
            self._run("PRAGMA query_only = ON")
            self._query_only = True
        self._run("BEGIN" if transaction.deferred else "BEGIN IMMEDIATE")
        self._changes, self._executed = self.total_changes, False

    @property
    def _trivial(self):
        return not self._has_written()

    def _has_written(self):
        return self._executed or self.total_changes != self._changes

    def _check_commit(self):
        if not self.in_transaction:
            raise silver.Error("the transaction is no longer there: SQLite has rolled it back by itself", -20019)

    def _commit(self):
        self._check_commit()
        self._run("COMMIT")

    def _rollback(self):
        if self.in_transaction:
            self._run("ROLLBACK")

    # -- the pool

    def _is_usable(self):
        return True

    def _clean(self):
        """Makes it as new for the next transaction; whether that is so."""
        try:
            for each in self._cursors:
                cursor = each()
                if cursor is not None:
                    cursor.close()  # what it has not fetched would hold an old state of the database
            self._cursors = []
            if self.in_transaction:
                return False
            if self._query_only:
                self._run("PRAGMA query_only = OFF")
                self._query_only = False
            self.row_factory, self.text_factory = None, str
        except sqlite3.Error:
            return False
        return True

    def _discard(self):
        try:
            sqlite3.Connection.close(self)
        except sqlite3.Error as error:
            silver.log.warning("a connection to SQLite was not closed: %s", error)


def path():
    return silver.config("sqlite_path")


def connect():
    connection = sqlite3.connect(path(), timeout=WAIT, isolation_level=None, check_same_thread=False, factory=Connection)
    try:
        connection._run("PRAGMA foreign_keys = ON")
        connection._run("PRAGMA journal_mode = WAL").fetchall()
    except BaseException:
        connection._discard()
        raise
    return connection
