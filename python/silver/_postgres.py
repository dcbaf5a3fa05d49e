"""Connections to the application's PostgreSQL database (service.postgres), by psycopg2."""

import select

import silver

try:
    import psycopg2
    import psycopg2.extensions
except ImportError as missing:
    raise silver.Error("PostgreSQL needs the package psycopg2", hint="install python3-psycopg2, or put psycopg2 into "
                       "requirements.txt") from missing

from silver._database import Shared, _Guard, guarded

ONE_WRITER = False
_IDLE, _ACTIVE, _INTRANS, _INERROR = range(4)
_TIME_ZONE = "UTC"


class _PostgresGuard(_Guard):
    def callproc(self, name, *arguments):
        return self._guarded(super().callproc, name, *arguments)

    def copy_from(self, *arguments, **keywords):
        return self._guarded(super().copy_from, *arguments, **keywords)

    def copy_to(self, *arguments, **keywords):
        return self._guarded(super().copy_to, *arguments, **keywords)

    def copy_expert(self, sql, *arguments, **keywords):
        return self._guarded(super().copy_expert, sql, *arguments, **keywords)


def _not_here(name):
    def refuse(self, *arguments, **keywords):
        raise silver.Error("%s() is not a mapper's to call: the transaction is shared" % name, -22)

    return refuse


class Connection(Shared, psycopg2.extensions.connection):
    """A connection of psycopg2 that shares its transaction."""

    _began = False

    # -- what psycopg2 has

    def cursor(self, name=None, cursor_factory=None, **keywords):
        factory = cursor_factory or self.cursor_factory or psycopg2.extensions.cursor
        return super().cursor(name, cursor_factory=guarded(factory, _PostgresGuard), **keywords)

    for _name in ("set_session", "set_isolation_level", "reset", "tpc_begin", "tpc_prepare", "tpc_commit", "tpc_rollback",
                  "tpc_recover"):
        locals()[_name] = _not_here(_name)
    del _name

    @property
    def autocommit(self):
        return False

    @autocommit.setter
    def autocommit(self, value):
        if value:
            raise silver.Error("there is no autocommit in a transaction that is shared", -22,
                               "what must be committed by itself is done elsewhere")

    # -- the part in a transaction

    def _before(self, sql):
        if silver._running_loop() is not None:
            raise silver.Error("psycopg2 would hold up the loop, and so all other requests", -22,
                               "work with PostgreSQL in a thread: await asyncio.to_thread(function)")
        Shared._before(self, sql)

    def _after(self):
        # A statement that was not sent has begun nothing.
        status = self.get_transaction_status()
        if status != _IDLE:
            self._began = True
        elif self._began:
            Shared._after(self)

    def _run(self, sql, parameters=None):
        cursor = psycopg2.extensions.cursor(self)
        cursor.execute(sql, parameters)
        self._began = True
        return cursor

    def _is_inside(self):
        return self.get_transaction_status() in (_ACTIVE, _INTRANS, _INERROR)

    def _set(self, **session):
        psycopg2.extensions.connection.set_session(self, **session)

    def _begin(self, transaction):
        """psycopg2 sends BEGIN before the first statement."""
        self._began = False
        self._set(isolation_level="SERIALIZABLE" if transaction.serializable else "DEFAULT",
                  readonly=True if transaction.read_only else "DEFAULT")

    _trivial = False

    def _has_written(self):
        if not self._began:
            return False
        return self._run("SELECT txid_current_if_assigned() IS NOT NULL").fetchone()[0]

    def _check_commit(self):
        """After an error PostgreSQL answers COMMIT with ROLLBACK, and psycopg2 says nothing of it."""
        if self.closed:
            raise silver.Error("the connection to PostgreSQL was lost, and with it the transaction", -20019)
        if self.get_transaction_status() == _INERROR:
            raise silver.Error("a statement has failed, and so PostgreSQL can only roll the transaction back", -20019,
                               "what may fail alone belongs into `with silver.transaction.savepoint():`")
        if self._began and not self._is_inside():
            raise silver.Error("the transaction is no longer there: a statement has ended it", -20019)

    def _commit(self):
        self._check_commit()
        psycopg2.extensions.connection.commit(self)

    def _rollback(self):
        if not self.closed:
            psycopg2.extensions.connection.rollback(self)

    # -- two phases

    def _prepare(self, identifier):
        self._check_commit()
        try:
            tag = self._run("PREPARE TRANSACTION %s", (identifier,)).statusmessage
        except psycopg2.Error as error:
            if "max_prepared_transactions" in str(error):
                raise silver.Error("PostgreSQL takes no part in a transaction with another database: its prepared "
                                   "transactions are disabled", -22, "set max_prepared_transactions in postgresql.conf, to 64 say") from error
            raise
        psycopg2.extensions.connection.rollback(self)  # for psycopg2, which does not know that nothing is there any more
        self._began = False
        if tag != "PREPARE TRANSACTION":
            raise silver.Error("PostgreSQL answered PREPARE TRANSACTION with %s" % tag, -20019)

    def _alone(self, sql, parameters=None):
        """Outside of transactions."""
        self._set(autocommit=True)
        try:
            return self._run(sql, parameters)
        finally:
            self._began = False
            if not self.closed:
                self._set(autocommit=False)

    # -- the pool

    def _is_usable(self):
        """A server that went away has closed its end, which can be seen without asking it."""
        if self.closed:
            return False
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)

    def _clean(self):
        """Makes it as new for the next transaction; whether that is so."""
        if self.closed or self.get_transaction_status() != _IDLE:
            return False
        try:
            if self.get_parameter_status("TimeZone") != _TIME_ZONE:
                self._alone("SET TIME ZONE %s", (_TIME_ZONE,))
            self.cursor_factory = None
            del self.notices[:]
        except psycopg2.Error:
            return False
        return True

    def _discard(self):
        psycopg2.extensions.connection.close(self)


def parameters():
    """As libpq names them; what is empty is left out."""
    named = {"dbname": "pg_dbname", "user": "pg_user", "password": "pg_password", "host": "pg_host", "port": "pg_port"}
    values = {key: silver.config(name, "") for key, name in named.items()}
    return {key: value for key, value in values.items() if value}


def connect():
    connection = psycopg2.connect(connection_factory=Connection, client_encoding="UTF8", **parameters())
    try:
        connection._clean()
    except BaseException:
        connection._discard()
        raise
    return connection
