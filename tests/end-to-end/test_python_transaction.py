"""The transaction of a request in Python: WSGI and ASGI, Django, Storm and plain SQL, SQLite and PostgreSQL, and kill -9."""

import http.cookiejar
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import textwrap
import threading
import urllib.parse
import urllib.request

import pytest

from conftest import PROJECT, eventually, lay_out
from python_worker import BODY, CANCEL, DATA, HEAD, RESULT, TELL, Worker

SAMPLES = PROJECT / "docs" / "samples" / "python-transactions"
APPLICATIONS = pathlib.Path(__file__).resolve().parent / "applications"


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

    manifest = "[production]\napp_name = {name}\nversion = 1\nrunner = src/runner.py\nservice.sqlite =\n\n[slots]\n0 = 127.0.0.1:0\n"
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


# ---- Mappers -------------------------------------------------------------------------------------------------------

MAPPERS = """
    import os, signal
    import django
    from django.conf import settings

    import silver

    settings.configure(
        SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DEFAULT_AUTO_FIELD="django.db.models.AutoField", USE_TZ=True,
        DATABASES={"default": {"ENGINE": "silver.django.@engine@"}}, DEBUG=False)
    django.setup()

    from django.db import IntegrityError, connection, models, transaction
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path
    from storm.locals import Int, Unicode

    class Note(models.Model):
        text = models.TextField(unique=True)
        when = models.DateTimeField(auto_now_add=True)
        data = models.JSONField(default=dict)
        class Meta:
            app_label, db_table = "probe", "note"

    class Tag:
        __storm_table__ = "tag"
        id = Int(primary=True)
        text = Unicode()

    def tag(text):
        made = Tag()
        made.text = text
        store = silver.storm.store("@engine@")
        store.add(made)
        return made

    def plain(text):
        mark = "%s" if "@engine@" == "postgres" else "?"
        silver.database("@engine@").cursor().execute("INSERT INTO plain (text) VALUES (" + mark + ")", (text,))

    def set_up(serial):
        with silver.transaction():
            cursor = silver.database("@engine@").cursor()
            cursor.execute("CREATE TABLE IF NOT EXISTS tag (id " + serial + " PRIMARY KEY, text TEXT NOT NULL)")
            cursor.execute("CREATE TABLE IF NOT EXISTS plain (text TEXT NOT NULL)")
        if "note" not in connection.introspection.table_names():
            with connection.schema_editor() as editor:
                editor.create_model(Note)

    set_up("serial" if "@engine@" == "postgres" else "INTEGER")

    def all_three(name):
        plain(name + " plain")
        Note.objects.create(text=name, data={"name": name})
        return tag(name + " tag")

    def everything():
        cursor = silver.database("@engine@").cursor()
        cursor.execute("SELECT text FROM plain UNION ALL SELECT text FROM note UNION ALL SELECT text FROM tag")
        return sorted(text for (text,) in cursor)

    # -- views

    def write(request):
        all_three(request.GET["name"])
        if "fail" in request.GET:
            raise RuntimeError("after all three wrote")
        if "storm" in request.GET:
            silver.storm.store("@engine@").rollback()
        if "kill" in request.GET:
            silver.storm.store("@engine@").flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return HttpResponse("written", status=int(request.GET.get("status", "200")))

    def look(request):
        return JsonResponse({"all": everything()})

    def wipe(request):
        for table in "plain", "note", "tag":
            connection.cursor().execute("DELETE FROM " + table)
        return HttpResponse("empty")

    def see_each_other(request):
        made = all_three("seen")
        silver.storm.store("@engine@").flush()
        assert made.id is not None
        Note.objects.filter(text="seen").update(text="changed")
        assert everything() == ["changed", "seen plain", "seen tag"], everything()
        note = Note.objects.get(text="changed")
        assert note.data == {"name": "seen"} and note.when.tzinfo is not None
        cursor = silver.database("@engine@").cursor()
        cursor.execute("UPDATE tag SET text = 'by sql'")
        store = silver.storm.store("@engine@")
        store.invalidate()
        assert made.text == "by sql" and store.find(Tag, text="by sql").one() is made
        connection.cursor().execute("DELETE FROM plain")
        return HttpResponse("undone", status=400)

    def savepoints(request):
        all_three("outer")
        told = []
        transaction.on_commit(lambda: plain("committed"))
        transaction.on_commit(lambda: told.append(1))
        try:
            with transaction.atomic():
                all_three("inner")
                transaction.on_commit(lambda: plain("never"))
                Note.objects.create(text="outer")
        except IntegrityError:
            pass
        with transaction.atomic():
            with transaction.atomic(savepoint=False):
                all_three("second")
        try:
            with silver.transaction.savepoint():
                all_three("third")
                raise KeyError
        except KeyError:
            pass
        sid = transaction.savepoint()
        all_three("fourth")
        transaction.savepoint_rollback(sid)
        transaction.savepoint_commit(sid)
        assert not told
        store = silver.storm.store("@engine@")
        assert sorted(store.find(Tag).values(Tag.text)) == ["outer tag", "second tag"]
        assert connection.in_atomic_block and not connection.get_autocommit()
        return JsonResponse({"all": everything()})

    def swallowed(request):
        all_three("a")
        try:
            with transaction.atomic(savepoint=False):
                Note.objects.create(text="a")
        except IntegrityError:
            pass
        return HttpResponse("all is well")

    def not_here(request):
        said = []
        def refused(function, *arguments, **keywords):
            try:
                function(*arguments, **keywords)
            except Exception as error:
                said.append(type(error).__name__)
        refused(transaction.set_autocommit, False)
        refused(transaction.commit)
        refused(transaction.rollback)
        def durable():
            with transaction.atomic(durable=True):
                pass
        refused(durable)
        store = silver.storm.store("@engine@")
        all_three("kept")
        store.commit()
        connection.close()
        assert everything() == ["kept", "kept plain", "kept tag"]
        return JsonResponse({"said": said})

    def stream(request):
        Note.objects.bulk_create(Note(text="%05d" % i) for i in range(5000))
        return StreamingHttpResponse((note.text + " " for note in Note.objects.order_by("text").iterator()))

    def stored(request):
        made = tag("kept")
        silver.storm.store("@engine@").flush()
        def lines():
            yield made.text + " "
            try:
                made.text
            except Exception as error:
                yield type(error).__name__ + " "
            yield silver.storm.store("@engine@").find(Tag).one().text
        return StreamingHttpResponse(lines())

    urlpatterns = [path(each.__name__, each) for each in (
        write, look, wipe, see_each_other, savepoints, swallowed, not_here, stream, stored)]

    from django.core.@kind@ import get_@kind@_application
    application = get_@kind@_application()
"""

MANIFEST = "[production]\napp_name = {{name}}\nversion = 1\nrunner = src/runner.py\n{}\n[slots]\n0 = 127.0.0.1:0\n"


def mappers(directory, engine, kind="wsgi", source=MAPPERS):
    source = textwrap.dedent(source).replace("@engine@", engine).replace("@kind@", kind)
    manifest = MANIFEST.format(f"service.{engine} =\n")
    directory = lay_out(directory, "", manifest=manifest, files={"src/runner.py": source})
    (directory / "src/probe.c").unlink()
    return directory


@pytest.fixture(scope="module")
def sites(serve_module, tmp_path_factory):
    """One for each database and interface, for all tests."""
    made = {}

    def site(what):
        engine, kind = what.split("-")
        if engine == "postgres" and not os.path.isdir("/usr/lib/postgresql"):
            pytest.skip("PostgreSQL is not installed")
        if what not in made:
            made[what] = serve_module(mappers(tmp_path_factory.mktemp(what) / "app", engine, kind), "--production")
        return made[what]

    return site


@pytest.fixture(params=["sqlite-wsgi", "sqlite-asgi", "postgres-wsgi"])
def site(request, sites):
    site = sites(request.param)
    assert site.get("/wipe").body == b"empty"
    return site


def everything(site):
    return json.loads(site.get("/look").body)["all"]


def test_mappers_commit_together_or_not_at_all(site):
    assert site.get("/write?name=a").body == b"written"
    there = ["a", "a plain", "a tag"]
    assert everything(site) == there
    for query, status in ("name=b&fail=1", 500), ("name=b&status=404", 404), ("name=b&storm=1", 500), ("name=a", 500):
        assert site.get("/write?" + query).status == status
        assert everything(site) == there
    assert site.get("/write?name=b&kill=1").status == 502
    assert eventually(lambda: site.get("/look").status == 200 and everything(site)) == there
    assert site.get("/write?name=b").status == 200
    assert everything(site) == ["a", "a plain", "a tag", "b", "b plain", "b tag"]
    site.wait_said("after all three wrote")


def test_mappers_see_what_the_others_do(site):
    assert site.get("/see_each_other").body == b"undone" and everything(site) == []


def test_savepoints_of_all(site):
    inside = ["outer", "outer plain", "outer tag", "second", "second plain", "second tag"]
    got = site.get("/savepoints")
    assert got.status == 200 and json.loads(got.body)["all"] == inside
    assert everything(site) == sorted([*inside, "committed"])


def test_what_django_has_doomed_is_not_committed(site):
    assert site.get("/swallowed").status == 500 and everything(site) == []


def test_nobody_ends_it_for_the_others(site):
    got = site.get("/not_here")
    assert got.status == 200, got
    assert json.loads(got.body)["said"] == ["TransactionManagementError"] * 3 + ["RuntimeError"]
    assert everything(site) == ["kept", "kept plain", "kept tag"]


@pytest.mark.parametrize("site", ["sqlite-wsgi", "postgres-wsgi"], indirect=True)  # in ASGI Django refuses it by itself
def test_a_stream_reads_on_after_the_commit(site):
    assert site.get("/stream").body.split() == [b"%05d" % i for i in range(5000)]
    assert len(everything(site)) == 5000
    first, second, third = site.get("/stored").body.decode().split()
    assert (first, third) == ("kept", "kept") and second.endswith("Error")


def test_storm_at_the_same_table(serve, tmp_path):
    """A row that Django makes is Storm's object, and the other way round."""
    source = MAPPERS.replace('"tag"', '"note"')
    extra = '''
    def same(request):
        note = Note.objects.create(text="by django")
        store = silver.storm.store()
        found = store.get(Tag, note.id)
        assert found.text == "by django"
        found.text = "by storm"
        store.flush()
        note.refresh_from_db()
        return HttpResponse(note.text)

    urlpatterns.append(path("same", same))
'''
    source = source.replace("    from django.core.@kind@", extra + "    from django.core.@kind@")
    assert serve(mappers(tmp_path / "app", "sqlite", source=source), "--production").get("/same").body == b"by storm"


# ---- A whole application of Django, with its admin -----------------------------------------------------------------


@pytest.mark.parametrize("kind, engine", [("django", "sqlite"), ("django_asgi", "sqlite"), ("django", "postgres")])
def test_django_with_its_admin(kind, engine, silver, environment, serve, tmp_path):
    if engine == "postgres" and not os.path.isdir("/usr/lib/postgresql"):
        pytest.skip("PostgreSQL is not installed")
    directory = tmp_path / "app"
    shutil.copytree(APPLICATIONS / kind, directory)
    settings = directory / "lib/python/library/settings.py"
    text = settings.read_text().replace("django.db.backends.sqlite3", "silver.django.sqlite")
    settings.write_text(text.replace("django.db.backends.postgresql", "silver.django.postgres"))
    manifest = directory / "app.ini"
    manifest.write_text(manifest.read_text().replace("service.sqlite", f"service.{engine}"))

    def manage(*arguments, **more):
        done = subprocess.run([silver, "run", str(directory), "manage.py", *arguments], env={**environment, **more},
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    manage("migrate", "--verbosity", "0")
    manage("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.org", DJANGO_SUPERUSER_PASSWORD="correct horse")
    server = serve(directory)
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))

    def post(path, **fields):
        page = opener.open(server.url + path, timeout=30).read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        return opener.open(urllib.request.Request(server.url + path, data, {"Referer": server.url + path}), timeout=30).read().decode()

    assert "Site administration" in post("/admin/login/?next=/admin/", username="ada", password="correct horse")
    assert "was added successfully" in post("/admin/library/book/add/", title="The Sea", author="J. Banville")
    assert json.loads(server.get("/books.json").body) == {"books": [{"title": "The Sea", "author": "J. Banville"}]}
    assert "The Sea" in manage("dumpdata", "library")


def test_what_tests_of_django_do(silver, environment, tmp_path):
    """A test database of its own, with plain Django's transactions; also within one of ours."""
    directory = mappers(tmp_path / "app", "sqlite")
    script = textwrap.dedent("""
        import sys
        import runner
        from django.db import connection
        from django.test import TestCase, TransactionTestCase
        from django.test.utils import get_runner, setup_test_environment
        import silver

        class Plain(TestCase):
            def test_it(self):
                with connection.schema_editor() if False else connection.cursor() as cursor:
                    cursor.execute("CREATE TABLE x (a)")
                    assert connection.settings_dict["NAME"] != silver.config("sqlite_path")
                with silver.transaction():
                    with connection.cursor() as cursor:
                        cursor.execute("INSERT INTO x VALUES (1)")
                    assert not silver.database().execute("SELECT 1 FROM sqlite_master WHERE name = 'x'").fetchone()

        from django.test.runner import DiscoverRunner
        class Runner(DiscoverRunner):
            def build_suite(self, *arguments, **keywords):
                import unittest
                return unittest.defaultTestLoader.loadTestsFromTestCase(Plain)

        sys.exit(Runner(verbosity=0).run_tests([]))
        """)
    (directory / "bin").mkdir()
    (directory / "bin/check.py").write_text(script)
    done = subprocess.run([silver, "run", str(directory), "check"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "OK" in done.stderr, done.stdout + done.stderr


# ---- PostgreSQL ----------------------------------------------------------------------------------------------------

POSTGRES = """
    import os, signal
    import psycopg2, psycopg2.extras
    import silver
    from silver import transaction

    with silver.transaction():
        silver.database("postgres").cursor().execute("CREATE TABLE IF NOT EXISTS t (a integer PRIMARY KEY)")
        if "sqlite" in os.environ.get("BOTH", ""):
            silver.database("sqlite").execute("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY)")

    def insert(a, name="postgres"):
        mark = "%s" if name == "postgres" else "?"
        silver.database(name).cursor().execute("INSERT INTO t VALUES (" + mark + ")", (a,))

    def rows(name="postgres"):
        cursor = silver.database(name).cursor()
        cursor.execute("SELECT a FROM t ORDER BY a")
        return [a for (a,) in cursor]

    def application(environ, start_response):
        status, body = globals()[environ["PATH_INFO"][1:]](environ["QUERY_STRING"])
        start_response(str(status) + " Said", [("Content-Type", "text/plain")])
        return [str(body).encode()]
"""


def postgres_app(directory, functions, services=("postgres",)):
    if not os.path.isdir("/usr/lib/postgresql"):
        pytest.skip("PostgreSQL is not installed")
    source = textwrap.dedent(POSTGRES) + textwrap.dedent(functions)
    if "sqlite" in services:
        source = 'import os\nos.environ["BOTH"] = "sqlite"\n' + source
    manifest = MANIFEST.format("".join(f"service.{each} =\n" for each in services))
    directory = lay_out(directory, "", manifest=manifest, files={"src/runner.py": source})
    (directory / "src/probe.c").unlink()
    return directory


def test_postgres_by_psycopg2(serve, tmp_path):
    site = serve(postgres_app(tmp_path / "app", """
        def failed_statement(query):
            insert(1)
            try:
                insert(1)
            except psycopg2.IntegrityError:
                pass  # and PostgreSQL will answer COMMIT with ROLLBACK
            return 200, "all is well"

        def contained(query):
            insert(2)
            try:
                with transaction.savepoint():
                    insert(2)
            except psycopg2.IntegrityError:
                pass
            database = silver.database()
            with database.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
                cursor.execute("SELECT a AS x FROM t")
                assert cursor.fetchone()["x"] == 2
            psycopg2.extras.execute_values(database.cursor(), "INSERT INTO t VALUES %s", [(3,), (4,)])
            with database:
                insert(5)
            database.commit()
            named = database.cursor("named", withhold=True)
            named.execute("SELECT a FROM t")
            assert len(named.fetchall()) == 4
            return 200, database.get_parameter_status("TimeZone")

        def refused(query):
            said = []
            for function in (lambda: silver.database().cursor().execute("COMMIT"), lambda: silver.database().set_session(readonly=True),
                             lambda: setattr(silver.database(), "autocommit", True), lambda: silver.database().tpc_begin("x")):
                try:
                    function()
                except silver.Error:
                    said.append("refused")
            insert(6)
            try:
                silver.database().cursor().execute("SELECT 1; COMMIT")
            except Exception as error:
                said.append("failed")
            try:
                insert(7)
            except silver.Error:
                said.append("doomed")
            return 500, said

        def look(query):
            return 200, rows()

        def isolation(query):
            with silver.transaction(serializable=True):
                cursor = silver.database().cursor()
            cursor.execute("SHOW transaction_isolation")
            return 200, cursor.fetchone()[0]

        def too_late(query):
            rows()
            with silver.transaction(serializable=True):
                pass

        def pid(query):
            silver.database().cursor().execute("SET TIME ZONE 'Asia/Tokyo'")
            return 200, silver.database().get_backend_pid()

        def kill(query):
            # Somebody else's connection: our own is used again, and has to notice.
            other = psycopg2.connect(**__import__("silver._postgres")._postgres.parameters())
            other.autocommit = True
            cursor = other.cursor()
            cursor.execute("SELECT pg_terminate_backend(%s)", (int(query),))
            while cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (int(query),)) or cursor.fetchone():
                pass
            other.close()
            return 200, ""

        def killed_inside(query):
            insert(100)
            kill(silver.database().get_backend_pid())
            try:
                insert(101)
            except psycopg2.Error:
                pass
            return 200, "all is well"
        """), "--production")
    assert site.get("/failed_statement").status == 500
    site.wait_said("can only roll the transaction back")
    assert site.get("/contained").body == b"UTC"
    assert site.get("/look").body == b"[2, 3, 4, 5]"
    assert site.get("/isolation").body == b"serializable"
    assert site.get("/too_late").status == 500
    assert site.get("/refused").body == b"['refused', 'refused', 'refused', 'refused', 'doomed']"
    pid = site.get("/pid").body
    assert site.get("/pid").body == pid
    assert site.get("/kill?" + pid.decode()).status == 200
    assert site.get("/look").status == 200 and site.get("/pid").body != pid
    assert site.get("/killed_inside").status == 500
    assert site.get("/look").status == 200


TWO_PHASE = """
    from silver import _database, _postgres, _sqlite, _two_phase

    def both(query):
        a, *step = query.split(",")
        insert(int(a), "sqlite")
        insert(int(a), "postgres")
        die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        if step == ["prepare"]:
            _postgres.Connection._prepare = die
        if step == ["prepared"]:
            _sqlite.Connection._commit = die
        if step == ["decided"]:
            _two_phase._finish = die
        if step == ["done"]:
            silver.transaction.on_commit(die)
        if step == ["fail"]:
            raise KeyError
        if step == ["dangling"]:
            def fail(connection):
                raise OSError("disk")
            keep, _sqlite.Connection._commit = _sqlite.Connection._commit, fail
            silver.transaction.on_abort(lambda: setattr(_sqlite.Connection, "_commit", keep))
        return 200, "both"

    def one(query):
        rows("sqlite")
        insert(int(query))
        return 200, "one"

    def look(query):
        return 200, (rows("postgres"), rows("sqlite"))

    def left(query):
        cursor = silver.database("postgres").cursor()
        cursor.execute("SELECT count(*) FROM pg_prepared_xacts")
        try:
            decided = silver.database("sqlite").execute("SELECT count(*) FROM sl_decision WHERE decision = 'commit'").fetchone()[0]
        except Exception:
            decided = None
        return 200, (cursor.fetchone()[0], decided)
"""


def test_two_databases_are_committed_together(serve, tmp_path):
    site = serve(postgres_app(tmp_path / "app", TWO_PHASE, ("postgres", "sqlite")), "--production")

    def look():
        eventually(lambda: site.get("/look").status == 200)
        return site.get("/look").body

    assert site.get("/both?1").body == b"both" and look() == b"([1], [1])"
    assert site.get("/both?2,fail").status == 500 and look() == b"([1], [1])"
    assert site.get("/both?1").status == 500 and look() == b"([1], [1])"
    assert site.get("/both?2,dangling").status == 500 and look() == b"([1], [1])"
    assert site.get("/left").body == b"(0, 1)"
    assert site.get("/one?3").status == 200 and look() == b"([1, 3], [1])"
    assert site.get("/both?2").status == 200 and look() == b"([1, 2, 3], [1, 2])"
    assert site.get("/left").body == b"(0, 1)"  # the row of the one before has gone


def test_kill_9_at_each_step_of_two_phases(serve, tmp_path):
    site = serve(postgres_app(tmp_path / "app", TWO_PHASE, ("postgres", "sqlite")), "--production")
    there = []
    for number, (step, kept) in enumerate([("prepare", False), ("prepared", False), ("decided", True), ("done", True)]):
        assert site.get(f"/both?{number},{step}").status == 502
        there = sorted(there + [number] if kept else there)
        eventually(lambda: site.get("/look").status == 200)
        assert site.get("/look").body.decode() == str((there, there)), step
        assert site.get("/left").body.startswith(b"(0, "), step
        there.append(100 + number)
        assert site.get(f"/both?{100 + number}").status == 200
        assert site.get("/left").body == b"(0, 1)", step


# ---- The samples of docs/python-transactions.md --------------------------------------------------------------------


def test_the_shop(silver, environment, serve, tmp_path):
    shutil.copytree(SAMPLES / "shop", tmp_path / "shop")
    for words in ("Emma", "2"), ("Ulysses", "1"):
        done = subprocess.run([silver, "run", str(tmp_path / "shop"), "restock", *words], env=environment, capture_output=True, text=True,
                              timeout=60)
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
