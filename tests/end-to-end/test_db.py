"""An application's database: tables from models, patches, `silver run DIR migrate`, `silver db`."""

import json
import os
import re
import shutil
import sqlite3
import subprocess

import pytest

from conftest import eventually

SOURCE = """
#include <silver/silver.h>
#define NOTE(F) F(id, integer, SL_PRIMARY_KEY) F(text, text, SL_REQUIRED) MORE(F)
SL_MODEL(note, NOTE);
static sl_response *notes(sl_request *req)
{
    return sl_json(req, 200, sl_rows(sl_find(note, sl_ascending(note_.id))));
}
SL_APPLICATION(app)
{
    sl_models(note_model);
    sl_route(app, "notes", "GET /", notes);
}
"""


def source(more=""):
    return SOURCE.replace("MORE(F)", more)


def asking(*services, store=""):
    lines = "".join(f"service.{service} =\n" for service in services)
    return f"[production]\napp_name = {{name}}\nrunner = src/{{name}}.c\n{lines}[slots]\n0 = 127.0.0.1:0\n{store}"


FIRST = "CREATE TABLE note (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL) STRICT;\n"
SECOND = "-- two\nINSERT INTO note (text) VALUES ('one;');\nINSERT INTO note (text) VALUES ('two');\n"


@pytest.fixture
def notes(app):
    return lambda files=(), **more: app(**{"source": source(), "manifest": asking("sqlite"), "files": files, **more})


@pytest.fixture
def shell(silver, environment):
    def run(*words, typed):
        return subprocess.run([silver, "db", *map(str, words)], input=typed, capture_output=True, text=True, timeout=60, env=environment)

    return run


def rows(directory, sql, name="probe"):
    with sqlite3.connect(directory / f"data/{name}.sqlite") as connection:
        return connection.execute(sql).fetchall()


def patch(directory, name, text):
    path = directory / "schema" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


# ---- Serving -----------------------------------------------------------------------------------------------------


def test_an_empty_database_is_made_from_the_models(notes, serve):
    directory = notes()
    for options in [(), ("--production",)]:
        server = serve(directory, *options)
        assert json.loads(server.get().body) == []
        server.stop()
    assert rows(directory, "SELECT number, summary FROM sl_patch") == [(0, "made from the models")]


def test_development_applies_patches_also_while_it_serves(notes, serve):
    directory = notes({"schema/001-notes.sql": FIRST})
    server = serve(directory)
    assert json.loads(server.get().body) == []
    server.wait_said(r"INFO\] store sqlite: schema/001-notes.sql: applied in \d+ ms")
    patch(directory, "002-two.sql", SECOND)
    eventually(lambda: [note["text"] for note in json.loads(server.get().body)] == ["one;", "two"], "the second patch")
    assert rows(directory, "SELECT number, summary FROM sl_patch ORDER BY number") == [(1, "notes"), (2, "two")]


def test_a_difference_is_a_page_until_it_is_mended(notes, serve):
    directory = notes({"schema/001-notes.sql": FIRST})
    server = serve(directory)
    (directory / "src/probe.c").write_text(source("F(rank, integer)"))
    page = eventually(lambda: (got := server.get()).status == 500 and got.body.decode(), "the page")
    assert "is not as the models want it" in page and "table note: column rank is missing" in page
    assert "silver db schema" in page
    patch(directory, "002-rank.sql", "ALTER TABLE note ADD COLUMN rank INTEGER")
    eventually(lambda: server.get().status == 200, "the new column")


def test_the_first_patch_is_noticed_though_there_was_no_folder(notes, serve):
    directory = notes()
    server = serve(directory)
    (directory / "src/probe.c").write_text(source("F(rank, integer)"))
    eventually(lambda: server.get().status == 500, "the page")
    for file in (directory / "data").glob("probe.sqlite*"):
        file.unlink()
    patch(directory, "001-notes.sql", FIRST.replace(") STRICT", ", rank INTEGER) STRICT"))
    eventually(lambda: server.get().status == 200, "the table")


def test_production_does_not_start_with_patches_missing(notes, serve):
    directory = notes({"schema/001-notes.sql": FIRST})
    serve(directory, "--production").stop()
    patch(directory, "002-two.sql", SECOND)
    patch(directory, "003-none.sql", "SELECT 1")
    server = serve(directory, "--production", ready=False)
    assert server.wait() == 1
    assert f"the database {directory}/data/probe.sqlite needs 2 patches" in server.said()
    assert "schema/002-two.sql" in server.said() and f"run `silver run {directory} migrate`" in server.said()
    assert rows(directory, "SELECT count(*) FROM note") == [(0,)]


def test_a_newer_database_is_refused(notes, serve, command):
    directory = notes({"schema/001-notes.sql": FIRST, "schema/002-two.sql": SECOND})
    assert command("run", directory, "migrate").returncode == 0
    (directory / "schema/002-two.sql").unlink()
    server = serve(directory, "--production", ready=False)
    assert server.wait() == 1
    assert "patch 2 (two) was applied to the store sqlite, and is not here" in server.said()
    assert "a newer one" in server.said()


def test_a_wrong_patch_is_named_with_its_line(notes, serve):
    directory = notes({"schema/001-notes.sql": FIRST, "schema/002-two.sql": SECOND + "INSERT INTO nowhere VALUES (1)"})
    server = serve(directory)
    page = server.get()
    assert page.status == 500 and b"schema/002-two.sql:4: " in page.body and b"nowhere" in page.body
    assert rows(directory, "SELECT count(*) FROM note") == [(0,)]
    patch(directory, "002-two.sql", SECOND)
    eventually(lambda: server.get().status == 200, "the mended patch")


@pytest.mark.parametrize("options", [(), ("--production",)])
def test_instances_that_start_together(notes, serve, options):
    files = {f"schema/{i:03}-more.sql": "INSERT INTO note (text) VALUES ('x')" for i in range(2, 30)}
    directory = notes({"schema/001-notes.sql": FIRST, **files})
    server = serve(directory, "--instances", "4", *options)
    assert len(json.loads(server.get().body)) == 28


def test_commands_find_the_database_as_serving_does(notes, serve, command):
    directory = notes({"schema/001-notes.sql": FIRST}, source=source().replace("SL_APPLICATION(app)\n{", """#include <stdio.h>
static int count(int argc, char **argv) { printf("%d\\n", (int)sl_count(sl_find(note))); return 0; }
SL_APPLICATION(app)
{
    sl_command(app, "count", count, "counts");"""))
    done = command("run", directory, "count")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    patch(directory, "002-two.sql", SECOND)
    done = command("run", "--production", directory, "count")
    assert done.returncode == 1 and "needs 1 patch\n" in done.stderr
    assert command("run", directory, "count").stdout == "2\n"


# ---- Migrating ---------------------------------------------------------------------------------------------------


def test_migrate_says_what_it_does(notes, command):
    directory = notes({"schema/001-notes.sql": FIRST, "schema/002-two.sql": SECOND})
    listed = command("run", directory)
    assert re.search(r"^  migrate +applies the patches", listed.stdout, re.M) and not (directory / "data/probe.sqlite").exists()
    done = command("run", "--production", directory, "migrate")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"schema/001-notes\.sql: applied in \d+ ms\nschema/002-two\.sql: applied in \d+ ms\n", done.stdout)
    again = command("run", directory, "migrate")
    assert (again.returncode, again.stdout) == (0, "nothing is missing\n")
    assert rows(directory, "SELECT text FROM note ORDER BY id") == [("one;",), ("two",)]


def test_migrate_fails_where_the_models_want_something_else(notes, command):
    directory = notes({"schema/001-notes.sql": "CREATE TABLE note (id INTEGER PRIMARY KEY)"})
    done = command("run", directory, "migrate")
    assert done.returncode == 1 and "applied" in done.stdout
    assert "table note: column text is missing" in done.stderr


def test_patches_that_do_not_fit_together(notes, command):
    directory = notes({"schema/001-notes.sql": FIRST, "schema/003-a.sql": "", "schema/003-b.sql": ""})
    done = command("run", directory, "migrate")
    assert done.returncode == 1
    assert "schema/003-a.sql and schema/003-b.sql have one number" in done.stderr
    assert "there is no patch 2, but schema/003-a.sql" in done.stderr
    assert "give the later one the next number" in done.stderr


def test_an_applications_own_migrate_comes_first(notes, app, command):
    directory = notes({"bin/migrate": "#!/bin/sh\necho mine\n"})
    (directory / "bin/migrate").chmod(0o755)
    assert command("run", directory, "migrate").stdout == "mine\n"
    nothing = app(directory="nothing")
    done = command("run", nothing, "migrate")
    assert done.returncode == 2 and 'has no command "migrate"' in done.stderr


# ---- Several databases -------------------------------------------------------------------------------------------

TWO = """
#include <silver/silver.h>
#define NOTE(F) F(id, integer, SL_PRIMARY_KEY) F(text, text, SL_REQUIRED)
SL_MODEL(note, NOTE, .store = "sqlite");
SL_MODEL(entry, NOTE, .store = "old-notes");
SL_APPLICATION(app) { sl_models(note_model, entry_model); }
"""


def test_named_databases(app, command):
    directory = app(source=TWO, manifest=asking("sqlite", "sqlite.old-notes"))
    done = command("run", directory, "migrate")
    assert done.returncode == 0, done.stderr
    assert rows(directory, "SELECT count(*) FROM note") == [(0,)]
    assert rows(directory, "SELECT count(*) FROM entry", name="old-notes") == [(0,)]
    told = json.loads(command("db", "schema", "--json", directory).stdout)
    assert [store["name"] for store in told["stores"]] == ["old-notes", "sqlite"] or \
        [store["name"] for store in told["stores"]] == ["sqlite", "old-notes"]
    one = json.loads(command("db", "schema", "--store", "old-notes", "--json", directory).stdout)
    assert one["stores"][0]["path"] == f"{directory}/data/old-notes.sqlite" and len(one["stores"]) == 1
    done = command("db", directory)
    assert done.returncode == 1 and "has several stores: sqlite and old-notes\nsay which: --store sqlite\n" in done.stderr


def test_the_limits_of_the_store(notes, serve):
    directory = notes(manifest=asking("sqlite", store="[store]\nstatements = 1\n"), source=source().replace(
        "return sl_json(", "sl_count(sl_find(note)); sl_count(sl_find(note)); return sl_json("))
    server = serve(directory)
    page = server.get()
    assert page.status == 500 and b"more than 1 statements" in page.body


def test_what_is_told_names_store_directory_and_command(app, command):
    directory = app(source=TWO, manifest=asking("sqlite", "sqlite.old-notes"))
    patch(directory, "001-a.sql", "SELECT 1;")
    patch(directory, "002-b.sql", "-- store: nope\nSELECT 1;")
    patch(directory, "003-c.postgres.sql", "-- store: old-notes\nSELECT 1;")
    told = command("run", directory, "migrate").stderr
    assert "001-a.sql does not say for which store it is: begin it with `-- store: sqlite` or `-- store: old-notes`\n" in told
    assert "002-b.sql is for the store nope, which is not there: there are sqlite and old-notes\n" in told
    assert "has no file beside it for the store old-notes: write schema/003-c.sqlite.sql\n" in told
    assert "`service.sqlite.NAME` the store NAME" in told and "without gaps" not in told
    shutil.rmtree(directory / "schema")

    made = command("run", directory, "migrate")
    assert made.stdout == "store sqlite: 1 table made from the models\nstore old-notes: 1 table made from the models\n"
    (directory / "src/probe.c").write_text(TWO.replace("SL_REQUIRED)", "SL_REQUIRED) F(more, text)"))
    told = command("run", directory, "migrate").stderr
    assert f"`silver db schema --difference --store sqlite {directory} | silver db --store sqlite {directory}`" in told
    patch(directory, "001-a.sql", '-- store: sqlite\nCREATE TABLE "note" (id INTEGER PRIMARY KEY)')
    told = command("run", directory, "migrate").stderr
    assert f"`silver run {directory} migrate --record 1` writes it down as applied" in told


def test_tables_that_were_there_before_the_first_patch(notes, command):
    """Made by hand from what `silver db schema` prints; then the first patch has the next change only."""
    directory = notes()
    tables = command("db", "schema", "--difference", directory).stdout
    connection = sqlite3.connect(directory / "data/probe.sqlite")
    connection.executescript(tables)
    connection.close()
    patch(directory, "001-more.sql", "ALTER TABLE note ADD COLUMN more TEXT")
    done = command("run", directory, "migrate")
    assert done.returncode == 1
    assert "001-more.sql is the first patch, but the database has the table note, which no patch makes" in done.stderr
    patch(directory, "002-more.sql", "ALTER TABLE note ADD COLUMN more TEXT")
    patch(directory, "001-more.sql", tables)
    (directory / "schema/001-more.sql").rename(directory / "schema/001-notes.sql")
    done = command("run", directory, "migrate")
    assert done.returncode == 1 and f"`silver run {directory} migrate --record 1`" in done.stderr
    for words in [("--record",), ("--record", "x"), ("--record", "0"), ("1",)]:
        assert command("run", directory, "migrate", *words).returncode == 2
    done = command("run", directory, "migrate", "--record", "1")
    assert (done.returncode, done.stdout) == (0, "schema/001-notes.sql: written down as applied\n")
    assert command("run", directory, "migrate").returncode == 0
    (directory / "data/probe.sqlite").unlink()
    assert command("run", directory, "migrate").stdout.count("applied in") == 2  # and a new database has all of it


def test_a_path_that_is_empty(notes, command):
    directory = notes()
    for words in [("run", directory, "migrate"), ("db", directory)]:
        done = command(*words, env={"CONFIG_SQLITE_PATH": ""})
        assert done.returncode == 1 and "CONFIG_SQLITE_PATH is empty" in done.stderr
        assert f"then it is {directory}/data/probe.sqlite" in done.stderr


# ---- silver db ---------------------------------------------------------------------------------------------------


def test_schema_prints_what_is_wanted_and_what_is_different(notes, command):
    directory = notes()
    first = command("db", "schema", directory)
    assert first.returncode == 1 and "-- It is different. This makes it so:" in first.stdout
    assert not rows(directory, "SELECT * FROM sqlite_schema")  # nothing was changed
    with sqlite3.connect(directory / "data/probe.sqlite") as connection:
        connection.executescript(first.stdout[first.stdout.index("-- It is different"):])
    same = command("db", "schema", directory)
    assert same.returncode == 0 and same.stdout.endswith("\n-- It is so.\n")
    assert 'CREATE TABLE "note" (\n' in same.stdout
    patch(directory, "001-more.sql", "SELECT 1")
    told = json.loads(command("db", "schema", "--json", directory).stdout)["stores"][0]
    assert told["same"] is False and told["difference"] == "" and told["dialect"] == "sqlite"
    assert told["patches"] == {"applied": [], "missing": [{"number": 1, "name": "schema/001-more.sql"}]}


def test_the_difference_alone_is_the_next_patch(notes, command):
    directory = notes()
    difference = command("db", "schema", "--difference", directory)
    assert difference.returncode == 1 and difference.stdout.startswith('-- table note is missing\nCREATE TABLE "note" (\n')
    patch(directory, "001-notes.sql", difference.stdout)
    missing = command("db", "schema", "--difference", directory)
    assert missing.stdout == difference.stdout and "--   schema/001-notes.sql\n" in missing.stderr
    assert command("run", directory, "migrate").returncode == 0
    same = command("db", "schema", "--difference", directory)
    assert (same.returncode, same.stdout, same.stderr) == (0, "", "")
    assert command("db", "schema", "--json", "--difference", directory).returncode == 2
    assert command("db", "--difference", directory).returncode == 2


def test_the_difference_of_one_of_several_databases(app, command):
    directory = app(source=TWO, manifest=asking("sqlite", "sqlite.old-notes"))
    one = command("db", "schema", "--difference", "--store", "old-notes", directory)
    assert one.stdout.startswith('-- store: old-notes\n-- table entry is missing\nCREATE TABLE "entry" (\n')
    both = command("db", "schema", "--difference", directory).stdout
    assert one.stdout in both and '-- store: sqlite\n-- table note is missing\nCREATE TABLE "note" (\n' in both


def test_schema_of_an_application_without_models(app, command):
    directory = app(source=source().replace("sl_models(note_model);", ""), manifest=asking("sqlite"))
    done = command("db", "schema", directory)
    assert (done.returncode, done.stdout) == (0, "-- probe has neither models nor patches\n")
    done = command("db", "schema", app(directory="nothing"))
    assert done.returncode == 1 and "there is no database here" in done.stderr


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="sqlite3 is not installed")
def test_the_shell_of_sqlite(notes, command, shell):
    directory = notes({"schema/001-notes.sql": FIRST, "schema/002-two.sql": SECOND})
    command("run", directory, "migrate")
    done = shell(directory, typed="SELECT text FROM note ORDER BY id;\n")
    assert (done.returncode, done.stdout) == (0, "one;\ntwo\n")
    assert shell("--store", "sqlite", directory, typed=".exit 7\n").returncode == 7


def test_what_a_shell_needs(notes, app, command):
    done = command("db", app(directory="nothing"))
    assert done.returncode == 1 and "service.sqlite =" in done.stderr
    directory = notes()
    done = command("db", "--store", "postgres", directory)
    assert done.returncode == 1 and "has no store postgres\nit has sqlite\n" in done.stderr
    done = command("db", directory, env={"PATH": "/nowhere"})
    assert done.returncode == 1 and "install it: `apt install sqlite3`" in done.stderr
    for words in [("db", "a", "b"), ("db", "--json", directory), ("db", "schema", "a", "b")]:
        assert command(*words).returncode == 2


@pytest.mark.skipif(not os.path.isdir("/usr/lib/postgresql"), reason="PostgreSQL is not installed")
def test_postgres(app, command, serve, shell):
    directory = app(source=source(), manifest=asking("postgres"), files={
        "schema/001-notes.sqlite.sql": FIRST,
        "schema/001-notes.postgres.sql": "CREATE TABLE note (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, "
                                         "text text NOT NULL)",
        "schema/002-two.sql": SECOND})
    done = command("run", directory, "migrate")
    assert done.returncode == 0, done.stderr
    assert "schema/001-notes.postgres.sql: applied" in done.stdout
    same = command("db", "schema", directory)
    assert same.returncode == 0 and "GENERATED BY DEFAULT AS IDENTITY" in same.stdout, same.stdout
    if shutil.which("psql"):
        done = shell(directory, typed="\\pset format unaligned\n\\pset tuples_only\nSELECT text FROM note ORDER BY id;\n")
        assert done.returncode == 0 and "one;\ntwo\n" in done.stdout
    assert [note["text"] for note in json.loads(serve(directory, "--production").get().body)] == ["one;", "two"]
