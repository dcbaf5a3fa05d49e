"""What app.ini asks for, as it is given in development: files, a secret, PostgreSQL."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from conftest import eventually
from test_serve import alive, free_ports

SOURCE = """
#include <silver/silver.h>
static const char *shown(sl_app *app, const char *name)
{
    const char *value = sl_config(app, name);
    return value ? value : "(none)";
}
static sl_response *config(sl_request *req)
{
    sl_app *app = sl_request_app(req);
    sl_response *res = sl_json_pack(req, 200, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}",
        "dbname", shown(app, "PG_DBNAME"), "user", shown(app, "PG_USER"), "password", shown(app, "PG_PASSWORD"),
        "host", shown(app, "PG_HOST"), "port", shown(app, "PG_PORT"), "secret", shown(app, "SECRET"),
        "sqlite", shown(app, "SQLITE_PATH"), "files", shown(app, "FILES"));
    return res;
}
SL_APPLICATION(app) { sl_route(app, "config", "GET /", config); }
"""


def asking(*services, slots=""):
    lines = "".join(f"service.{service} =\n" for service in services)
    return f"[production]\napp_name = {{name}}\nrunner = src/{{name}}.c\n{lines}{slots}"


@pytest.fixture
def config():
    return lambda server: json.loads(server.get().body)


@pytest.fixture
def postgres_app(app):
    if not os.path.isdir("/usr/lib/postgresql"):
        pytest.skip("PostgreSQL is not installed")
    return lambda **more: app(source=SOURCE, **{"manifest": asking("postgres"), **more})


def psql(config, statement):
    done = subprocess.run(["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", config["host"], "-p", config["port"],
                           "-U", config["user"], config["dbname"], "-c", statement], capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else None


def keeper(directory):
    text = (directory / "var/postgres.keeper").read_text().split("\n")[0]
    return int(text) if text else 0


def postmaster(directory):
    return int((directory / "var/postgres/postmaster.pid").read_text().split("\n")[0])


# ---- Files and the secret --------------------------------------------------------------------------------------


def test_files_and_secret(app, serve, config):
    directory = app(source=SOURCE, manifest=asking("sqlite", "files", "secret"))
    server = serve(directory)
    first = config(server)
    assert first["sqlite"] == f"{directory}/data/probe.sqlite" and first["files"] == f"{directory}/data/files"
    assert os.path.isdir(first["files"])
    assert re.fullmatch(r"[0-9a-f]{64}", first["secret"])
    kept = directory / "var/secret"
    assert kept.read_text() == first["secret"] and stat.S_IMODE(kept.stat().st_mode) == 0o600
    server.stop()
    assert config(serve(directory))["secret"] == first["secret"]
    other = app(source=SOURCE, manifest=asking("files", "secret"), directory="other")
    given = config(serve(other, env={"CONFIG_SECRET": "given", "CONFIG_FILES": "/srv"}))
    assert given["secret"] == "given" and given["files"] == "/srv" and given["sqlite"] == "(none)"
    assert not (other / "var").exists()


def test_instances_that_start_together_have_one_secret(app, serve, config):
    server = serve(app(source=SOURCE, manifest=asking("secret")), "--instances", "4")
    assert len({config(server)["secret"] for _ in range(20)}) == 1


@pytest.mark.parametrize("mode, text, said", [
    (0o644, "a" * 64, "others can read"), (0o600, "short", "is damaged"), (0o600, "", "is damaged")])
def test_a_secret_that_is_none(app, serve, mode, text, said):
    directory = app(manifest=asking("secret"), files={"var/secret": text})
    (directory / "var/secret").chmod(mode)
    server = serve(directory, "--production", ready=False)
    assert server.wait() == 1 and said in server.said() and "remove it" in server.said()


# ---- PostgreSQL that is there already --------------------------------------------------------------------------


def test_postgres_of_the_environment(app, serve, config):
    directory = app(source=SOURCE, manifest=asking("postgres"))
    server = serve(directory, env={"CONFIG_PG_DBNAME": "theirs", "CONFIG_PG_HOST": "db.example.org"})
    got = config(server)
    server.stop()
    assert (got["dbname"], got["host"], got["user"], got["password"], got["port"]) == (
        "theirs", "db.example.org", "", "", "")
    assert not (directory / "var").exists()
    server = serve(directory, env={"CONFIG_PG_HOST": "db.example.org"}, ready=False)
    assert server.wait() == 1 and "CONFIG_PG_HOST and no CONFIG_PG_DBNAME" in server.said()


def developer(tmp_path, text, mode=0o600):
    path = tmp_path / "config/silver/services.ini"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_postgres_of_the_developer(app, serve, config, tmp_path):
    directory = app(source=SOURCE, manifest=asking("postgres"))
    both = "[postgres]\nuser = me\npassword = pass\nhost = localhost\n[postgres probe]\ndbname = testing\nuser = you\n"
    got = config(serve(directory, env=developer(tmp_path, both)))
    assert (got["dbname"], got["user"], got["password"], got["host"]) == ("testing", "you", "", "")
    other = both.replace("[postgres probe]", "[postgres another]")
    server = serve(app(source=SOURCE, manifest=asking("postgres"), directory="other"), env=developer(tmp_path, other))
    got = config(server)
    assert (got["dbname"], got["user"], got["password"], got["host"]) == ("probe", "me", "pass", "localhost")


@pytest.mark.parametrize("text, mode, said", [
    ("[postgres]\npassword = x\n", 0o644, "others can read it"),
    ("[postgres]\nuser = me\nhots = x\n", 0o644, "services.ini:3: there is no key `hots`"),
    ("[mysql]\nuser = me\n", 0o644, "services.ini:2: there is no section [mysql]"),
    ("[postgres]\nuser\n", 0o644, "services.ini:2: this is neither"),
])
def test_a_configuration_that_is_wrong(app, serve, tmp_path, text, mode, said):
    server = serve(app(manifest=asking("postgres")), env=developer(tmp_path, text, mode), ready=False)
    assert server.wait() == 1 and said in server.said()


def test_postgres_is_not_installed(app, serve, tmp_path):
    directory = app(manifest=asking("postgres"))
    server = serve(directory, env={"SILVER_POSTGRESQL": str(tmp_path)}, ready=False)
    assert server.wait() == 1 and "apt install postgresql`" in server.said()
    assert not (directory / "var").exists()


def test_data_of_a_version_that_is_not_installed(app, serve):
    directory = app(manifest=asking("postgres"), files={"var/postgres/PG_VERSION": "7\n"})
    server = serve(directory, ready=False)
    assert server.wait() == 1 and "made by PostgreSQL 7" in server.said() and "postgresql-7" in server.said()


# ---- PostgreSQL of the application's own -----------------------------------------------------------------------


def test_a_postgres_of_its_own(postgres_app, serve, config):
    directory = postgres_app()
    server = serve(directory)
    got = config(server)
    assert (got["dbname"], got["user"], got["password"], got["port"]) == ("probe", "probe", "", "5432")
    assert psql(got, "CREATE TABLE t (x int); INSERT INTO t VALUES (7)") is not None
    assert psql(got, "SHOW listen_addresses") == ""
    assert psql(got, "SHOW server_encoding") == "UTF8"
    pids = keeper(directory), postmaster(directory)
    assert server.stop() == 0
    assert not any(map(alive, pids))  # it waits for them
    assert not os.path.exists(got["host"] + "/.s.PGSQL.5432")
    assert psql(config(serve(directory)), "SELECT x FROM t") == "7"


def test_slots_and_commands_share_it(postgres_app, serve, command, config):
    first, second = free_ports(2)
    script = '#!/bin/sh\npsql -X -A -t -h "$CONFIG_PG_HOST" -p "$CONFIG_PG_PORT" -U "$CONFIG_PG_USER" "$CONFIG_PG_DBNAME" -c "$1"\n'
    directory = postgres_app(manifest=asking("postgres", slots=f"[slots]\n0 = 127.0.0.1:{first}\n1 = 127.0.0.1:{second}\n"),
                             files={"bin/sql": script})
    (directory / "bin/sql").chmod(0o755)
    done = command("run", directory, "sql", "CREATE TABLE t (x int)")
    assert done.returncode == 0 and done.stdout == "CREATE TABLE\n", done.stderr
    assert not alive(keeper(directory))
    one, two = serve(directory, listen=None), serve(directory, listen=None)
    assert config(one)["host"] == config(two)["host"]
    pid = postmaster(directory)
    assert command("run", directory, "sql", "INSERT INTO t VALUES (3)").returncode == 0
    assert one.stop() == 0
    assert alive(pid) and psql(config(two), "SELECT x FROM t") == "3"
    assert two.stop() == 0
    assert not alive(pid)


def test_it_ends_with_a_server_that_was_killed(postgres_app, serve, config):
    directory = postgres_app()
    server = serve(directory)
    got = config(server)
    assert psql(got, "CREATE TABLE t (x int); INSERT INTO t VALUES (7)") is not None
    pids = keeper(directory), postmaster(directory)
    server.tell(signal.SIGKILL)
    server.wait()
    eventually(lambda: not any(map(alive, pids)), "the end of PostgreSQL")
    assert psql(config(serve(directory)), "SELECT x FROM t") == "7"


def test_requests_outlive_a_server_that_was_killed(postgres_app, serve, config):
    """What an instance has begun it finishes, and PostgreSQL is there as long."""
    source = SOURCE.replace("SL_APPLICATION(app) {", """
#include <unistd.h>
static sl_response *slow(sl_request *req)
{
    sl_info("begun");
    while (access("gate", F_OK) != 0)
        sl_await(sl_sleep(5));
    return sl_text(req, 200, "finished");
}
SL_APPLICATION(app) { sl_route(app, "slow", "GET /slow", slow); """)
    directory = postgres_app()
    (directory / "src/probe.c").write_text(source)
    server = serve(directory)
    got, pid = config(server), postmaster(directory)
    with server.connect() as client:
        client.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_said("begun")
        server.tell(signal.SIGKILL)
        server.wait()
        assert psql(got, "SELECT 1") == "1"
        (directory / "gate").write_text("")
        assert client.response().body == b"finished"
    eventually(lambda: not alive(pid), "the end of PostgreSQL")


def test_it_is_started_again(postgres_app, serve, config):
    directory = postgres_app()
    server = serve(directory)
    got = config(server)
    assert psql(got, "CREATE TABLE t (x int); INSERT INTO t VALUES (7)") is not None
    before = postmaster(directory)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: psql(got, "SELECT x FROM t") == "7", "PostgreSQL after it was killed")
    assert postmaster(directory) != before and alive(keeper(directory))
    before, kept = keeper(directory), postmaster(directory)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: not alive(kept), "the end of PostgreSQL with its keeper")
    eventually(lambda: psql(got, "SELECT x FROM t") == "7", "PostgreSQL after its keeper was killed")
    assert keeper(directory) != before
    server.wait_said("service.postgres had ended, and is started again")


def test_one_that_was_half_made(postgres_app, serve, config):
    directory = postgres_app(files={"var/postgres.new/PG_VERSION": "15\n", "var/postgres.new/base/1": "x"})
    assert psql(config(serve(directory)), "SELECT 1") == "1"
    assert not (directory / "var/postgres.new").exists()


def test_data_that_is_damaged(postgres_app, serve, config):
    directory = postgres_app()
    server = serve(directory)
    server.stop()
    (directory / "var/postgres/global/pg_control").unlink()
    server = serve(directory, ready=False)
    assert server.wait(40) == 1
    assert "service.postgres: PostgreSQL does not start" in server.said() and "pg_control" in server.said()


def test_a_copy_has_its_own(postgres_app, serve, config, tmp_path):
    directory = postgres_app()
    server = serve(directory)
    assert psql(config(server), "CREATE TABLE t (x int)") is not None
    server.stop()
    shutil.copytree(directory, tmp_path / "copy")
    (tmp_path / "copy/app.ini").write_text(asking("postgres").format(name="probe").replace("= probe", "= renamed"))
    copied, original = config(serve(tmp_path / "copy")), config(serve(directory))
    assert copied["host"] != original["host"] and copied["dbname"] == "probe"
    assert psql(copied, "INSERT INTO t VALUES (1)") is not None
    assert psql(original, "SELECT count(*) FROM t") == "0"


def test_a_manifest_that_asks_for_it_later(postgres_app, serve, config):
    directory = postgres_app(manifest=asking())
    server = serve(directory)
    assert config(server)["dbname"] == "(none)"
    (directory / "app.ini").write_text(asking("postgres").format(name="probe"))
    eventually(lambda: config(server)["dbname"] == "probe", "the reload")
    assert psql(config(server), "SELECT 1") == "1"


def test_by_hand(command):
    done = command("postgres")
    assert done.returncode == 2 and "not by hand" in done.stderr
