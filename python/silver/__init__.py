"""silver: what an application in Python has of the platform that runs it.

    silver.context                  the request that is handled now: silver.context["request_id"]
    silver.call(service, method, …) a call of a service's method; in a coroutine: await silver.call(…)
    silver.emit(channel, event, …)  tells an event to all who hear that channel, in all instances
    silver.subscribe(channel)       the events of a channel and of those below it, to iterate over
    silver.log                      debug, info, warning, error: into the slot's log
    silver.config(name)             what the platform configured: CONFIG_…
    silver.secret()                 the application's secret: CONFIG_SECRET
    silver.database()               the database's connection within the transaction of this request
    silver.transaction              that transaction; outside of requests: with silver.transaction(): …
    silver.transact(function, …)    runs it in a transaction, again if others were in the way
    silver.emit_on_commit(…)        emit, when the transaction is committed

Outside a worker (a script, a unit test) the log goes to the standard `logging`, configuration comes from the environment,
the context is empty, and calls and channels raise silver.Error: a test puts functions of its own in their places."""

import collections.abc
import json
import os

try:
    import _silver
except ImportError:  # not in a worker
    _silver = None

__all__ = ["Error", "Event", "call", "config", "context", "database", "emit", "emit_on_commit", "log", "secret", "subscribe",
           "transact", "transaction"]


class Error(Exception):
    """What failed on the other side of a call, or cannot be had. `code` is a negative number of libsilver's, `hint` says
    what to do, `detail` has more lines."""

    def __init__(self, message, code=-20001, hint="", detail=""):
        super().__init__(message)
        self.code, self.hint, self.detail = code, hint, detail


class Timeout(Error, TimeoutError):
    """A call took longer than it was given."""


_TIMED_OUT, _NO_SERVICE, _EPROTO = -110, -20013, -71


def _worker(what):
    if _silver is None:
        raise Error("%s works only in a worker of Silver Lining" % what,
                    hint="run the application with: silver serve DIR; a test replaces this function by its own")
    return _silver


# ---- Configuration -----------------------------------------------------------------------------------------------


def config(name, default=None):
    """The value of CONFIG_NAME, which a service of the manifest gives: config("sqlite_path"). Without a default a missing
    one is an Error."""
    value = os.environ.get("CONFIG_" + name.upper(), default)
    if value is None:
        service = name.lower().split("_")[0]
        raise Error("there is no CONFIG_%s" % name.upper(),
                    hint="ask for it in app.ini: service.%s =" % {"pg": "postgres"}.get(service, service))
    return value


def secret():
    """The application's secret, for signing cookies and the like: the same in all its processes, and kept."""
    return config("secret")


# ---- The log -----------------------------------------------------------------------------------------------------


class Log:
    """silver.log.info("%d found", 5): a record in the slot's log."""

    def _put(self, level, message, arguments):
        text = str(message) % arguments if arguments else str(message)
        if _silver is None:
            import logging

            logging.getLogger("silver").log((10, 20, 30, 40)[level], "%s", text)
        else:
            _silver.log(level, "", text)

    def debug(self, message, *arguments):
        self._put(0, message, arguments)

    def info(self, message, *arguments):
        self._put(1, message, arguments)

    def warning(self, message, *arguments):
        self._put(2, message, arguments)

    def error(self, message, *arguments):
        self._put(3, message, arguments)


log = Log()


# ---- The context -------------------------------------------------------------------------------------------------


class Context(collections.abc.Mapping):
    """What is true of the work that is done now. In a request: request_id, peer, method, path, scheme; in a call of a
    service: service, method; in both application (its name), instance (its number) and directory."""

    def _now(self):
        return _silver.context() if _silver is not None else {}

    def __getitem__(self, key):
        return self._now()[key]

    def __iter__(self):
        return iter(self._now())

    def __len__(self):
        return len(self._now())

    def __repr__(self):
        return "silver.context(%r)" % self._now()


context = Context()


# ---- Calls -------------------------------------------------------------------------------------------------------

_JSON, _PICKLE = 1, 2
_speaks_json = set()  # services that are not in Python: what they are sent is JSON


def _running_loop():
    try:
        from _asyncio import _get_running_loop
    except ImportError:
        return None
    return _get_running_loop()


def _encode(codec, arguments, keywords, service):
    if codec == _PICKLE:
        import pickle

        return pickle.dumps((arguments, keywords), 5)
    if arguments and keywords:
        raise TypeError("%s is not in Python: give its arguments all by name, or all by position" % service)
    return json.dumps(list(arguments) if arguments else keywords, separators=(",", ":")).encode()


def _decode(codec, data):
    if codec == _PICKLE:
        import pickle

        return pickle.loads(data)
    return json.loads(data) if data else None


def _failure(trouble):
    code, message, hint, detail = trouble
    kind = Timeout if code == _TIMED_OUT else Error
    return kind(message, code, hint or "", detail or "")


class _Question:
    """One call: what is sent, and what comes of an answer."""

    def __init__(self, service, method, arguments, keywords, options):
        self.service, self.method, self.options = service, method, options
        self.arguments, self.keywords = arguments, keywords
        self.codec = _JSON if service in _speaks_json else _PICKLE

    def packet(self):
        timeout, key = self.options
        return (self.service, self.method, self.codec, _encode(self.codec, self.arguments, self.keywords, self.service),
                int(timeout * 1000) if timeout else 0, key)

    def answered(self, answer):
        """(False, value); or (True, None): it has to be asked again, in JSON."""
        good, codec, value = answer
        if good:
            return False, _decode(codec, value)
        if codec == _JSON and self.codec == _PICKLE:
            self.codec = _JSON
            _speaks_json.add(self.service)
            return True, None
        raise _failure(value)


def _ask(question):
    again = True
    while again:
        again, value = question.answered(_silver.call(*question.packet()))
    return value


async def _ask_later(loop, question):
    if not _silver.in_loop():
        return await loop.run_in_executor(None, _ask, question)
    again = True
    while again:
        future, come = loop.create_future(), []

        def arrived(answer):
            come.append(True)
            if not future.done():
                future.set_result(answer)

        number = _silver.call_begin(arrived, *question.packet())
        try:
            answer = await future
        except BaseException:
            if not come:  # else the number is nobody's any more
                _silver.call_cancel(number)
            raise
        again, value = question.answered(answer)
    return value


def call(service, method, /, *arguments, _timeout=None, _key=None, **keywords):
    """Calls a method of a service, wherever that runs, and gives its result; in a coroutine it gives something to await.
    Services in Python take and give whatever can be pickled; others JSON. `_timeout` is in seconds; calls of one `_key` go
    to the same child, if possible. Raises silver.Error."""
    _worker("silver.call")
    question = _Question(service, method, arguments, keywords, (_timeout, _key))
    loop = _running_loop()
    return _ask(question) if loop is None else _ask_later(loop, question)


# ---- Channels ----------------------------------------------------------------------------------------------------


class Event(collections.namedtuple("Event", "channel name payload")):
    """What was told: on which channel, the event's name, and its payload."""


def emit(channel, event, payload=None):
    """Tells an event, with a payload that JSON can carry, to all who hear the channel, here and elsewhere. Never waits."""
    _worker("silver.emit").emit(channel, event, json.dumps(payload, separators=(",", ":")))


def _event(told):
    return Event(told[0], told[1], json.loads(told[2]))


class Subscription:
    """The events of a channel and of the channels below it, from now on. Iterating waits for the next; it ends when the
    request that it belongs to is left, or by close(). At most 1024 wait: of more the oldest are dropped, and `missed`
    counts them. In a coroutine it is iterated with `async for`."""

    def __init__(self, channel, event):
        self._inbox = _silver.inbox(channel, event)
        self.channel = channel

    @property
    def missed(self):
        return self._inbox.missed

    def close(self):
        self._inbox.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def next(self, timeout=None):
        """The next event; None if there is none within `timeout` seconds, or ever."""
        told = self._inbox.take(-1 if timeout is None else timeout)
        return _event(told) if told else None

    def __iter__(self):
        return self

    def __next__(self):
        told = self._inbox.take(-1)
        if told is None:
            raise StopIteration
        return _event(told)

    def __aiter__(self):
        return self

    async def __anext__(self):
        import asyncio

        loop = asyncio.get_running_loop()
        if not _silver.in_loop():
            told = await loop.run_in_executor(None, self._inbox.take, -1)
        else:
            while (told := self._inbox.take(0)) is None and not self._inbox.closed:
                future = loop.create_future()
                self._inbox.notify(lambda: future.done() or future.set_result(None), loop.call_soon_threadsafe)
                try:
                    await future
                finally:
                    self._inbox.notify(None, None)
        if told is None:
            raise StopAsyncIteration
        return _event(told)


def subscribe(channel, event=None):
    """A Subscription to a channel: `for event in silver.subscribe("room/lobby"): …`; with a name, to that event only."""
    _worker("silver.subscribe")
    return Subscription(channel, event)


def emit_on_commit(channel, event, payload=None):
    """emit, once the transaction that holds here is committed, and not at all if it is not; outside of one at once."""
    transaction = _load("_transaction").begun()
    if transaction is None:
        emit(channel, event, payload)
    else:
        # As it is now, and what JSON cannot carry fails now.
        transaction.hook("on_commit", _emit_json, (channel, event, json.dumps(payload)), {})


def _emit_json(channel, event, text):
    emit(channel, event, json.loads(text))


# ---- Databases: loaded when they are first used ------------------------------------------------------------------


def _load(name):
    import importlib

    return importlib.import_module("silver." + name)


def __getattr__(name):
    if name in ("transaction", "storm"):
        return _load(name)
    if name == "database":
        value = _load("_database").database
    elif name == "transact":
        value = _load("transaction").transact
    else:
        raise AttributeError("module 'silver' has no attribute %r" % name)
    globals()[name] = value
    return value
