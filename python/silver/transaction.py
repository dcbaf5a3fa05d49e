"""silver.transaction: one transaction for all that takes part in it.

    with silver.transaction():          begins one and commits it; within another it joins that
        silver.database().execute(…)

    silver.transaction.savepoint()      with: inner work that may fail alone
    silver.transaction.doom(reason)     it can only be rolled back now
    silver.transaction.is_doomed()
    silver.transaction.keep()           what was done is kept although the response will be a 4xx
    silver.transaction.before_commit(function, …), on_commit(function, …), on_abort(function, …)
    silver.transaction.join(resource)   anything else takes part

A request has one without asking: it begins when a database is first used, and is committed before the client hears of
success (_request.py). Elsewhere `with` makes one, and `silver.transact(function, retries=2)`."""

import random
import sys
import time
import types

import silver
from silver._transaction import (COROUTINE, Doomed, Transaction, current, doomed, enter, in_thread, needed, original,
                                 outer_of_block, refuse)

__all__ = ["Doomed", "before_commit", "current", "doom", "is_doomed", "join", "keep", "on_abort", "on_commit", "savepoint",
           "transact"]


# ---- Beginning and ending ----------------------------------------------------------------------------------------


class Block:
    """`with silver.transaction():`, `async with` in a coroutine."""

    def __init__(self, durable=False, read_only=False, serializable=False):
        self.durable = durable
        self.options = {"read_only": read_only, "serializable": serializable}

    def _begin(self):
        outer, home = outer_of_block()
        self.outermost = outer is None
        if outer is not None:
            if self.durable:
                raise refuse("a durable transaction inside another cannot be: it would be committed only with that",
                             "leave `durable` out, or do this where there is no other")
            outer.check()
            if not self.options["read_only"]:
                outer.expect_writing()
            if self.options["serializable"]:
                outer.expect_serializable()
            self.transaction = outer
        else:
            self.transaction = Transaction(home, **self.options)
            self.inside = enter(self.transaction)
        return self.transaction

    def _end(self, error):
        if self.outermost:
            try:
                if error is None:
                    self.transaction.commit()
                else:
                    self.transaction.abort()
            finally:
                self.inside.leave()
        elif error is not None and not self.transaction.ended:
            self.transaction.failed(error)

    def __enter__(self):
        transaction = self._begin()
        if self.outermost and silver._running_loop() is not None:
            self.inside.leave()
            raise refuse("`with silver.transaction():` would hold up the loop when it commits",
                          "in a coroutine write `async with silver.transaction():`")
        return transaction

    def __exit__(self, kind, error, traceback):
        self._end(error)

    async def __aenter__(self):
        return self._begin()

    async def __aexit__(self, kind, error, traceback):
        if not self.outermost or self.transaction.trivial:
            self._end(error)
            return
        try:
            await in_thread(self.transaction.commit if error is None else self.transaction.abort)
        finally:
            self.inside.leave()


def is_conflict(error):
    """Whether it came of another transaction in the way (serialization failures, dead-locks, a database that is locked): then
    the same may work a little later. Mappers wrap such errors."""
    for _ in range(10):
        if error is None:
            return False
        if getattr(error, "pgcode", None) in ("40001", "40P01", "55P03"):
            return True
        if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in (5, 6):
            return True
        error = error.__cause__ or error.__context__
    return False


def _pause(tries):
    return random.uniform(0.001, 0.002 * 2 ** min(tries, 8))


async def _transact_later(function, arguments, keywords, retries, options):
    import asyncio

    for tries in range(retries + 1):
        block = Block(**options)
        try:
            async with block:
                return await function(*arguments, **keywords)
        except Exception as error:
            if not block.outermost or tries == retries or not is_conflict(error):
                raise
        await asyncio.sleep(_pause(tries))


def transact(function, /, *arguments, retries=0, durable=False, read_only=False, serializable=False, **keywords):
    """Runs function(*arguments, **keywords) in a transaction, commits it and gives what it returned. When another transaction was
    in the way it is run again, whole, up to `retries` times. In a coroutine it is awaited, and a function that is none itself
    runs in a thread. Inside another transaction it joins that."""
    options = {"durable": durable, "read_only": read_only, "serializable": serializable}
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is not None and code.co_flags & COROUTINE:
        return _transact_later(function, arguments, keywords, retries, options)
    if silver._running_loop() is not None:
        import asyncio

        return asyncio.to_thread(transact, function, *arguments, retries=retries, **options, **keywords)
    for tries in range(retries + 1):
        block = Block(**options)
        try:
            with block:
                return function(*arguments, **keywords)
        except Exception as error:
            if not block.outermost or tries == retries or not is_conflict(error):
                raise
        time.sleep(_pause(tries))


# ---- For applications --------------------------------------------------------------------------------------------


class savepoint:
    """`with silver.transaction.savepoint():`: what is done inside may fail alone. An exception that leaves it undoes it, up to
    its beginning, and goes on; whoever catches that outside may go on with the transaction. roll_back() undoes it as well."""

    def __enter__(self):
        self.transaction = needed()
        self.frame = self.transaction.savepoint()
        return self

    def roll_back(self):
        self.transaction.roll_back_to(self.frame)

    def __exit__(self, kind, error, traceback):
        transaction, cause = self.transaction, self.frame.cause
        if error is None and cause is None:
            if transaction.cause is None:
                transaction.release(self.frame)
            return
        if transaction.ended or self.frame not in transaction.frames:
            return
        transaction.roll_back_to(self.frame)
        transaction.release(self.frame)
        if error is None:  # what failed was caught inside, and what it left undone is undone
            raise doomed(cause) from original(cause)


def doom(reason):
    """It can only be rolled back now, whatever happens, and refuses further work. `reason` is a text or an exception; the first
    is kept, and raised by the outermost."""
    if not isinstance(reason, BaseException):
        caller = sys._getframe(1)
        place = "%s:%d in %s" % (caller.f_code.co_filename, caller.f_lineno, caller.f_code.co_name)
        reason = Doomed("the transaction is doomed: %s" % reason, detail="it was doomed at " + place)
    needed().doom(reason)


def is_doomed():
    transaction = current()
    return transaction is not None and transaction.cause is not None


def keep():
    """What this request did is committed also if its response is a 4xx, such as the count of failed logins. (A 5xx and an
    exception undo it all the same.)"""
    needed().kept = True


def before_commit(function, /, *arguments, **keywords):
    """Calls it when the transaction is about to be committed; it may work in it, and fail it."""
    needed().hook("before_commit", function, arguments, keywords)
    return function


def on_commit(function, /, *arguments, **keywords):
    """Calls it after the commit. It belongs to the savepoint that it is registered in: undone with that, it is never called.
    What it raises is logged; a database that it uses is in a transaction of its own."""
    needed().hook("on_commit", function, arguments, keywords)
    return function


def on_abort(function, /, *arguments, **keywords):
    """Calls it after the transaction, or the savepoint that it is registered in, was rolled back."""
    needed().hook("on_abort", function, arguments, keywords)
    return function


def join(resource):
    """Takes an object into the transaction: a file that is moved, a mail, another library. It may have these methods: begin()
    when it joins; flush() before the commit, while all can work; prepare(), then vote(), the last chance to fail; finish() when
    the databases are committed; abort(), whatever was reached; savepoint(), whose result is given to roll_back(saved). `order`
    and then the order of joining say who comes first. A failure before finish() aborts all."""
    needed().join(resource)
    return resource


class _Module(types.ModuleType):
    """The module can be called: `with silver.transaction():`"""

    def __call__(self, durable=False, read_only=False, serializable=False):
        return Block(durable, read_only, serializable)


sys.modules[__name__].__class__ = _Module
