"""silver.database(): the application's databases, shared by all who ask within a transaction.

Each service has a pool of connections. A transaction takes one at the first use, and all who ask in it get the same: plain
DB-API, Django, Storm. It is a real connection of its driver, of a class that keeps the rules: what is executed must belong to
the transaction that holds here, and only that ends it (Shared, below).

Who waits for a connection, or for the turn to write SQLite, stands in a line; a coroutine does so without holding up its loop."""

import atexit
import collections
import concurrent.futures
import os
import re
import threading

import silver
from silver import _transaction as transactions

CONNECTIONS = 20  # to each database, of each process
WAIT = 5.0  # seconds, for a connection or for other writers
_EBUSY, _EINVAL = -16, -22


# ---- Lines -------------------------------------------------------------------------------------------------------


class Turns:
    """So many at a time; the others wait in a line."""

    def __init__(self, count, what):
        self.count, self.what = count, what
        self.line = collections.deque()
        self.lock = threading.Lock()

    def ask(self):
        """None: it is one's turn; or a future that is done when it is."""
        with self.lock:
            if self.count:
                self.count -= 1
                return None
            self.line.append(concurrent.futures.Future())
            return self.line[-1]

    def give_back(self):
        with self.lock:
            while self.line:
                future = self.line.popleft()
                if future.set_running_or_notify_cancel():
                    future.set_result(None)
                    return
            self.count += 1

    def _leave(self, future):
        if not future.cancel():
            self.give_back()

    def _late(self):
        return silver.Error("%s within %g s" % (self.what, WAIT), _EBUSY, "transactions that wait for something else hold "
                            "others up: do the waiting before or after them")

    def wait(self):
        future = self.ask()
        if future is None:
            return
        try:
            future.result(WAIT)
        except concurrent.futures.TimeoutError:
            self._leave(future)
            raise self._late() from None
        except BaseException:
            self._leave(future)
            raise

    async def wait_later(self):
        import asyncio

        future = self.ask()
        if future is None:
            return
        try:
            await asyncio.wait_for(asyncio.wrap_future(future), WAIT)
        except (asyncio.TimeoutError, concurrent.futures.TimeoutError):
            self._leave(future)
            raise self._late() from None
        except BaseException:
            self._leave(future)
            raise


# ---- Connections -------------------------------------------------------------------------------------------------

_ENDS = re.compile(r"(?:\s|;|--[^\n]*(?:\n|$)|/\*.*?\*/)*(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ABORT|PREPARE\s+TRANSACTION|"
                   r"ROLLBACK(?!\s+(?:TRANSACTION\s+|WORK\s+)?TO\b))\b", re.IGNORECASE | re.DOTALL)


class Shared:
    """What connections of both drivers have in common: their part in a transaction."""

    _service = _transaction = None
    _writes = False  # it has the turn to write

    def _before(self, sql):
        """Something is to be executed: raises if it must not be."""
        transaction = self._transaction
        if transaction is None:
            raise silver.Error("this connection's transaction has ended", _EINVAL, "ask silver.database() for it anew")
        if transaction is not transactions.current():
            raise silver.Error("this connection belongs to the transaction of another request, task or thread", _EINVAL,
                               "ask silver.database() where it is used; a thread of one's own takes the context along: "
                               "contextvars.copy_context().run(function)")
        if transaction.state != transactions.ACTIVE or transaction.cause is not None:
            transaction.check()
        if isinstance(sql, str) and _ENDS.match(sql):
            raise silver.Error("the transaction cannot be begun or ended by a statement: others work in it, too", _EINVAL,
                               "it is committed when the request or the `with` ends; undo a part with "
                               "silver.transaction.savepoint(), the whole with silver.transaction.doom()")

    def _after(self):
        """Something was executed, or failed: it may have taken the transaction with it."""
        if self._transaction is not None and not self._is_inside():
            self._transaction.doom(silver.Error("the transaction has ended within a statement", _EINVAL,
                                                "the database rolls back by itself when its disk is full, or a statement "
                                                "ended it"))

    def commit(self):
        """The transaction is committed when its request or `with` ends; who asks for it before gets no more than that."""
        self._check_own()

    def rollback(self):
        """Others work in the transaction, too, so this can only doom it."""
        self._check_own()
        if self._transaction is not None:
            self._transaction.doom(transactions.Doomed("the transaction is doomed: connection.rollback() was called"))

    def close(self):
        """The pool's matter."""

    def _check_own(self):
        if self._transaction is not None and self._transaction is not transactions.current():
            self._before("")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def _savepoint(self, number):
        self._run("SAVEPOINT silver_%d" % number)

    def _roll_back_to(self, number):
        self._run("ROLLBACK TO SAVEPOINT silver_%d" % number)

    def _release(self, number):
        self._run("RELEASE SAVEPOINT silver_%d" % number)


class _Guard:
    """A cursor of a shared connection."""

    def execute(self, sql, *arguments, **keywords):
        return self._guarded(super().execute, sql, *arguments, **keywords)

    def executemany(self, sql, *arguments, **keywords):
        return self._guarded(super().executemany, sql, *arguments, **keywords)

    def _guarded(self, function, sql, *arguments, **keywords):
        connection = self.connection
        connection._before(sql)
        try:
            return function(sql, *arguments, **keywords)
        finally:
            connection._after()


_guarded = {}


def guarded(factory, guard=_Guard):
    """The class of cursors that keeps the rules."""
    if issubclass(factory, _Guard):
        return factory
    if factory not in _guarded:
        _guarded[factory] = type(factory.__name__, (guard, factory), {})
    return _guarded[factory]


# ---- Services ----------------------------------------------------------------------------------------------------


class Service:
    """A database and the connections to it."""

    def __init__(self, name, driver):
        self.name, self.driver = name, driver
        self.turns = Turns(CONNECTIONS, "no connection to %s became free" % name)
        self.writer = Turns(1, "the turn to write %s did not come" % name) if driver.ONE_WRITER else None
        self.idle = []

    def take(self):
        """A connection for one's turn."""
        while self.idle:
            try:
                connection = self.idle.pop()
            except IndexError:  # another thread was quicker
                break
            if connection._is_usable():
                return connection
            connection._discard()
        connection = self.driver.connect()
        connection._service = self
        return connection

    def take_back(self, connection):
        if connection._clean():
            self.idle.append(connection)
        else:
            connection._discard()
        self.turns.give_back()

    def forget(self):
        while self.idle:
            self.idle.pop()._discard()


_services, _lock = {}, threading.Lock()


def configured():
    """The names of the services that there are."""
    return [name for name, variable in (("sqlite", "CONFIG_SQLITE_PATH"), ("postgres", "CONFIG_PG_DBNAME"))
            if os.environ.get(variable)]


def _only():
    """The name of the one that there is."""
    there = configured()
    if len(there) > 1:
        raise silver.Error("which database is meant? There are %s" % " and ".join(there), _EINVAL,
                           "name it: silver.database(%r)" % there[0])
    return there[0] if there else "sqlite"


def service(name=None):
    found = _services.get(name)
    if found is not None:
        return found
    its_name = _only() if name is None else name
    with _lock:
        if its_name not in _services:
            _services[its_name] = Service(its_name, _driver(its_name))
        _services[name] = _services[its_name]
        return _services[name]


def _driver(name):
    if name == "sqlite":
        silver.config("sqlite_path")
        from silver import _sqlite as driver
    elif name == "postgres":
        silver.config("pg_dbname")
        from silver import _postgres as driver
    else:
        raise silver.Error("there is no database called %r" % (name,), _EINVAL, "there may be `sqlite` and `postgres`: "
                           "service.sqlite = or service.postgres = in app.ini")
    return driver


def forget():
    """Closes all connections that nobody uses. (For tests, which change the configuration, and for the end.)"""
    for each in list(_services.values()):
        each.forget()
    _services.clear()


def _forked():
    """A child that was forked has its parent's connections, which it must not touch."""
    global _lock
    for each in _services.values():
        _inherited.append(each.idle)
    _services.clear()
    _lock = threading.Lock()
    transactions._pool = None


_inherited = []
atexit.register(forget)
os.register_at_fork(after_in_child=_forked)


# ---- Opening -----------------------------------------------------------------------------------------------------


class _Opening:
    """A transaction's way to a connection: through the lines, then BEGIN."""

    def __init__(self, transaction, its):
        self.transaction, self.service = transaction, its
        self.connection = transaction.home.take_reserved(its.name) if transaction.home is not None else None
        self.lines = [] if self.connection is not None else [its.turns]
        if its.writer is not None and not transaction.deferred:
            self.lines.append(its.writer)
        self.taken = []

    def wait(self):
        for turns in self.lines:
            turns.wait()
            self.taken.append(turns)

    async def wait_later(self):
        for turns in self.lines:
            await turns.wait_later()
            self.taken.append(turns)

    def begin(self):
        transaction, its = self.transaction, self.service
        if not transaction.databases:
            from silver import _two_phase

            _two_phase.recover_once()
        if self.connection is None:
            self.connection = its.take()
            self.taken.remove(its.turns)  # the connection's now
        connection = self.connection
        connection._begin(transaction)
        with transaction.lock:
            transaction.check()
            for frame in transaction.frames[1:]:
                connection._savepoint(frame.number)
            connection._writes = its.writer in self.taken
            connection._transaction = transaction
            transaction.databases[its.name] = connection
        return connection

    def give_up(self):
        if self.connection is not None:
            self.connection._discard()
            self.service.turns.give_back()
        for turns in self.taken:
            turns.give_back()


def _claim(transaction, name):
    """(the connection, None) if it is there; (None, a future) if somebody else opens it; (None, None): we do."""
    with transaction.lock:
        connection = transaction.databases.get(name)
        if connection is not None:
            return connection, None
        if name in transaction.opening:
            transaction.opening[name] = transaction.opening[name] or concurrent.futures.Future()
            return None, transaction.opening[name]
        transaction.check()
        transaction.opening[name] = None
        return None, None


def _claimed(transaction, name):
    with transaction.lock:
        waited_for = transaction.opening.pop(name)
    if waited_for is not None:
        waited_for.set_result(None)


def open(transaction, its):
    """The transaction's connection."""
    if silver._running_loop() is not None and its.name not in transaction.databases:
        raise silver.Error("to open a database here would hold up the loop, and so all other requests", _EINVAL,
                           "in a coroutine: await silver.database(); a mapper works in a thread: "
                           "await asyncio.to_thread(function)")
    while True:
        connection, other = _claim(transaction, its.name)
        if connection is not None:
            transaction.check()
            return connection
        if other is None:
            break
        other.result()
    opening = None
    try:
        opening = _Opening(transaction, its)
        opening.wait()
        return opening.begin()
    except BaseException:
        if opening is not None:
            opening.give_up()
        raise
    finally:
        _claimed(transaction, its.name)


async def _open_later(transaction, its):
    import asyncio

    while True:
        connection, other = _claim(transaction, its.name)
        if connection is not None:
            transaction.check()
            return connection
        if other is None:
            break
        await asyncio.shield(asyncio.wrap_future(other))
    opening = None
    try:
        opening = _Opening(transaction, its)
        await opening.wait_later()
        return await transactions.in_thread(opening.begin)
    except BaseException:
        if opening is not None:
            opening.give_up()
        raise
    finally:
        _claimed(transaction, its.name)


def database(name=None):
    """The DB-API connection of the transaction that holds here, to the application's database: "sqlite" or "postgres", and
    without a name the only one. In a coroutine it is awaited."""
    its = service(name)
    transaction = transactions.needed()
    if silver._running_loop() is not None:
        return _open_later(transaction, its)
    return open(transaction, its)


# ---- Ending ------------------------------------------------------------------------------------------------------


def commit(transaction):
    """Commits all, or raises and has committed none."""
    connections = list(transaction.databases.values())
    if len(connections) == 1:
        connections[0]._commit()
        return
    from silver import _two_phase

    _two_phase.commit(connections)


def let_go(transaction, committed):
    """The connections are free again; what was not committed is rolled back."""
    connections, transaction.databases = transaction.databases, {}
    for name, connection in connections.items():
        its, good = connection._service, True
        try:
            if not committed:
                connection._rollback()
        except Exception as error:
            good = False
            silver.log.warning("%s could not be rolled back, and its connection is closed: %s", name, error)
        connection._transaction = None
        if connection._writes:
            connection._writes = False
            its.writer.give_back()
        if not good:
            connection._discard()
            its.turns.give_back()
        elif transaction.home is None or not transaction.home.reserve(name, connection):
            its.take_back(connection)
