"""What both backends do beyond Django's own.

Where a transaction of Silver Lining holds (in a request, in `with silver.transaction():`), the backend works on its connection,
and Django finds itself inside an atomic block that somebody else ends: atomic() is a savepoint, on_commit() waits for the real
commit, set_autocommit() and commit() are refused as in any atomic block. Elsewhere (manage.py, migrations, the shell), and for
a database that is not the service's (the one that tests make), it is plain Django with a connection of its own.

Django keeps what it knows of a connection in attributes of the wrapper. Here each of them is kept twice: for the wrapper's own
connection, and for the transaction that holds."""

from silver import _database
from silver import _transaction as transactions

_ATTRIBUTES = ("connection", "autocommit", "in_atomic_block", "savepoint_ids", "commit_on_exit", "needs_rollback", "rollback_exc",
               "run_on_commit", "run_commit_hooks_on_set_autocommit_on", "closed_in_transaction", "errors_occurred", "close_at",
               "atomic_blocks", "health_check_enabled", "health_check_done")


class _Outermost:
    """In the place of an atomic block around all: a durable one cannot be inside."""

    _from_testcase = False


class _State:
    """What Django knows of a connection."""

    def __init__(self, transaction=None):
        self.transaction = transaction
        if transaction is None:
            return
        self.connection = None
        self.autocommit, self.in_atomic_block = False, True
        self.savepoint_ids, self.atomic_blocks, self.run_on_commit = [], [_Outermost()], []
        self.commit_on_exit, self.run_commit_hooks_on_set_autocommit_on = True, False
        self.needs_rollback, self.rollback_exc = False, None
        self.closed_in_transaction = self.errors_occurred = False
        self.close_at = None
        self.health_check_enabled, self.health_check_done = False, True
        self.frames = {}  # savepoints, by Django's names

    # -- as one that takes part in the transaction

    name = "Django"

    def flush(self):
        if self.needs_rollback:
            from django.db.transaction import TransactionManagementError

            raise TransactionManagementError("An error occurred in the current transaction, in an atomic block without a "
                                             "savepoint, and so it cannot be committed.") from self.rollback_exc

    def savepoint(self):
        return self.needs_rollback

    def roll_back(self, saved):
        self.needs_rollback = saved


def _kept(name):
    def get(self):
        return getattr(self._state(), name)

    def set(self, value):
        setattr(self._state(), name, value)

    return property(get, set)


class Sharing:
    """Before Django's DatabaseWrapper in the list of bases. `service` is the name of the database's service."""

    service = None
    _plainly = 0

    for _name in _ATTRIBUTES:
        locals()[_name] = _kept(_name)
    del _name

    def __init__(self, settings_dict, alias="default"):
        self._own, self._shared = _State(), None
        self._plainly = 1
        super().__init__(self._complete(settings_dict), alias)
        self._plainly = 0

    # -- which state holds

    def _state(self):
        if self._plainly or not self._is_service():
            return self._own
        transaction = transactions.begun()
        if transaction is None:
            return self._own
        if self._shared is None or self._shared.transaction is not transaction:
            self._shared = _State(transaction)
        return self._shared

    def _is_service(self):
        settings = self.settings_dict
        return all(str(settings[name]) == value for name, value in self._service_settings().items())

    def _service_settings(self):
        raise NotImplementedError

    def _complete(self, settings_dict):
        """What settings leave out is the service's."""
        if settings_dict["NAME"] == "":
            settings_dict.update(self._service_settings())
        return settings_dict

    # -- the connection

    def _opening(self, transaction):
        """The transaction's connection is about to be opened, if it is not yet."""

    def _welcome(self, shared):
        """The connection is one that Django may not have seen."""
        raise NotImplementedError

    def ensure_connection(self):
        state = self._state()
        if state is self._own:
            super().ensure_connection()
        elif state.connection is None:
            self._opening(state.transaction)
            with self.wrap_database_errors:
                shared = _database.open(state.transaction, _database.service(self.service))
                state.transaction.join(state)
                state.connection = shared
                self._welcome(shared)

    def connect(self):
        if self._state() is self._own:
            super().connect()
        else:
            self.ensure_connection()

    def _about_its_own(self, function):
        self._plainly += 1
        try:
            return function()
        finally:
            self._plainly -= 1

    def close(self):
        """Only what is the wrapper's own: the transaction's connection is others', too."""
        self._about_its_own(super().close)

    def close_if_unusable_or_obsolete(self):
        self._about_its_own(super().close_if_unusable_or_obsolete)

    # -- savepoints and hooks

    def _frame(self, state, sid):
        frame = state.frames.get(sid)
        if frame is None:
            from django.db.utils import ProgrammingError

            raise ProgrammingError("there is no savepoint %s" % sid)
        return frame

    def savepoint(self):
        state = self._state()
        if state is self._own:
            return super().savepoint()
        self.ensure_connection()
        with self.wrap_database_errors:
            frame = state.transaction.savepoint()
        sid = "silver_%d" % frame.number
        state.frames[sid] = frame
        return sid

    def savepoint_rollback(self, sid):
        state = self._state()
        if state is self._own:
            super().savepoint_rollback(sid)
        else:
            with self.wrap_database_errors:
                state.transaction.roll_back_to(self._frame(state, sid))

    def savepoint_commit(self, sid):
        state = self._state()
        if state is self._own:
            super().savepoint_commit(sid)
        else:
            with self.wrap_database_errors:
                state.transaction.release(self._frame(state, sid))

    def on_commit(self, func, *arguments, **keywords):
        state = self._state()
        if state is self._own:
            super().on_commit(func, *arguments, **keywords)
        elif not callable(func):
            raise TypeError("on_commit()'s callback must be a callable.")
        else:
            state.transaction.hook("on_commit", func, (), {})
