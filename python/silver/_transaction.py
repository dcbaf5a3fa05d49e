"""What a transaction is: its states, savepoints, hooks and participants, and which one holds here. silver.transaction is the face
of it.

How it ends: hooks before the commit, then all write (flush), until that makes no new work; all prepare and vote; the databases
are committed, which is the decision; all finish; hooks after it. A failure before the decision undoes all.

What failed is remembered where it can be undone: at the innermost savepoint, else at the whole. Until that is rolled back,
further work there is refused with Doomed, and a commit fails with it; so nobody commits a half by forgetting a check."""

import contextvars
import threading

import silver

try:
    import _silver
except ImportError:  # not in a worker
    _silver = None

ACTIVE, COMMITTING, COMMITTED, ABORTED = "active", "committing", "committed", "rolled back"
EDOOMED, EINVAL, _ELOOP = -20019, -22, -40
_ROUNDS = 100  # in which hooks and flushes may go on making work for each other
COROUTINE = 0x80  # of a function's code


class Doomed(silver.Error):
    """The transaction can only be rolled back. What doomed it is the __cause__, if that was an exception."""

    def __init__(self, message, hint="", detail=""):
        super().__init__(message, EDOOMED, hint, detail)


def doomed(cause):
    """The exception that says so, to be raised from what it names."""
    if isinstance(cause, Doomed):
        return Doomed(str(cause), cause.hint, cause.detail)
    text = "%s: %s" % (type(cause).__name__, cause) if str(cause) else type(cause).__name__
    return Doomed("the transaction is doomed by what failed in it: " + text,
                  "what may fail alone belongs into `with silver.transaction.savepoint():`")


def refuse(message, hint):
    return silver.Error(message, EINVAL, hint)


# ---- The transaction ---------------------------------------------------------------------------------------------


class _Frame:
    """What belongs to a savepoint; the first is the transaction itself."""

    __slots__ = ("number", "cause", "hooks", "saved")

    def __init__(self, number):
        self.number, self.cause, self.hooks, self.saved = number, None, [], {}


class Transaction:
    """One transaction. Applications use the functions of this module."""

    def __init__(self, home=None, deferred=False, read_only=False, serializable=False):
        self.home = home  # the request that it belongs to, or None
        self.deferred, self.read_only, self.serializable = deferred or read_only, read_only, serializable
        self.state, self.kept = ACTIVE, False
        self.lock = threading.RLock()
        self.frames, self.resources = [_Frame(0)], []
        self.databases, self.opening = {}, {}  # by name: connections; and who opens one
        self.data = {}  # what mappers keep as long as it lives

    def expect_writing(self):
        """Begins SQLite's part as a writer, if that has not begun."""
        if not self.read_only:
            self.deferred = False

    def expect_serializable(self):
        if not self.serializable and "postgres" in self.databases:
            raise refuse("the transaction cannot become serializable any more", "say so before PostgreSQL is first used in it")
        self.serializable = True

    # -- doom

    @property
    def cause(self):
        """What doomed it, or None."""
        for frame in self.frames:
            if frame.cause is not None:
                return frame.cause
        return None

    @property
    def ended(self):
        return self.state in (COMMITTED, ABORTED)

    def check(self):
        """Raises if nothing more may be done in it."""
        if self.state != ACTIVE:
            raise Doomed("the transaction is %s: nothing more can be done in it" % {
                COMMITTING: "being committed", COMMITTED: "committed", ABORTED: "rolled back"}[self.state])
        if self.cause is not None:
            raise doomed(self.cause) from original(self.cause)

    def doom(self, cause):
        if self.frames[0].cause is None:
            self.frames[0].cause = cause

    def failed(self, error):
        """Something in it failed, which may be undone with the innermost savepoint."""
        if self.cause is None:
            self.frames[-1].cause = error

    # -- those who take part

    def join(self, resource):
        with self.lock:
            if any(each is resource for each in self.resources):
                return
            self.check()
            _call(resource, "begin")
            for frame in self.frames[1:]:
                self._remember(frame, resource)
            self.resources.append(resource)
            self.resources.sort(key=lambda each: getattr(each, "order", 0))  # stable: then as they joined

    def hook(self, kind, function, arguments, keywords):
        self.check()
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if not callable(function) or (code is not None and code.co_flags & COROUTINE):
            raise TypeError("a hook of a transaction is a function that can simply be called, not %r" % (function,))
        self.frames[-1].hooks.append((kind, function, arguments, keywords))

    def _take(self, kind):
        hooks = self.frames[0].hooks
        self.frames[0].hooks = [hook for hook in hooks if hook[0] != kind]
        return [hook for hook in hooks if hook[0] == kind]

    # -- savepoints

    def _remember(self, frame, resource):
        function = getattr(resource, "savepoint", None)
        if function is None:
            raise TypeError("%s takes part in this transaction and knows no savepoints: give it savepoint() and "
                            "roll_back(saved)" % _name(resource))
        frame.saved[id(resource)] = function()

    def savepoint(self):
        with self.lock:
            self.check()
            frame = _Frame(self.frames[-1].number + 1)
            for resource in self.resources:
                self._remember(frame, resource)
            try:
                for connection in self.databases.values():
                    connection._savepoint(frame.number)
            except BaseException as error:
                self.failed(error)
                raise
            self.frames.append(frame)
            return frame

    def _undone(self, frame):
        """The frames from this one on; it must be among those that are open."""
        if frame not in self.frames[1:]:
            raise refuse("this savepoint is over already",
                         "savepoints end in the opposite order of their beginning, in one thread")
        return self.frames[self.frames.index(frame):]

    def roll_back_to(self, frame):
        """Undoes what was done since the savepoint, which stays open."""
        with self.lock:
            undone = self._undone(frame)
            if self.state != ACTIVE:
                self.check()
            try:
                for connection in self.databases.values():
                    connection._roll_back_to(frame.number)
            except BaseException as error:
                self.doom(error)
                raise
            del self.frames[self.frames.index(frame) + 1:]
            frame.cause = None
            hooks = [hook for each in undone for hook in each.hooks]
            frame.hooks = []
            for resource in self.resources:
                _safely(resource, "roll_back", frame.saved.get(id(resource)))
            for kind, function, arguments, keywords in hooks:
                if kind == "on_abort":
                    _log_failure("a hook failed", function, *arguments, **keywords)

    def release(self, frame):
        """The savepoint is over; what was done belongs to what is around it."""
        with self.lock:
            ended = self._undone(frame)
            try:
                for connection in self.databases.values():
                    connection._release(frame.number)
            except BaseException as error:
                self.failed(error)
                raise
            outer = self.frames[self.frames.index(frame) - 1]
            del self.frames[self.frames.index(frame):]
            for each in ended:
                outer.hooks += each.hooks
                outer.cause = outer.cause or each.cause

    # -- the end

    @property
    def trivial(self):
        """Ending it takes no time, and calls nobody."""
        return not self.resources and not any(frame.hooks for frame in self.frames) and all(
            connection._trivial for connection in self.databases.values())

    def _write_all(self):
        for _ in range(_ROUNDS):
            hooks = self._take("before_commit")
            for _, function, arguments, keywords in hooks:
                function(*arguments, **keywords)
            for resource in list(self.resources):
                _call(resource, "flush")
            if not any(kind == "before_commit" for kind, *_ in self.frames[0].hooks):
                return
        raise silver.Error("the hooks of the transaction go on making work for each other", _ELOOP)

    def commit(self):
        """Commits it, or raises why it was rolled back."""
        with self.lock:
            inside = enter(self)
            try:
                while len(self.frames) > 1:
                    self.release(self.frames[-1])
                self.check()
                self._write_all()
                self.check()
                self.state = COMMITTING
                for what in ("prepare", "vote"):
                    for resource in self.resources:
                        _call(resource, what)
                if self.cause is not None:
                    raise doomed(self.cause) from original(self.cause)
                if self.databases:
                    from silver import _database

                    _database.commit(self)
            except BaseException:
                self._roll_back()
                raise
            finally:
                inside.leave()
            self.state = COMMITTED
            self._let_go("finish", self.resources)
        self._after("on_commit")

    def _roll_back(self):
        self._let_go("abort", reversed(self.resources))
        self._after("on_abort")

    def abort(self):
        """Rolls it back. What fails then is logged."""
        with self.lock:
            if not self.ended:
                inside = enter(self)
                try:
                    self._roll_back()
                finally:
                    inside.leave()

    def _let_go(self, what, resources):
        """All hear how it ended; the databases are others' again."""
        committed = what == "finish"
        if not committed:
            self.state = ABORTED
        for resource in list(resources):
            _safely(resource, what)
        if self.databases:
            from silver import _database

            _database.let_go(self, committed)
        self.resources, self.data = [], {}

    def _after(self, kind):
        """Each hook has a transaction of its own, should it want one."""
        hooks = [hook for frame in self.frames for hook in frame.hooks if hook[0] == kind]
        self.frames = [_Frame(0)]
        for _, function, arguments, keywords in hooks:
            _log_failure("a hook failed", _alone, self.home, function, arguments, keywords)


def original(cause):
    return cause if not isinstance(cause, Doomed) else cause.__cause__


def _name(resource):
    return getattr(resource, "name", None) or type(resource).__name__


def _call(resource, what, *arguments):
    function = getattr(resource, what, None)
    if function is not None:
        function(*arguments)


def _safely(resource, what, *arguments):
    _log_failure("%s could not %s its part of a transaction" % (_name(resource), what.replace("_", " ")),
                 _call, resource, what, *arguments)


def _log_failure(complaint, function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except Exception:
        import traceback

        silver.log.error("%s:\n%s", complaint, traceback.format_exc().rstrip())


def _alone(home, function, arguments, keywords):
    transaction = Transaction(home)
    inside = enter(transaction)
    try:
        function(*arguments, **keywords)
        transaction.commit()
    except BaseException:
        transaction.abort()
        raise
    finally:
        inside.leave()


# ---- Which one holds here ----------------------------------------------------------------------------------------

_here = contextvars.ContextVar("silver.transaction", default=None)  # what `with` began
_unit = contextvars.ContextVar("silver.transaction.request", default=None)  # the request, for threads that took the context along


class enter:
    """In this thread or task the transaction holds, until leave()."""

    __slots__ = ("before",)

    def __init__(self, transaction):
        self.before = _here.get()
        _here.set(transaction)

    def leave(self):
        _here.set(self.before)


def _request(make=None):
    """The request that is handled here, as far as it has to do with transactions; or None."""
    unit = _silver.transaction(make) if _silver is not None else None
    if unit is None:
        unit = _unit.get()
        if unit is not None and unit.ended:
            unit = None
    return unit


def _make_request(started):
    from silver import _request as module

    unit = module.Request(_silver.context().get("method", ""), started)
    _unit.set(unit)
    return unit


def current():
    """The transaction that holds here, or None. That of a request is there once it has been used."""
    transaction = _here.get()
    if transaction is not None and not transaction.ended:
        return transaction
    unit = _request()
    return unit.transaction if unit is not None else None


def begun():
    """The same, and a request begins its own if it has not; None only where there is none and none would be."""
    transaction = _here.get()
    if transaction is not None and not transaction.ended:
        return transaction
    unit = _request(_make_request)
    return unit.begin() if unit is not None else None


def needed():
    """The same, or an exception."""
    transaction = begun()
    if transaction is None:
        raise refuse("there is no transaction here", "write `with silver.transaction():` around it. (A WSGI or ASGI request has "
                      "one by itself; a WebSocket, a service or a thread of one's own has none.)")
    return transaction


def outer_of_block():
    """What `with` joins, and the request. While a body is streamed it joins only what has begun, so that it can end before the
    stream does."""
    unit = _request(_make_request)
    return current() if unit is None or unit.started else begun(), unit


# ---- Beside the loop ---------------------------------------------------------------------------------------------

_pool = None


def _executor():
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        _pool = ThreadPoolExecutor(8, "silver-transaction")
    return _pool


async def in_thread(function, *arguments):
    """Ends transactions beside the loop, in threads that do nothing else: they never wait for one that waits for them."""
    import asyncio

    run = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(_executor(), run, function, *arguments)


def beside_loop(function):
    """The same where nobody can await it; without a loop, here."""
    if silver._running_loop() is None:
        return function()
    return _executor().submit(contextvars.copy_context().run, function).result()
