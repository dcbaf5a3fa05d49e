"""PostgreSQL in the transaction of a request by psycopg2, and together with SQLite: both or none, also after kill -9."""

import contextlib
import json
import os
import signal
import textwrap
import threading

import pytest

from conftest import eventually, lay_out

MANIFEST = "[production]\napp_name = {{name}}\nversion = 1\nrunner = src/runner.py\n{}\n[slots]\n0 = 127.0.0.1:0\n"


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
            database = silver.database()
            for function in (lambda: database.cursor().execute("COMMIT"), lambda: database.set_session(readonly=True),
                             lambda: setattr(database, "autocommit", True), lambda: database.tpc_begin("x")):
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
        if step == ["unheard"]:
            def lose(connection, gid):
                _postgres.Connection._prepare = prepare
                prepare(connection, gid)
                raise OSError("the answer was lost")
            prepare, _postgres.Connection._prepare = _postgres.Connection._prepare, lose
        if step == ["unknown"]:
            def fail(connection):
                _sqlite.Connection._commit = commit
                connection._rollback()
                raise OSError("disk")
            commit, _sqlite.Connection._commit = _sqlite.Connection._commit, fail
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
            rows = silver.database("sqlite").execute("SELECT count(*) FROM sl_decision WHERE decision = 'commit'")
            decided = rows.fetchone()[0]
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


@pytest.mark.parametrize("step", ["unheard", "unknown"])
def test_what_may_be_prepared_is_looked_after(serve, tmp_path, step):
    site = serve(postgres_app(tmp_path / "app", TWO_PHASE, ("postgres", "sqlite")), "--production")
    assert site.get(f"/both?1,{step}").status == 500
    eventually(lambda: site.get("/left").body.startswith(b"(0, "))
    assert site.get("/look").body == b"([], [])"
    assert site.get("/both?1").body == b"both"


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


def test_kill_9_while_many_commit_to_both(serve, tmp_path):
    """Whatever was being done when a worker is killed: both have the same afterwards, and all of what was acknowledged."""
    directory = postgres_app(tmp_path / "app", TWO_PHASE + """
    def pid(query):
        return 200, os.getpid()
""", ("postgres", "sqlite"))
    manifest = directory / "app.ini"
    manifest.write_text(manifest.read_text() + "\n[workers]\nprocesses = 2\nthreads = 3\n")
    site = serve(directory, "--production")
    numbers, kept, over = iter(range(1, 1_000_000)), set(), threading.Event()

    def write():
        while not over.is_set():
            number = next(numbers)
            if site.get(f"/both?{number}").status == 200:
                kept.add(number)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            before = len(kept)
            eventually(lambda: len(kept) > before + 20)
            answer = site.get("/pid")
            if answer.status == 200:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(answer.body), signal.SIGKILL)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    eventually(lambda: site.get("/look").status == 200)
    # Each of the two workers finishes, when it first uses a database, what the one before it has left.
    eventually(lambda: site.get("/left").body.startswith(b"(0, "))
    in_postgres, in_sqlite = json.loads(site.get("/look").body.decode().replace("(", "[").replace(")", "]"))
    assert in_postgres == in_sqlite and kept <= set(in_sqlite)
