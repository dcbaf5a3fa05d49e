"""The transaction of a request: begun at the first use, ended before the client hears how it went. For transaction.c.

The status decides: below 400 it is committed, from 400 on rolled back (a 4xx commits after silver.transaction.keep()), and so it
is when the application raises. What a streaming body does after the head was sent is a second transaction, ended with it."""

import threading

import silver
from silver._transaction import Transaction, beside_loop, doomed, in_thread, original

_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


class Request:
    """What the worker keeps of a request that has to do with transactions."""

    def __init__(self, method, started):
        self.deferred = method in _SAFE  # it will hardly write, so it does not wait for writers
        self.transaction = None
        self.started = started  # the head may be sent
        self.ended = False
        self.failure = None  # of a commit
        self.reserved = {}  # connections between two transactions, by name: cursors that a body reads from live on
        self.lock = threading.RLock()

    def begin(self):
        with self.lock:
            if self.ended:
                return None
            if self.transaction is None or self.transaction.ended:
                self.transaction = Transaction(self, self.deferred)
            return self.transaction

    def _finish(self, commit):
        transaction = self.transaction
        try:
            if commit:
                transaction.commit()
            else:
                if transaction.cause is not None:  # nobody else may have told it
                    silver.log.info("what the request did is undone: %s", transaction.cause)
                transaction.abort()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.transaction = None

    def _succeeds(self, status):
        return status < 400 or (status < 500 and self.transaction is not None and self.transaction.kept)

    def settle(self, status):
        """Called before the head goes out, and before the end of the body: raises if the client must not hear of success."""
        with self.lock:
            if not self.started and self.failure is not None and status < 400:
                raise doomed(self.failure) from original(self.failure)
            if self.transaction is not None:
                self._finish(self.started or self._succeeds(status))
            self.started = True

    def end(self, failed):
        """The request is over."""
        with self.lock:
            transaction, self.transaction = self.transaction, None
            reserved, self.reserved = self.reserved, {}
            self.ended = True
        try:
            if transaction is not None:
                beside_loop(transaction.commit if self.started and not failed else transaction.abort)
        finally:
            for connection in reserved.values():
                connection._service.take_back(connection)

    # -- connections

    def take_reserved(self, name):
        with self.lock:
            return self.reserved.pop(name, None)

    def reserve(self, name, connection):
        """Keeps it until the request ends; whether it does."""
        with self.lock:
            if self.ended or name in self.reserved:
                return False
            self.reserved[name] = connection
            return True

    # -- ASGI

    def send(self, message, send):
        """What an application's send() gives when it has used a transaction."""
        kind = message.get("type")
        if kind == "http.response.start" and not self.started and isinstance(message.get("status"), int):
            return self._settle_and_send(message, send, message["status"])
        last = kind == "http.response.pathsend" or (kind == "http.response.body" and not message.get("more_body"))
        if last and self.started and self.transaction is not None:
            return self._settle_and_send(message, send, 200)
        return send(message)

    async def _settle_and_send(self, message, send, status):
        if self.transaction is None or self.transaction.trivial:
            self.settle(status)
        else:
            await in_thread(self.settle, status)
        return await send(message)
