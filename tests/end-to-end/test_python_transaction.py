"""The transaction of a request in Python: WSGI and ASGI, when it is committed, what undoes it, and kill -9."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import textwrap
import threading
import urllib.parse

import pytest

from conftest import PROJECT, eventually, lay_out
from python_worker import CANCEL, DATA, HEAD, RESULT, TELL, Worker

SAMPLES = PROJECT / "docs" / "samples" / "python-transactions"


def rows(file):
    """What is committed, as somebody else sees it."""
    connection = sqlite3.connect(file)
    try:
        return [a for (a,) in connection.execute("SELECT a FROM t ORDER BY a")]
    finally:
        connection.close()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "test.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)")
    connection.close()
    return path


@pytest.fixture
def worker(tmp_path, environment, file):
    workers = []

    def start(source, **more):
        env = {"CONFIG_SQLITE_PATH": str(file), **more.pop("env", {})}
        workers.append(Worker(tmp_path, textwrap.dedent(source), environment, env=env, **more))
        return workers[-1]

    yield start
    for each in workers:
        each.end()


# ---- WSGI ----------------------------------------------------------------------------------------------------------

WSGI = """
    import os, sys, threading, contextvars, concurrent.futures
    import silver

    def insert(a):
        silver.database().execute("INSERT INTO t (a) VALUES (?)", (a,))

    def rows():
        return [a for (a,) in silver.database().execute("SELECT a FROM t ORDER BY a")]

    def application(environ, start_response):
        return globals()[environ["PATH_INFO"][1:]](environ, start_response)

    def answer(start_response, status="200 OK", body=b"done"):
        start_response(status, [("Content-Type", "text/plain")])
        return [body]
"""


def wsgi(functions):
    return textwrap.dedent(WSGI) + textwrap.dedent(functions)


def test_the_status_decides(worker, file):
    w = worker(wsgi("""
        def by_status(environ, start_response):
            status, a, *words = environ["QUERY_STRING"].split(",")
            insert(int(a))
            if "keep" in words:
                silver.transaction.keep()
            if "raise" in words:
                raise KeyError("the application's own")
            return answer(start_response, status + " Said")
        """))
    for number, (query, kept) in enumerate([
            ("200,{}", True), ("201,{}", True), ("303,{}", True), ("404,{}", False), ("409,{},keep", True), ("500,{}", False),
            ("503,{},keep", False)]):
        got = w.get("/by_status", method="POST", query=query.format(number))
        assert got.status == int(query[:3]) and got.trouble is None and got.body == b"done"
        assert (number in rows(file)) == kept
    got = w.get("/by_status", query="200,100,keep,raise")
    assert "KeyError" in got.trouble["message"] and 100 not in rows(file)
    assert w.get("/by_status", query="200,101").status == 200 and 101 in rows(file)  # the worker goes on


def test_it_is_committed_before_the_client_hears_of_success(worker, file, tmp_path):
    w = worker(wsgi("""
        def stream(environ, start_response):
            insert(1)
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield b"first"
            while not os.path.exists("go"):
                threading.Event().wait(0.005)
            insert(2)
            yield b"second"
        """))
    call = w.begin("/stream", method="POST")
    w.next(lambda p: p["kind"] == DATA and p["word"] == HEAD)
    assert rows(file) == [1]
    (tmp_path / "go").write_text("")
    w.next(lambda p: p["kind"] == RESULT and p["call"] == call)
    assert rows(file) == [1, 2]


@pytest.mark.parametrize("how", ["raise", "doom", "short"])
def test_what_a_stream_does_after_its_head_ends_with_it(worker, file, how):
    w = worker(wsgi("""
        class Body:
            def __init__(self, how):
                self.how = how
            def __iter__(self):
                yield b"first"
                insert(2)
                yield b"second"
                if self.how == "raise":
                    raise KeyError
                if self.how == "doom":
                    silver.transaction.doom("late")
            def close(self):
                print("closed", flush=True)

        def stream(environ, start_response):
            how = environ["QUERY_STRING"]
            insert(1)
            start_response("200 OK", [("Content-Length", "20")] if how == "short" else [])
            return Body(how)
        """))
    got = w.get("/stream", method="POST", query=how)
    assert got.status == 200 and got.trouble and not got.ended and rows(file) == [1]


def test_close_may_use_the_database_and_cursors_live_on(worker, file):
    with sqlite3.connect(file) as connection:
        connection.executemany("INSERT INTO t (a) VALUES (?)", [(a,) for a in range(1, 501)])
    w = worker(wsgi("""
        class Body:
            def __init__(self):
                insert(1000)
                self.cursor = silver.database().execute("SELECT a FROM t ORDER BY a")
            def __iter__(self):
                for (a,) in self.cursor:
                    yield b"%d " % a
            def close(self):
                insert(1001)

        def stream(environ, start_response):
            start_response("200 OK", [])
            return Body()
        """))
    assert w.get("/stream", method="POST").body.split() == [b"%d" % a for a in [*range(1, 501), 1000]]
    assert rows(file)[-2:] == [1000, 1001]
    assert w.get("/stream", method="POST").trouble  # 1000 is there already
    assert len(rows(file)) == 502


def test_a_with_in_a_stream_ends_by_itself(worker, file, tmp_path):
    w = worker(wsgi("""
        def stream(environ, start_response):
            start_response("200 OK", [])
            yield b"first"
            for a in 1, 2:
                with silver.transaction():
                    insert(a)
                yield b"more"
            with silver.transaction(durable=True):
                insert(3)
            while not os.path.exists("go"):
                threading.Event().wait(0.005)
            insert(4)
        """))
    call = w.begin("/stream", method="POST")
    eventually(lambda: rows(file) == [1, 2, 3])
    (tmp_path / "go").write_text("")
    assert w.finish(call).body == b"firstmoremore" and rows(file) == [1, 2, 3, 4]


def test_a_doomed_request_cannot_say_that_all_is_well(worker, file):
    w = worker(wsgi("""
        def swallow(environ, start_response):
            insert(1)
            try:
                with silver.transaction():
                    raise KeyError("deep inside")
            except KeyError:
                pass
            return answer(start_response, environ["QUERY_STRING"] + " Said")
        """))
    got = w.get("/swallow", method="POST", query="200")
    assert got.status is None and "doomed by what failed in it: KeyError: 'deep inside'" in got.trouble["message"]
    got = w.get("/swallow", method="POST", query="303")
    assert got.status is None and got.trouble
    got = w.get("/swallow", method="POST", query="409")
    assert got.status == 409 and got.trouble is None
    assert rows(file) == []


def test_a_commit_that_fails_is_no_success(worker, file):
    """Also where the application swallows it."""
    w = worker(wsgi("""
        def dangling():
            silver.database().execute("INSERT INTO t VALUES (1, 99)")

        def plain(environ, start_response):
            dangling()
            return answer(start_response)

        def write(environ, start_response):
            dangling()
            write = start_response("200 OK", [])
            try:
                write(b"well")
            except Exception as error:
                assert "FOREIGN KEY" in str(error), error
                if environ["QUERY_STRING"]:
                    start_response("500 Sorry", [], sys.exc_info())
            return [b"end"]
        """))
    assert "FOREIGN KEY constraint failed" in w.get("/plain", method="POST").trouble["message"]
    got = w.get("/write", method="POST")
    assert got.status is None and "FOREIGN KEY" in got.trouble["message"]
    got = w.get("/write", method="POST", query="x")
    assert got.status == 500 and got.body == b"end" and got.trouble is None
    assert rows(file) == []


def test_files_and_empty_answers(worker, file, tmp_path):
    (tmp_path / "some.txt").write_text("some text")
    w = worker(wsgi("""
        def wrapped(environ, start_response):
            insert(1)
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](open("some.txt", "rb"))

        def nothing(environ, start_response):
            insert(2)
            start_response("204 No Content", [])
            return []

        def head(environ, start_response):
            insert(3)
            return answer(start_response)
        """))
    assert w.get("/wrapped", method="POST").body == b"some text"
    assert w.get("/nothing", method="POST").status == 204
    assert w.get("/head", method="HEAD").status == 200
    assert rows(file) == [1, 2, 3]


def test_threads_each_have_their_own(worker, file):
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO t (a) VALUES (0)")
    w = worker(wsgi("""
        def add(environ, start_response):
            insert(rows()[-1] + 1)
            return answer(start_response)

        def look(environ, start_response):
            return answer(start_response, body=b"%d" % len(rows()))
        """), env={"SILVER_WEB_THREADS": "6"})
    calls = []
    for _ in range(60):
        calls += [w.begin("/add", method="POST"), w.begin("/look")]
    answers = [w.finish(call) for call in calls]
    assert all(each.status == 200 for each in answers), [each.trouble for each in answers if each.trouble][0]
    assert rows(file) == list(range(61))


def test_a_thread_of_ones_own(worker, file):
    w = worker(wsgi("""
        pool = concurrent.futures.ThreadPoolExecutor(2)

        def both(environ, start_response):
            insert(1)
            try:
                pool.submit(insert, 2).result()
            except silver.Error as error:
                assert "no transaction here" in str(error), error
            else:
                raise AssertionError
            pool.submit(contextvars.copy_context().run, insert, 3).result()
            def own():
                with silver.transaction(read_only=True):
                    return len(rows())
            seen = pool.submit(own).result()
            return answer(start_response, environ["QUERY_STRING"] + " Said", b"%d" % seen)
        """))
    assert w.get("/both", method="POST", query="500").body == b"0" and rows(file) == []
    assert w.get("/both", method="POST", query="200").body == b"0" and rows(file) == [1, 3]


def test_events_are_told_when_it_is_committed(worker, file):
    w = worker(wsgi("""
        def told(environ, start_response):
            silver.emit_on_commit("room", "first", {"a": 1})
            with silver.transaction.savepoint() as point:
                silver.emit_on_commit("room", "undone")
                point.roll_back()
            silver.emit("room", "at once")
            return answer(start_response, environ["QUERY_STRING"] + " Said")
        """))
    events = []

    def take():
        w.kept[:] = [p for p in w.kept if not (p["kind"] == TELL and events.append(p["value"]["event"]) is None)]
        return events

    assert w.get("/told", query="200").status == 200
    eventually(lambda: take() == ["at once", "first"])
    assert w.get("/told", query="404").status == 404
    assert w.get("/told", query="200").status == 200
    eventually(lambda: len(take()) == 5)
    assert events == ["at once", "first", "at once", "at once", "first"]


def test_who_was_told_that_time_is_up_has_changed_nothing(worker, file):
    w = worker(wsgi("""
        def slow(environ, start_response):
            insert(1)
            print("waits", flush=True)
            for event in silver.subscribe("nothing"):  # which ends when the request is given up
                pass
            return answer(start_response)
        """))
    for hurry in (True, False):
        call = w.begin("/slow", method="POST")
        eventually(lambda: w.said().count("waits") == (1 if hurry else 2))
        w.put(kind=CANCEL, call=call, **({} if hurry else {"word": 1}))
        w.finish(call)
        assert rows(file) == ([] if hurry else [1])  # that the client went is no reason to undo it


def test_an_application_without_databases_loads_none_of_it(worker):
    w = worker(wsgi("""
        def loaded(environ, start_response):
            wanted = ("sqlite3", "psycopg2", "django", "storm", "silver.transaction", "silver._database")
            return answer(start_response, body=" ".join(each for each in wanted if each in sys.modules).encode())
        """))
    assert w.get("/loaded").body == b""


def test_nothing_is_kept_of_requests_that_are_over(worker, file):
    w = worker(wsgi("""
        import gc
        from silver._request import Request
        from silver._transaction import Transaction

        def add(environ, start_response):
            if environ["QUERY_STRING"]:
                silver.transaction.doom("not this one")
            else:
                insert(len(rows()))
            return answer(start_response)

        def count(environ, start_response):
            gc.collect()
            kinds = [type(each) for each in gc.get_objects()]
            return answer(start_response, body=b"%d" % (kinds.count(Request) + kinds.count(Transaction)))
        """))
    for _ in range(50):
        assert w.get("/add", method="POST").status == 200
        assert w.get("/add", query="doom").trouble
    assert int(w.get("/count").body) < 5 and len(rows(file)) == 50


def test_a_get_that_writes_says_so_first(worker, file):
    """It is begun as a reader, and cannot write any more when somebody else has meanwhile."""
    w = worker(wsgi("""
        import sqlite3

        def late(environ, start_response):
            if environ["QUERY_STRING"]:
                with silver.transaction():
                    rows()
            rows()
            other = sqlite3.connect(silver.config("sqlite_path"), timeout=0.01)
            try:
                other.execute("INSERT INTO t (a) VALUES (1)")
                other.commit()
            except sqlite3.OperationalError:
                pass
            other.close()
            insert(2)
            return answer(start_response)
        """))
    assert "database is locked" in w.get("/late").trouble["message"]
    assert w.get("/late", query="said").status == 200 and rows(file) == [1, 2]


def test_a_worker_that_is_killed_leaves_nothing_half(worker, file):
    w = worker(wsgi("""
        import signal

        def die(environ, start_response):
            insert(1)
            silver.transaction.before_commit(insert, 2)
            silver.transaction.before_commit(os.kill, os.getpid(), signal.SIGKILL)
            return answer(start_response)
        """))
    w.begin("/die", method="POST")
    assert w.next(lambda p: "exited" in p)["signal"] == signal.SIGKILL
    assert rows(file) == []


# ---- ASGI ----------------------------------------------------------------------------------------------------------

ASGI = """
    import asyncio, os
    import silver

    def insert(a):
        silver.database().execute("INSERT INTO t (a) VALUES (?)", (a,))

    def rows():
        return [a for (a,) in silver.database().execute("SELECT a FROM t ORDER BY a")]

    async def start(send, status=200):
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def body(send, text=b"done", more=False):
        await send({"type": "http.response.body", "body": text, "more_body": more})

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await globals()[scope["path"][1:]](scope, receive, send)
"""


def asgi(functions):
    return textwrap.dedent(ASGI) + textwrap.dedent(functions)


def test_asgi_the_status_decides(worker, file):
    w = worker(asgi("""
        async def by_status(scope, receive, send):
            status, a, *words = scope["query_string"].decode().split(",")
            database = await silver.database()
            database.execute("INSERT INTO t (a) VALUES (?)", (int(a),))
            await asyncio.to_thread(insert, int(a) + 100)
            if "raise" in words:
                raise KeyError("the application's own")
            if "swallow" in words:
                try:
                    async with silver.transaction():
                        raise KeyError("deep inside")
                except KeyError:
                    pass
            await start(send, int(status))
            await body(send)
        """))
    assert w.get("/by_status", method="POST", query="200,1").body == b"done" and rows(file) == [1, 101]
    assert w.get("/by_status", method="POST", query="404,2").status == 404
    assert "KeyError" in w.get("/by_status", method="POST", query="200,2,raise").trouble["message"]
    got = w.get("/by_status", method="POST", query="200,2,swallow")
    assert got.status is None and "deep inside" in got.trouble["message"]
    assert w.get("/by_status", method="POST", query="500,2,swallow").status == 500
    assert "UNIQUE" in w.get("/by_status", method="POST", query="200,1").trouble["message"]
    assert rows(file) == [1, 101]
    assert w.get("/by_status", method="POST", query="200,2").status == 200 and rows(file) == [1, 2, 101, 102]


def test_asgi_it_is_committed_before_the_head_and_before_the_end(worker, file, tmp_path):
    w = worker(asgi("""
        async def wait(name):
            while not os.path.exists(name):
                await asyncio.sleep(0.005)

        async def stream(scope, receive, send):
            await asyncio.to_thread(insert, 1)
            await start(send)
            await body(send, b"first", True)
            await wait("go")
            await asyncio.to_thread(insert, 2)
            await body(send, b"second", True)
            await body(send, b"")
            await wait("on")
            async with silver.transaction():
                await asyncio.to_thread(insert, 3)
            await asyncio.to_thread(insert, 4)
            if scope["query_string"]:
                raise KeyError("afterwards")
        """))
    call = w.begin("/stream", method="POST")
    w.next(lambda p: p["kind"] == DATA and p["word"] == HEAD)
    assert rows(file) == [1]
    (tmp_path / "go").write_text("")
    w.next(lambda p: p["kind"] == 9 and p["call"] == call)  # the end of the body
    assert rows(file) == [1, 2]
    (tmp_path / "on").write_text("")
    assert w.finish(call).trouble is None
    assert rows(file) == [1, 2, 3, 4]
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM t")
    got = w.get("/stream", method="POST", query="x")
    assert got.ended and got.trouble and rows(file) == [1, 2, 3]


def test_asgi_many_at_once(worker, file):
    """Each task waits for its turn to write, and the loop for nobody."""
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO t (a) VALUES (0)")
    w = worker(asgi("""
        async def add(scope, receive, send):
            database = await silver.database()
            (most,) = database.execute("SELECT max(a) FROM t").fetchone()
            await asyncio.sleep(0.002)
            database.execute("INSERT INTO t (a) VALUES (?)", (most + 1,))
            await start(send)
            await body(send)

        async def in_thread(scope, receive, send):
            await asyncio.to_thread(lambda: insert(rows()[-1] + 1))
            await start(send)
            await body(send)

        async def look(scope, receive, send):
            count = len(await asyncio.to_thread(rows))
            await start(send)
            await body(send, b"%d" % count)
        """))
    calls = []
    for _ in range(40):
        calls += [w.begin("/add", method="POST"), w.begin("/look"), w.begin("/in_thread", method="POST")]
    answers = [w.finish(call) for call in calls]
    assert all(each.status == 200 for each in answers), [each.trouble for each in answers if each.trouble][0]
    assert rows(file) == list(range(81))


def test_asgi_a_commit_that_fails_is_no_success(worker, file):
    w = worker(asgi("""
        async def dangling(scope, receive, send):
            (await silver.database()).execute("INSERT INTO t VALUES (1, 99)")
            try:
                await start(send)
            except Exception as error:
                assert "FOREIGN KEY" in str(error), error
                if not scope["query_string"]:
                    raise
                await start(send, int(scope["query_string"]))
            await body(send)
        """))
    assert "FOREIGN KEY" in w.get("/dangling", method="POST").trouble["message"]
    got = w.get("/dangling", method="POST", query="200")
    assert got.status is None and "FOREIGN KEY" in got.trouble["message"]
    assert w.get("/dangling", method="POST", query="500").status == 500
    assert rows(file) == []


def test_asgi_a_task_that_is_cancelled(worker, file):
    w = worker(asgi("""
        async def slow(scope, receive, send):
            await asyncio.to_thread(insert, 1)
            print("waits", flush=True)
            await asyncio.wait_for(asyncio.sleep(60), 0.05)
        """))
    assert "Timeout" in w.get("/slow", method="POST").trouble["message"]
    assert rows(file) == []


def test_asgi_a_client_that_goes_undoes_nothing(worker, file, tmp_path):
    w = worker(asgi("""
        async def slow(scope, receive, send):
            await asyncio.to_thread(insert, 1)
            while not os.path.exists("go"):
                await asyncio.sleep(0.005)
            await start(send)
            await body(send)
        """))
    call = w.begin("/slow", method="POST")
    w.put(kind=CANCEL, call=call, word=1)
    (tmp_path / "go").write_text("")
    w.finish(call)
    eventually(lambda: rows(file) == [1])


def test_asgi_the_loop_is_not_held_up(worker, file):
    w = worker(asgi("""
        async def wrong(scope, receive, send):
            try:
                with silver.transaction(durable=True):
                    pass
            except silver.Error as error:
                await start(send)
                await body(send, str(error).encode())
        """))
    assert b"durable" in w.get("/wrong").body


def test_asgi_mappers_belong_into_threads(worker, file):
    w = worker(asgi("""
        import silver.storm
        from silver import _database, _transaction

        async def wrong(scope, receive, send):
            for function in (silver.storm.store, lambda: _database.open(_transaction.needed(), _database.service())):
                try:
                    function()
                except silver.Error as error:
                    assert "hold up the loop" in str(error)
                else:
                    raise AssertionError
            store = await asyncio.to_thread(silver.storm.store)
            await asyncio.to_thread(store.execute, "INSERT INTO t (a) VALUES (1)")
            await start(send)
            await body(send)

        async def afterwards(scope, receive, send):
            await start(send)
            await body(send)
            await asyncio.to_thread(insert, 5)
            silver.transaction.before_commit(insert, 6)
        """))
    assert w.get("/wrong", method="POST").body == b"done" and rows(file) == [1]
    assert w.get("/afterwards", method="POST").trouble is None and rows(file) == [1, 5, 6]


def test_asgi_pathsend(worker, file, tmp_path):
    (tmp_path / "some.txt").write_text("some text")
    w = worker(asgi("""
        async def path(scope, receive, send):
            await asyncio.to_thread(insert, 1)
            await start(send)
            await asyncio.to_thread(insert, 2)
            await send({"type": "http.response.pathsend", "path": os.path.abspath("some.txt")})
        """))
    assert w.get("/path", method="POST").body == b"some text" and rows(file) == [1, 2]


def test_asgi_websockets_have_none_by_themselves(serve, tmp_path):
    import websocket

    manifest = ("[production]\napp_name = {name}\nversion = 1\nrunner = src/runner.py\nservice.sqlite =\n\n"
                "[slots]\n0 = 127.0.0.1:0\n")
    source = textwrap.dedent("""
        import silver

        with silver.transaction():
            silver.database().execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")

        async def application(scope, receive, send):
            if scope["type"] != "websocket":
                return
            await receive()
            await send({"type": "websocket.accept"})
            try:
                await silver.database()
            except silver.Error as error:
                await send({"type": "websocket.send", "text": str(error)})
            while (message := await receive())["type"] == "websocket.receive":
                async with silver.transaction():
                    database = await silver.database()
                    database.execute("INSERT INTO t VALUES (?)", (int(message["text"]),))
                await send({"type": "websocket.send", "text": "kept"})
        """)
    directory = lay_out(tmp_path / "app", "", manifest=manifest, files={"src/runner.py": source})
    site = serve(directory)
    socket = websocket.create_connection(f"ws://{site.host}:{site.port}/", timeout=20, http_no_proxy=["*"])
    assert "no transaction here" in socket.recv()
    for a in 1, 2:
        socket.send(str(a))
        assert socket.recv() == "kept" and rows(directory / "data/probe.sqlite") == list(range(1, a + 1))
    socket.close()


# ---- The samples of docs/python-transactions.md --------------------------------------------------------------------


def test_the_shop(silver, environment, serve, tmp_path):
    shutil.copytree(SAMPLES / "shop", tmp_path / "shop")
    for words in ("Emma", "2"), ("Ulysses", "1"):
        done = subprocess.run([silver, "run", str(tmp_path / "shop"), "restock", *words], env=environment, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    site = serve(tmp_path / "shop")

    def post(path, **fields):
        return site.get(path, "Content-Type: application/x-www-form-urlencoded", method="POST",
                        body=urllib.parse.urlencode(fields, doseq=True).encode())

    def stock():
        return json.loads(site.get("/stock").body)

    def journal():
        with sqlite3.connect(tmp_path / "shop/data/shop.sqlite") as connection:
            return [line for (line,) in connection.execute("SELECT line FROM journal ORDER BY id")]

    assert post("/order", title="Emma", buyer="ann").body == b"order 1\n"
    assert post("/order", title="Emma", buyer="bob").status == 201
    got = post("/order", title="Emma", buyer="cy")
    assert (got.status, got.body) == (409, b"sold out\n")
    assert stock() == {"Emma": 0, "Ulysses": 1} and site.get("/orders").body == b"ann\nbob\n"
    assert journal()[2:] == ["ann buys Emma", "bob buys Emma"]
    assert post("/order-many", title=["Emma", "Ulysses", "Ulysses"], buyer="cy").body == b"Ulysses\n"
    assert stock() == {"Emma": 0, "Ulysses": 0} and site.get("/orders").body == b"ann\nbob\ncy\n"
    assert journal()[4:] == ["no more Emma", "cy buys Ulysses", "no more Ulysses"]


def test_the_counter(serve, tmp_path):
    shutil.copytree(SAMPLES / "counter", tmp_path / "counter")
    site = serve(tmp_path / "counter")
    threads = [threading.Thread(target=site.get, args=("/",), kwargs={"method": "POST"}) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.get("/count").body == b"20\n"
    with site.connect() as connection:
        connection.send("GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"20\n" not in connection.pending:
            assert connection._more()
        assert site.get("/", method="POST").body == b"21\n"
        while b"21\n" not in connection.pending:
            assert connection._more()
