"""silver.transaction outside of a worker: its states, savepoints, hooks and participants, on a database of its own."""

import asyncio
import contextvars
import logging
import sqlite3
import threading

import pytest

import silver
from silver import _database, transaction
from silver.transaction import Doomed


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("CONFIG_SQLITE_PATH", str(tmp_path / "test.sqlite"))
    monkeypatch.delenv("CONFIG_PG_DBNAME", raising=False)
    with silver.transaction():
        silver.database().execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    yield tmp_path / "test.sqlite"
    _database.forget()


def rows(file):
    """What is committed, as somebody else sees it."""
    connection = sqlite3.connect(file)
    try:
        return [a for (a,) in connection.execute("SELECT a FROM t ORDER BY a")]
    finally:
        connection.close()


def insert(a):
    silver.database().execute("INSERT INTO t (a) VALUES (?)", (a,))


# ---- Beginning and ending ------------------------------------------------------------------------------------------


def test_it_is_committed_at_the_end_and_rolled_back_by_an_exception(file):
    with silver.transaction():
        insert(1)
        assert rows(file) == []
    assert rows(file) == [1]
    with pytest.raises(ZeroDivisionError):
        with silver.transaction():
            insert(2)
            1 / 0
    assert rows(file) == [1]


def test_without_one_there_is_no_database():
    with pytest.raises(silver.Error, match="no transaction here") as failure:
        silver.database()
    assert "with silver.transaction()" in failure.value.hint
    for function in (transaction.doom, transaction.join, transaction.on_commit):
        with pytest.raises(silver.Error, match="no transaction here"):
            function(print)
    with pytest.raises(silver.Error, match="no transaction here"):
        with transaction.savepoint():
            pass
    assert transaction.current() is None and not transaction.is_doomed()


def test_nested_joins(file):
    with silver.transaction() as outer:
        with silver.transaction() as inner:
            assert inner is outer
            insert(1)
        assert rows(file) == []
        insert(2)
    assert rows(file) == [1, 2]


def test_a_failure_inside_dooms_the_whole_and_the_first_cause_is_told(file):
    with pytest.raises(Doomed, match="KeyError: 'first'") as failure:
        with silver.transaction():
            insert(1)
            try:
                with silver.transaction():
                    raise KeyError("first")
            except KeyError:
                pass
            assert transaction.is_doomed()
            with pytest.raises(Doomed, match="first"):
                insert(2)
            try:
                with silver.transaction():
                    raise ValueError("second")
            except Doomed:
                pass
    assert isinstance(failure.value.__cause__, KeyError) and failure.value.code == -20019
    assert rows(file) == []


def test_what_else_is_raised_in_a_doomed_one_goes_on(file):
    with pytest.raises(ValueError, match="mine"):
        with silver.transaction():
            insert(1)
            transaction.doom("no good")
            raise ValueError("mine")
    assert rows(file) == []


def test_doom_names_its_reason_and_its_place(file):
    with pytest.raises(Doomed, match="the transaction is doomed: no good") as failure:
        with silver.transaction():
            insert(1)
            transaction.doom("no good")
            transaction.doom("later")
    assert "test_doom_names_its_reason_and_its_place" in failure.value.detail
    error = OSError("disk")
    with pytest.raises(Doomed, match="OSError: disk") as failure:
        with silver.transaction():
            transaction.doom(error)
    assert failure.value.__cause__ is error
    assert rows(file) == []


def test_a_durable_one_must_be_the_outermost(file):
    with silver.transaction(durable=True):
        insert(1)
    with silver.transaction():
        with pytest.raises(silver.Error, match="durable"):
            with silver.transaction(durable=True):
                pass
        insert(2)
    assert rows(file) == [1, 2]


def test_read_only(file):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        with silver.transaction(read_only=True):
            insert(1)
    with silver.transaction():
        insert(2)  # on the same connection
    assert rows(file) == [2]


# ---- The connection ------------------------------------------------------------------------------------------------


def test_all_who_ask_get_the_same_connection():
    with silver.transaction():
        database = silver.database()
        assert silver.database() is database and silver.database("sqlite") is database
        assert isinstance(database, sqlite3.Connection)
        assert database.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with pytest.raises(silver.Error, match="no database called 'mysql'"):
        silver.database("mysql")


def test_commit_ends_nothing_and_rollback_dooms(file):
    with pytest.raises(Doomed, match=r"rollback\(\) was called"):
        with silver.transaction():
            database = silver.database()
            insert(1)
            database.commit()
            with database:
                insert(2)
            assert rows(file) == []
            database.close()
            insert(3)
            database.rollback()
            with pytest.raises(Doomed):
                insert(4)
    assert rows(file) == []
    with pytest.raises(Doomed):
        with silver.transaction():
            try:
                with silver.database():
                    raise KeyError
            except KeyError:
                pass


@pytest.mark.parametrize("sql", ["COMMIT", "commit;", " -- x\n END", "/* x */ Rollback", "ROLLBACK TRANSACTION",
                                 "BEGIN IMMEDIATE"])
def test_no_statement_ends_it(file, sql):
    with silver.transaction():
        insert(1)
        for execute in (silver.database().execute, silver.database().cursor().execute, silver.database().executescript):
            with pytest.raises(silver.Error, match="cannot be begun or ended by a statement"):
                execute(sql)
        assert rows(file) == []
    assert rows(file) == [1]


def test_savepoints_of_ones_own_are_allowed(file):
    with silver.transaction():
        database = silver.database()
        database.execute("SAVEPOINT mine")
        insert(1)
        database.execute("ROLLBACK TO mine")
        database.execute("RELEASE mine")
        insert(2)
    assert rows(file) == [2]


def test_a_script_commits_nothing(file):
    with pytest.raises(ZeroDivisionError):
        with silver.transaction():
            silver.database().executescript("""
                INSERT INTO t VALUES (1, 'a;b');
                CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = 'x'; SELECT 1; END;
                INSERT INTO t VALUES (2, NULL) -- the last;
                """)
            assert silver.database().execute("SELECT * FROM t").fetchall() == [(1, "x"), (2, "x")]
            1 / 0
    assert rows(file) == []


def test_what_the_database_rolls_back_by_itself_dooms(file):
    with pytest.raises(Doomed, match="ended within a statement"):
        with silver.transaction():
            insert(1)
            with pytest.raises(sqlite3.IntegrityError):
                silver.database().execute("INSERT OR ROLLBACK INTO t (a) VALUES (1)")
            with pytest.raises(Doomed):
                insert(2)  # which would be committed by itself
    assert rows(file) == []


def test_a_connection_is_not_for_those_whose_transaction_it_is_not(file):
    kept = []
    with silver.transaction():
        kept.append(silver.database())
        cursor = kept[0].cursor()
        errors = []

        def elsewhere():
            for execute in (kept[0].execute, cursor.execute):
                try:
                    execute("INSERT INTO t (a) VALUES (1)")
                except silver.Error as error:
                    errors.append(str(error))

        for target in (elsewhere, lambda: contextvars.copy_context().run(elsewhere)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
        assert len(errors) == 4 and all("of another request, task or thread" in error for error in errors)
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(insert, 2))
        thread.start()
        thread.join()
    for execute in (kept[0].execute, cursor.execute):
        with pytest.raises((silver.Error, sqlite3.ProgrammingError)):
            execute("INSERT INTO t (a) VALUES (3)")
    with silver.transaction():
        assert silver.database() is kept[0]  # the pool's
    assert rows(file) == [2]


def test_the_next_gets_a_connection_as_new():
    with silver.transaction():
        database = silver.database()
        database.row_factory = sqlite3.Row
        database.text_factory = bytes
        cursor = database.execute("SELECT 1 UNION SELECT 2")
        cursor.fetchone()
        with pytest.raises(silver.Error, match="isolation level"):
            database.isolation_level = "DEFERRED"
    with silver.transaction():
        assert silver.database() is database
        assert database.execute("SELECT 'a'").fetchone() == ("a",)
        with pytest.raises(sqlite3.ProgrammingError):
            cursor.fetchone()


def test_who_is_configured(monkeypatch):
    monkeypatch.setenv("CONFIG_PG_DBNAME", "x")
    _database.forget()
    with silver.transaction():
        with pytest.raises(silver.Error, match="which database is meant"):
            silver.database()
    monkeypatch.delenv("CONFIG_PG_DBNAME")
    monkeypatch.delenv("CONFIG_SQLITE_PATH")
    _database.forget()
    with silver.transaction():
        with pytest.raises(silver.Error, match="no CONFIG_SQLITE_PATH"):
            silver.database()


def test_writers_wait_for_each_other(file):
    """Many threads, each with a transaction that reads and writes: none is refused, none is lost."""
    with silver.transaction():
        insert(0)

    def add():
        for _ in range(20):
            with silver.transaction():
                (most,) = silver.database().execute("SELECT max(a) FROM t").fetchone()
                insert(most + 1)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(file) == list(range(161))


def test_who_waits_too_long_is_told(file, monkeypatch):
    monkeypatch.setattr(_database, "WAIT", 0.05)
    errors = []

    def write():
        try:
            with silver.transaction():
                insert(2)
        except silver.Error as error:
            errors.append(error)

    with silver.transaction():
        insert(1)
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert errors[0].code == -16 and "turn to write sqlite did not come" in str(errors[0])
    with silver.transaction():
        insert(3)
    assert rows(file) == [1, 3]


# ---- Savepoints ----------------------------------------------------------------------------------------------------


def test_a_savepoint_may_fail_alone(file):
    with silver.transaction():
        insert(1)
        with pytest.raises(KeyError):
            with transaction.savepoint():
                insert(2)
                with transaction.savepoint():
                    insert(3)
                raise KeyError
        with transaction.savepoint():
            insert(4)
            with pytest.raises(sqlite3.IntegrityError):
                with transaction.savepoint():
                    insert(5)
                    insert(1)
        with transaction.savepoint() as point:
            insert(6)
            point.roll_back()
            insert(7)
    assert rows(file) == [1, 4, 7]


def test_a_savepoint_from_before_the_first_use(file):
    with silver.transaction():
        with pytest.raises(KeyError):
            with transaction.savepoint():
                insert(1)
                raise KeyError
        insert(2)
    assert rows(file) == [2]


def test_a_savepoint_holds_what_failed_inside(file):
    with silver.transaction():
        with pytest.raises(KeyError):
            with transaction.savepoint():
                insert(1)
                with silver.transaction():
                    raise KeyError
        assert not transaction.is_doomed()
        with pytest.raises(Doomed, match="swallowed"):
            with transaction.savepoint():
                insert(2)
                try:
                    with silver.transaction():
                        raise KeyError("swallowed")
                except KeyError:
                    pass
        insert(3)
    assert rows(file) == [3]


def test_doom_is_of_the_whole(file):
    with pytest.raises(Doomed, match="wholly"):
        with silver.transaction():
            try:
                with transaction.savepoint():
                    transaction.doom("wholly")
                    raise KeyError
            except KeyError:
                pass
            assert transaction.is_doomed()
    with pytest.raises(Doomed, match="wholly"):
        with silver.transaction():
            with transaction.savepoint():
                transaction.doom("wholly")


def test_savepoints_end_in_order():
    with silver.transaction() as current:
        outer, inner = current.savepoint(), current.savepoint()
        current.release(outer)
        with pytest.raises(silver.Error, match="over already"):
            current.roll_back_to(inner)


# ---- Hooks ---------------------------------------------------------------------------------------------------------


def test_hooks_belong_to_their_savepoints(file):
    told = []
    with silver.transaction():
        transaction.on_commit(told.append, "first")
        transaction.on_abort(told.append, "never")
        with pytest.raises(KeyError):
            with transaction.savepoint():
                transaction.on_commit(told.append, "undone")
                transaction.on_abort(told.append, "aborted")
                raise KeyError
        assert told == ["aborted"]
        with transaction.savepoint():
            transaction.on_commit(told.append, "second")
        transaction.before_commit(lambda: (told.append("before"), insert(1)))
        assert told == ["aborted"]
    assert told == ["aborted", "before", "first", "second"] and rows(file) == [1]
    del told[:]
    with pytest.raises(KeyError):
        with silver.transaction():
            transaction.on_commit(told.append, "never")
            transaction.before_commit(told.append, "never")
            with transaction.savepoint():
                transaction.on_abort(told.append, "1")
            transaction.on_abort(told.append, "2")
            raise KeyError
    assert told == ["1", "2"]


def test_a_hook_before_may_fail_it_and_add_others(file):
    told = []
    with silver.transaction():
        transaction.before_commit(lambda: transaction.before_commit(lambda: transaction.before_commit(insert, 1)))
    assert rows(file) == [1]
    with pytest.raises(ValueError):
        with silver.transaction():
            insert(2)
            transaction.on_abort(told.append, "aborted")
            transaction.before_commit(int, "no number")
    assert rows(file) == [1] and told == ["aborted"]

    def again():
        transaction.before_commit(again)

    with pytest.raises(silver.Error, match="go on making work"):
        with silver.transaction():
            transaction.before_commit(again)


def test_hooks_after_it_have_transactions_of_their_own_and_only_complain(file, caplog):
    told = []

    def after():
        assert rows(file) == [1]
        insert(2)
        transaction.on_commit(told.append, "after that")

    def fails():
        insert(3)
        raise KeyError("in a hook")

    with caplog.at_level(logging.ERROR):
        with silver.transaction():
            insert(1)
            for function in (fails, after):
                transaction.on_commit(function)
    assert rows(file) == [1, 2] and told == ["after that"]
    assert "in a hook" in caplog.text


def test_what_no_hook_can_be():
    async def later():
        pass

    with silver.transaction():
        for wrong in (later, None, "text"):
            with pytest.raises(TypeError, match="a hook"):
                transaction.on_commit(wrong)


def test_emit_on_commit(monkeypatch):
    told = []
    monkeypatch.setattr(silver, "emit", lambda *what: told.append(what))
    payload = {"a": 1}
    with silver.transaction():
        silver.emit_on_commit("room", "said", payload)
        payload["a"] = 2
        with pytest.raises(TypeError):
            silver.emit_on_commit("room", "said", object())
        assert told == []
    assert told == [("room", "said", {"a": 1})]
    with pytest.raises(KeyError):
        with silver.transaction():
            silver.emit_on_commit("room", "never")
            raise KeyError
    silver.emit_on_commit("room", "now")
    assert told[1:] == [("room", "now", None)]


# ---- Those who take part -------------------------------------------------------------------------------------------


class Part:
    def __init__(self, told, name="part", order=0, fails=None):
        self.told, self.name, self.order, self.fails = told, name, order, fails

    def _say(self, what):
        self.told.append((self.name, what))
        if what == self.fails:
            raise OSError(self.name + " cannot " + what)

    def begin(self): self._say("begin")
    def flush(self): self._say("flush")
    def prepare(self): self._say("prepare")
    def vote(self): self._say("vote")
    def finish(self): self._say("finish")
    def abort(self): self._say("abort")

    def savepoint(self):
        self._say("savepoint")
        return len(self.told)

    def roll_back(self, saved):
        self._say("roll back to %d" % saved)


def test_the_order_of_a_commit(file):
    told = []
    with silver.transaction():
        late = Part(told, "late", order=1)
        for part in (late, Part(told, "a"), Part(told, "b"), late):
            transaction.join(part)
        insert(1)
        transaction.on_commit(told.append, "hook")
    names = ["a", "b", "late"]
    assert told[:3] == [("late", "begin"), ("a", "begin"), ("b", "begin")]
    assert told[3:] == [(name, what) for what in ("flush", "prepare", "vote", "finish") for name in names] + ["hook"]


@pytest.mark.parametrize("fails", ["begin", "flush", "prepare", "vote"])
def test_whoever_fails_before_the_decision_aborts_all(file, fails):
    told = []
    with pytest.raises(OSError, match="b cannot " + fails):
        with silver.transaction():
            transaction.join(Part(told, "a"))
            insert(1)
            transaction.join(Part(told, "b", fails=fails))
    assert ("a", "abort") in told and ("a", "finish") not in told
    assert (("b", "abort") in told) == (fails != "begin")
    assert rows(file) == []


def test_failures_after_the_decision_are_logged(file, caplog):
    told = []
    with silver.transaction():
        transaction.join(Part(told, "a", fails="finish"))
        transaction.join(Part(told, "b"))
        insert(1)
    assert told[-1] == ("b", "finish") and rows(file) == [1] and "a cannot finish" in caplog.text
    with pytest.raises(KeyError):
        with silver.transaction():
            transaction.join(Part(told, "c"))
            transaction.join(Part(told, "d", fails="abort"))
            raise KeyError
    assert told[-1] == ("c", "abort") and "d cannot abort" in caplog.text


def test_a_part_in_savepoints():
    told = []
    with silver.transaction():
        transaction.join(Part(told, "a"))
        with pytest.raises(KeyError):
            with transaction.savepoint():
                transaction.join(Part(told, "b"))
                raise KeyError
    assert told[:4] == [("a", "begin"), ("a", "savepoint"), ("b", "begin"), ("b", "savepoint")]
    assert told[4:6] == [("a", "roll back to 2"), ("b", "roll back to 4")]

    class Plain:
        pass

    with silver.transaction():
        transaction.join(Plain())
        with pytest.raises(TypeError, match="Plain takes part .* knows no savepoints"):
            with transaction.savepoint():
                pass


def test_a_doomed_vote(file):
    class Dooms:
        def vote(self):
            transaction.doom("not today")

    with pytest.raises(Doomed, match="not today"):
        with silver.transaction():
            insert(1)
            transaction.join(Dooms())
    assert rows(file) == []


def test_nothing_can_be_done_while_it_is_committed(file):
    class Late:
        def vote(self):
            insert(2)

    with pytest.raises(Doomed, match="being committed"):
        with silver.transaction():
            insert(1)
            transaction.join(Late())
    assert rows(file) == []


# ---- transact ------------------------------------------------------------------------------------------------------


def conflict():
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY_SNAPSHOT
    return error


def test_transact_tries_again(file):
    tries = []

    def work(a, b=0):
        insert(a + b)
        tries.append(a)
        if len(tries) < 3:
            raise RuntimeError("wrapped") from conflict()
        return "done"

    assert silver.transact(work, 1, b=1, retries=2) == "done"
    assert rows(file) == [2] and len(tries) == 3
    del tries[:]
    with pytest.raises(RuntimeError):
        silver.transact(work, 5, retries=1)
    assert len(tries) == 2 and rows(file) == [2]


def test_transact_does_not_try_again_what_is_no_conflict_or_not_its_own(file):
    tries = []

    def work(error):
        tries.append(1)
        raise error

    with pytest.raises(KeyError):
        silver.transact(work, KeyError(), retries=5)
    assert len(tries) == 1
    with pytest.raises(sqlite3.OperationalError):
        with silver.transaction():
            silver.transact(work, conflict(), retries=5)
    assert len(tries) == 2


# ---- Coroutines ----------------------------------------------------------------------------------------------------


def test_in_coroutines(file):
    async def one(a):
        async with silver.transaction():
            database = await silver.database()
            database.execute("INSERT INTO t (a) VALUES (?)", (a,))
            await asyncio.sleep(0.001)
            assert await silver.database() is database
            await asyncio.to_thread(insert, a + 100)

    async def fails():
        async with silver.transaction():
            await asyncio.to_thread(insert, 1000)
            raise KeyError

    async def work():
        with pytest.raises(silver.Error, match="hold up the loop"):
            with silver.transaction():
                pass
        await asyncio.gather(*(one(a) for a in range(20)))
        with pytest.raises(KeyError):
            await fails()
        assert transaction.current() is None

        async def insert_later(a):
            (await silver.database()).execute("INSERT INTO t (a) VALUES (?)", (a,))
            return a

        assert await silver.transact(insert_later, 50) == 50
        await silver.transact(insert, 51)

    asyncio.run(work())
    assert rows(file) == [*range(20), 50, 51, *range(100, 120)]


def test_who_is_cancelled_while_waiting_leaves_the_line(file):
    async def hold(event):
        async with silver.transaction():
            await silver.database()
            await event.wait()

    async def write(a):
        async with silver.transaction():
            (await silver.database()).execute("INSERT INTO t (a) VALUES (?)", (a,))

    async def work():
        event = asyncio.Event()
        holder = asyncio.create_task(hold(event))
        await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(write(a)) for a in range(3)]
        await asyncio.sleep(0.01)
        waiting[1].cancel()
        event.set()
        await asyncio.gather(holder, *waiting, return_exceptions=True)
        assert waiting[1].cancelled()
        await write(10)

    asyncio.run(work())
    assert rows(file) == [0, 2, 10]


def test_two_in_one_transaction_ask_at_once(file):
    async def work():
        async with silver.transaction():
            results = await asyncio.gather(*(silver.database() for _ in range(5)), asyncio.to_thread(insert, 1))
            assert len({id(each) for each in results[:5]}) == 1

    asyncio.run(work())
    assert rows(file) == [1]


# ---- The rest ------------------------------------------------------------------------------------------------------


def test_a_child_that_is_forked_has_connections_of_its_own(file):
    import os

    with silver.transaction():
        insert(1)
    child = os.fork()
    if child == 0:
        try:
            with silver.transaction():
                insert(2)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    with silver.transaction():
        insert(3)
    assert rows(file) == [1, 2, 3]


def test_it_costs_nothing_until_it_is_used():
    import subprocess
    import sys

    code = ("import sys, silver; wanted = {'sqlite3', 'psycopg2', 'django', 'storm', 'silver.transaction', "
            "'silver._transaction', 'silver._database'};"
            "assert not wanted & set(sys.modules), wanted & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)
