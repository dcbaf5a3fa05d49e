"""`silver serve`: from a directory to processes, and what happens when something goes wrong on the way."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest
import websocket

import probe
from conftest import HELLO, Connection, Server, eventually

LINE = re.compile(r"\[probe\|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\|(DEBUG|INFO|WARNING|ERROR)\] .*")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def with_slots(*ports, more=""):
    slots = "".join(f"{i} = 127.0.0.1:{port}\n" for i, port in enumerate(ports))
    return f"[production]\napp_name = {{name}}\nrunner = src/{{name}}.c\n\n[slots]\n{slots}{more}"


@pytest.fixture
def probe_app(app):
    return lambda **more: app(probe.SOURCE, **{"files": probe.FILES, **more})


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def refuses(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def answer(server, path="/"):
    """The body of a response, or None while there is no server."""
    try:
        return server.get(path).body
    except (OSError, AssertionError):
        return None


# ---- Starting and stopping -------------------------------------------------------------------------------


def test_one_line_when_it_is_ready(serve, app):
    server = serve(app())
    assert len(server.out.read_text().splitlines()) == 1
    assert server.url in server.out.read_text()
    assert server.get("/").body == b"hello\n"


def test_the_current_directory_is_the_default(silver, environment, app):
    process = subprocess.Popen([silver, "serve", "--listen", "127.0.0.1:0"], cwd=app(), env=environment,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        assert b"http://127.0.0.1:" in process.stdout.readline()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains(serve, probe_app, tmp_path, number):
    server = serve(probe_app())
    gate = tmp_path / "gate"
    idle, busy = server.connect(), server.connect()
    idle.request("/")
    busy.send(f"GET /gate?path={gate} HTTP/1.1\r\nHost: a\r\n\r\n")
    server.wait_said("at the gate")
    server.tell(number)
    assert idle.closed()  # nothing was asked of it
    eventually(lambda: refuses(server.host, server.port), "the server to stop listening")
    assert server.process.poll() is None
    gate.touch()
    assert busy.response().body == b"through"  # what was asked before is answered
    assert server.wait() == 0


def test_a_second_signal_ends_it_at_once(serve, probe_app, tmp_path):
    server = serve(probe_app())
    busy = server.connect().send(f"GET /gate?path={tmp_path}/never HTTP/1.1\r\nHost: a\r\n\r\n")
    server.wait_said("at the gate")
    server.tell(signal.SIGINT)
    eventually(lambda: refuses(server.host, server.port), "the server to stop listening")
    started = time.monotonic()
    server.tell(signal.SIGINT)
    assert server.wait() == 1
    assert time.monotonic() - started < 5  # and not the ten seconds that draining may take
    busy.close()


def test_draining_ends(serve, probe_app, tmp_path):
    server = serve(probe_app(manifest=with_slots(0, more="\n[limits]\ndrain_ms = 300\n")))
    busy = server.connect().send(f"GET /gate?path={tmp_path}/never HTTP/1.1\r\nHost: a\r\n\r\n")
    server.wait_said("at the gate")
    assert server.stop() == 0
    busy.close()


def test_draining_waits_for_the_background(serve, app, tmp_path):
    """What a handler started for after its answer is not lost by a stop."""
    source = (pathlib.Path(__file__).parents[2] / "docs/samples/web/letters.c").read_text()
    server = serve(app(source), env={"CONFIG_FILES": str(tmp_path)})
    response = server.get("/letters", "Content-Type: application/x-www-form-urlencoded", method="POST", body=b"text=hello")
    assert response.status == 202
    assert server.stop() == 0
    assert (tmp_path / "letter").read_text() == "hello"


def test_websockets_are_told_when_it_stops(serve, probe_app):
    server = serve(probe_app())
    ws = websocket.create_connection(f"ws://{server.host}:{server.port}/talk", timeout=20, http_no_proxy=["*"],
                                     origin=server.url)
    server.tell(signal.SIGINT)
    opcode, payload = ws.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE and payload[:2] == (1001).to_bytes(2, "big")
    ws.close()
    assert server.wait() == 0


CHILD = """
#include <silver/silver.h>

static sl_response *descriptors(sl_request *req)
{
    sl_process_result *done = sl_await(sl_process_run(((char *[]){"ls", "-l", "/proc/self/fd", NULL})));
    return sl_text(req, 200, "%s", done->output->data);
}

SL_APPLICATION(app)
{
    sl_route(app, "descriptors", "GET /", descriptors);
}
"""


def test_children_of_an_application_hold_no_socket_of_ours(serve, app):
    """One that lives on in the background must not keep the address."""
    body = serve(app(CHILD)).get("/").body
    assert b"pipe:" in body and b"socket:" not in body


def test_no_process_is_left(serve, app):
    server = serve(app(), "--instances", "3")
    family = eventually(lambda: len(children(server.pid)) == 3 and children(server.pid), "three instances")
    assert server.stop() == 0
    eventually(lambda: not any(alive(pid) for pid in family), "the instances to end")


# ---- What keeps it from starting ----------------------------------------------------------------------------


def test_a_taken_port(serve, app):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve(app(), ready=False, listen=f"127.0.0.1:{port}")
        assert server.wait() == 1
    first, second = server.err.read_text().splitlines()
    assert first == f"silver: cannot listen on 127.0.0.1:{port}: the address is taken"
    assert "`ss -ltnp`" in second and "--listen ADDRESS:PORT" in second


def test_a_log_directory_that_is_not_there(command, app, tmp_path):
    for more in ([], ["--daemon"]):
        done = command("serve", app(), "--listen", "127.0.0.1:0", "--logfile", tmp_path / "nope" / "x.log", *more)
        assert done.returncode == 1
        assert f"silver: cannot open the log {tmp_path}/nope/x.log: no such file" in done.stderr
    assert not (tmp_path / "nope").exists()


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1", "256.0.0.1:80"])
def test_an_address_that_is_none(serve, app, address):
    server = serve(app(), ready=False, listen=address)
    assert server.wait() in (1, 2)
    assert address in server.said()


def test_no_application(command, tmp_path):
    done = command("serve", tmp_path / "nothing")
    assert done.returncode == 1
    assert str(tmp_path / "nothing") in done.stderr
    (tmp_path / "empty").mkdir()
    done = command("serve", tmp_path / "empty")
    assert done.returncode == 1 and "app.ini" in done.stderr


def test_a_manifest_with_mistakes(command, app):
    done = command("serve", app(manifest="[production]\napp_name = {name}\nruner = src/{name}.c\n"))
    assert done.returncode == 1
    assert re.search(r"app\.ini:3\b", done.stderr)


def test_too_few_descriptors(app, silver, environment):
    done = subprocess.run(["/bin/sh", "-c", 'ulimit -n 8; exec "$0" serve "$1"', silver, str(app())], env=environment,
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "only 8 files can be open at once" in done.stderr and "ulimit -n" in done.stderr


def test_an_application_that_refuses_to_start(serve, app):
    source = HELLO.replace("SL_APPLICATION(app)\n{", "SL_APPLICATION(app)\n{\n    sl_fail(SL_EFAILED, \"the moon is in the wrong house\");")
    server = serve(app(source), "--production", ready=False)
    assert server.wait() == 1
    assert "the moon is in the wrong house" in server.said()


def test_an_application_without_an_entry(serve, app):
    server = serve(app("int nothing;\n"), "--production", ready=False)
    assert server.wait() == 1
    assert "SL_APPLICATION" in server.said()


# ---- Slots -------------------------------------------------------------------------------------------------------


def test_each_start_takes_a_slot(serve, probe_app, command):
    ports = free_ports(2)
    directory = probe_app(manifest=with_slots(*ports))
    first = serve(directory, listen=None)
    second = serve(directory, listen=None)
    assert [first.port, second.port] == ports
    third = command("serve", directory)
    assert third.returncode == 75
    for server in (first, second):
        assert str(server.pid) in third.stderr and server.url in third.stderr
    first.tell(signal.SIGKILL)
    first.wait()
    again = serve(directory, listen=None)
    assert again.port == ports[0]
    assert again.get("/").body == b"home\n"


def test_a_slot_by_its_number(serve, app, command):
    ports = free_ports(2)
    directory = app(manifest=with_slots(*ports))
    server = serve(directory, "--slot", "1", listen=None)
    assert server.port == ports[1]
    done = command("serve", directory, "--slot", "1")
    assert done.returncode == 75 and str(server.pid) in done.stderr
    done = command("serve", directory, "--slot", "7")
    assert done.returncode == 1 and "no slot 7" in done.stderr


def walls(server, count):
    """Sockets on /wall, and the process that each reached."""
    sockets = [websocket.create_connection(f"ws://{server.host}:{server.port}/wall", timeout=20, http_no_proxy=["*"],
                                           origin=server.url) for _ in range(count)]
    return sockets, {int(ws.recv()) for ws in sockets}


def test_the_bus_between_slots(serve, probe_app):
    directory = probe_app(manifest=with_slots(*free_ports(2)))
    servers = [serve(directory, listen=None) for _ in range(2)]
    listeners = [walls(server, 1)[0][0] for server in servers]
    for i, server in enumerate(servers):
        def heard(text):
            """Told to both: what is emitted before the two know of each other reaches the one."""
            assert server.get("/shout", method="POST", body=text).status == 200
            listeners[1 - i].settimeout(0.5)
            try:
                while listeners[1 - i].recv() != text.decode():
                    pass
                return True
            except websocket.WebSocketTimeoutException:
                return False

        eventually(lambda: heard(b"from %d" % i), "a message to reach the other slot")
    for ws in listeners:
        ws.close()


# ---- Instances --------------------------------------------------------------------------------------------------------


def test_instances_share_the_socket(serve, probe_app):
    server = serve(probe_app(), "--instances", "2")
    seen = set()

    def both():
        seen.add(server.get("/process").body)
        return len(seen) == 2

    eventually(both, "both instances to answer")
    sockets, reached = walls(server, 12)
    assert server.get("/shout", method="POST", body=b"to all of you").status == 200
    assert [ws.recv() for ws in sockets] == ["to all of you"] * 12
    for ws in sockets:
        ws.close()


@pytest.mark.parametrize("path, reason", [("/crash", "signal 6|SIGABRT|[Aa]bort"), ("/die", "signal 9|SIGKILL|[Kk]illed")])
def test_a_crashed_instance_is_started_again(serve, probe_app, path, reason):
    server = serve(probe_app())
    before = server.get("/process").body
    with server.connect() as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.closed()
    after = eventually(lambda: answer(server, "/process"), "a new instance")
    assert after != before
    server.wait_said(reason)
    assert before.decode() in server.said()  # the log names the process


def test_a_crash_names_the_request(serve, probe_app):
    server = serve(probe_app())
    with server.connect() as connection:
        connection.send("GET /crash?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.closed()
    server.wait_said(r"the last that it said: silver: SIGABRT in task request: GET /crash; it is started again")
    assert "secret" not in server.said()


LOOP = HELLO.replace('return sl_text(req, 200, "hello\\n");', """if (strcmp(sl_path(req), "/spin") == 0)
        for (volatile int k = 0;; k++)
            if (k == 0)
                sl_info("spinning");
    return sl_text(req, 200, "hello\\n");""").replace("GET /", "GET /{rest...}")


def test_a_handler_that_never_returns(serve, app):
    server = serve(app(LOOP), env={"SILVER_SILENCE_MS": "600"})
    with server.connect() as connection:
        connection.send("GET /spin HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_said(r"\|ERROR\] instance 0 \(process \d+\) has not answered for 600 ms")
        server.wait_said(r"SIGABRT in task request: GET /spin")
        assert connection.closed()
    eventually(lambda: answer(server) == b"hello\n", "the next instance")
    assert server.stop() == 0


def test_a_stop_refuses_although_a_handler_never_returns(serve, app):
    server = serve(app(LOOP, manifest=with_slots(0, more="\n[limits]\ndrain_ms = 100\n")), "--production")
    with server.connect() as connection:
        connection.send("GET /spin HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_said("spinning")
        spinning = children(server.pid)[0]
        server.tell(signal.SIGTERM)
        eventually(lambda: refuses(server.host, server.port), "the server to stop listening")
        assert alive(spinning)
        assert server.wait() == 0
    assert "could not be accepted" not in server.said()


def test_instances_that_crash_again_and_again_do_not_spin(serve, probe_app):
    server = serve(probe_app())
    seen = {None}
    for _ in range(3):
        pid = eventually(lambda: (answer(server, "/process") not in seen) and answer(server, "/process"), "an instance")
        seen.add(pid)
        os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: answer(server, "/process") not in seen, "another instance")
    pauses = [int(ms) for ms in re.findall(r"started again in (\d+) ms", server.said())]
    assert len(pauses) >= 3 and pauses[:3] == sorted(pauses[:3]) and pauses[2] > pauses[0]


def test_a_killed_supervisor_leaves_nothing_behind(serve, app):
    port, = free_ports(1)
    directory = app(manifest=with_slots(port))
    server = serve(directory, "--instances", "2", listen=None)
    family = children(server.pid)
    server.tell(signal.SIGKILL)
    server.wait()
    again = serve(directory, listen=None)  # at once, at the same address
    assert again.port == port and again.get("/").body == b"hello\n"
    eventually(lambda: not any(alive(pid) for pid in family), "the old instances to end")


@pytest.fixture
def few_descriptors():
    """What most systems give at first: a soft limit below the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_there_are_descriptors_for_all_connections(serve, probe_app, few_descriptors):
    server = serve(probe_app(manifest=with_slots(0, more="\n[limits]\nconnections = 900\n")))
    limits = pathlib.Path(f"/proc/{server.get('/process').body.decode()}/limits").read_text()
    assert int(re.search(r"Max open files\s+(\d+)", limits)[1]) == min(2 * 900 + 1024, few_descriptors)
    assert "files can be open" not in server.said()
    many = serve(probe_app(directory="many", manifest=with_slots(0, more="\n[limits]\nconnections = 100000000\n")))
    many.wait_said(r"WARNING\] only \d+ files can be open at once, fewer than the 100000000 connections")


# ---- Logs and the background ------------------------------------------------------------------------------------------


@pytest.fixture
def daemon(silver, environment):
    """Starts one with --daemon; stopped by its process id."""
    started = []

    def start(directory, *options, env=None):
        pidfile = pathlib.Path(directory).parent / f"pid{len(started)}"
        done = subprocess.run([silver, "serve", str(directory), "--listen", "127.0.0.1:0", "--daemon",
                               "--pidfile", str(pidfile), *options],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
                              env={**environment, **(env or {})})
        if pidfile.exists():
            started.append(int(pidfile.read_text()))
        done.pidfile = pidfile
        return done

    yield start
    for pid in started:
        if alive(pid):
            os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(AssertionError):
                eventually(lambda: not alive(pid), "the daemon to end", deadline=10)
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_daemon(daemon, probe_app):
    directory = probe_app()
    done = daemon(directory)
    assert done.returncode == 0, done.stderr
    url = re.search(r"http://(127\.0\.0\.1):(\d+)/", done.stdout)
    host, port = url.group(1), int(url.group(2))
    with Connection(host, port) as connection:
        assert connection.request("/").body == b"home\n"
        assert connection.request("/say").status == 200
        instance = int(connection.request("/process").body)
    pid = int(done.pidfile.read_text())
    for process in (pid, instance):
        assert os.readlink(f"/proc/{process}/fd/0") == "/dev/null"
        assert os.getsid(process) != os.getsid(0)
        for fd in (1, 2):
            assert not os.readlink(f"/proc/{process}/fd/{fd}").startswith("/dev/pts")
    log = directory / "log0" / "probe.log"
    for text in ("a stray printf", "a stray complaint", "an ordinary record", "a warning of"):
        eventually(lambda: text in log.read_text(), f"{text!r} in the log")
    for line in log.read_text().splitlines():
        assert LINE.fullmatch(line), line
    assert re.search(r"\|INFO\] an ordinary record$", log.read_text(), re.MULTILINE)
    assert re.search(r"\|WARNING\] a warning of$", log.read_text(), re.MULTILINE)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid), "the daemon to end")
    assert not done.pidfile.exists()
    assert re.search(rf"\|INFO\] serving http://\S+ \(process {pid}\)$", log.read_text(), re.MULTILINE)
    assert log.read_text().endswith("|INFO] stopped\n")


def test_a_pid_file_that_cannot_be_written(command, serve, app, tmp_path):
    nowhere = str(tmp_path / "nowhere" / "pid")
    done = command("serve", app(), "--listen", "127.0.0.1:0", "--daemon", "--pidfile", nowhere)
    assert done.returncode == 1 and done.stdout == ""
    assert f"silver: cannot write the pid file {nowhere}" in done.stderr
    server = serve(app(), "--pidfile", nowhere, ready=False)
    assert server.wait() == 1
    assert nowhere in server.said() and "http://" not in server.said()


def test_a_pid_file_is_held(daemon, command, app):
    first = daemon(app(directory="first"))
    assert first.returncode == 0, first.stderr
    pid = int(first.pidfile.read_text())
    for more in (["--daemon"], []):
        second = command("serve", app(directory="second"), "--listen", "127.0.0.1:0", "--pidfile", str(first.pidfile), *more)
        assert second.returncode == 1
        assert f"{first.pidfile} is held by process {pid}" in second.stderr
        assert f"kill {pid}" in second.stderr
        assert int(first.pidfile.read_text()) == pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), "the daemon to end")
    again = daemon(app(directory="again"), "--pidfile", str(first.pidfile))
    assert again.returncode == 0, again.stderr
    other = int(first.pidfile.read_text())
    assert other != pid
    os.kill(other, signal.SIGTERM)
    eventually(lambda: not alive(other), "the daemon to end")


def test_a_daemon_that_cannot_start_says_why(daemon, app):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = daemon(app(), "--listen", address)
    assert done.returncode == 1
    assert re.match(rf"silver: cannot listen on {address}: .*\n.*--listen", done.stderr)
    assert not done.pidfile.exists()


def test_hang_up_opens_the_log_again(serve, probe_app):
    directory = probe_app()
    server = serve(directory, "--logfile", "my.log")
    log, old = directory / "log0" / "my.log", directory / "log0" / "my.log.1"
    server.get("/say")
    eventually(lambda: "an ordinary record" in log.read_text(), "the record in the log")
    log.rename(old)
    server.tell(signal.SIGHUP)
    eventually(log.exists, "a new log")
    server.get("/say")
    for text in ("an ordinary record", "a stray printf"):
        eventually(lambda: text in log.read_text(), f"{text!r} in the new log")
    assert server.stop() == 0


def test_lines_of_the_log_on_the_terminal(serve, probe_app):
    server = serve(probe_app())
    server.get("/say")
    server.wait_said("an ordinary record")
    server.wait_said("a stray complaint")
    for line in server.err.read_text().splitlines():
        assert LINE.fullmatch(line), line


def access_log(directory):
    """The access log's lines, wherever in the slot's directory it is."""
    for path in (directory / "log0").glob("*access*"):
        return path.read_text().splitlines()
    return []


FORGER = """
#include <silver/silver.h>
#include <stdio.h>

#define FORGED "[probe|2026-11-21 13:58:27,707|ERROR] forged"

SL_APPLICATION(app)
{
    printf(FORGED "\\n");
    printf("\\033[2Jclear\\rcarriage " FORGED);
    fflush(stdout);
    sl_warning("a record\\n" FORGED);
    sl_info("%09000d" FORGED, 0);
    sl_log_to(sl_logger_stderr(), SL_WARNING, SL_HERE, "the library's own");
}
"""


def test_records_cannot_be_forged(serve, app):
    directory = app(FORGER)
    server = serve(directory, "--logfile", "probe.log")
    log = (directory / "log0" / "probe.log").read_text()
    assert log.count("forged") == 4
    for line in log.splitlines():
        assert LINE.fullmatch(line), line
        assert not line.startswith("[probe|2026-11-21 13:58:27,707|"), line
        assert line.isprintable(), line
    assert "|INFO] \\x1b[2Jclear\\x0dcarriage " in log
    assert re.search(r"\|WARNING\] a record$", log, re.MULTILINE)
    assert re.search(r"\|WARNING\] the library's own$", log, re.MULTILINE)
    (directory / "app.ini").write_text("nonsense\n")
    server.tell(signal.SIGHUP)
    eventually(lambda: "SL0102" in (directory / "log0" / "probe.log").read_text(), "the complaint")
    log = (directory / "log0" / "probe.log").read_text()
    assert re.search(r"^\[probe\|[^|]*\|ERROR\] \S+app.ini:1: SL0102", log, re.MULTILINE)


@pytest.mark.parametrize("kind", ["combined", "json"])
def test_the_access_log(serve, probe_app, kind):
    directory = probe_app(manifest=with_slots(0, more=f"\n[log]\naccess = {kind}\n"))
    server = serve(directory, "--logfile", "probe.log")
    assert server.get("/show/x?y=%22z", "User-Agent: a \"client\"", "Referer: http://from.example/").status == 200
    assert server.get("/nothing").status == 404
    lines = eventually(lambda: len(access_log(directory)) >= 2 and access_log(directory), "two lines")
    if kind == "combined":
        assert re.match(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /show/x\?y=%22z HTTP/1\.1" 200 \d+ '
                        r'"http://from\.example/" "a (\\"|\\x22)client(\\"|\\x22)"', lines[0])
        assert ' 404 ' in lines[1]
    else:
        first, second = (json.loads(line) for line in lines[:2])
        assert first["status"] == 200 and second["status"] == 404
        assert "/show/x?y=%22z" in json.dumps(first)
        assert 'a "client"' in first.values()


def test_metrics(serve, probe_app):
    port, = free_ports(1)
    server = serve(probe_app(manifest=with_slots(0, more=f"\n[metrics]\nlisten = 127.0.0.1:{port}\n")))
    for _ in range(5):
        server.get("/")
    with Connection("127.0.0.1", port) as connection:
        response = connection.request("/metrics")
    assert response.status == 200
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = 0
    for line in response.body.decode().splitlines():
        if line.startswith("# "):
            assert re.match(r"# (HELP|TYPE) [a-zA-Z_:][a-zA-Z0-9_:]* ", line)
        else:
            assert re.fullmatch(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})? [-+0-9.eE]+(Inf|NaN)?', line), line
            samples += 1
    assert samples > 3
    assert server.get("/metrics").status == 404  # it is not for everybody


def test_a_dump_of_the_tasks(serve, probe_app, tmp_path):
    server = serve(probe_app())
    gate = tmp_path / "gate"
    with server.connect() as busy:
        busy.send(f"GET /gate?path={gate} HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_said("at the gate")
        server.tell(signal.SIGUSR2)
        server.wait_said(r"probe\.c:\d+")  # where the handler waits
        gate.touch()
        assert busy.response().body == b"through"


# ---- systemd ---------------------------------------------------------------------------------------------------------------


def test_systemd_is_told(serve, app, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        server = serve(app(), "--production", env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"})
        said = []

        def hears(word):
            said.append(manager.recv(4096).decode())
            return any(word in text.split("\n") for text in said)

        eventually(lambda: hears("READY=1"), "READY=1")
        eventually(lambda: hears("WATCHDOG=1"), "WATCHDOG=1")
        server.tell(signal.SIGTERM)
        eventually(lambda: hears("STOPPING=1"), "STOPPING=1")
        assert server.wait() == 0


def test_socket_activation(silver, environment, app, tmp_path):
    """The manager made the socket, and gives it as descriptor 3."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = f'exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" serve "$1"'
        process = subprocess.Popen(["/bin/bash", "-c", script, silver, str(app())], pass_fds=[listener.fileno()],
                                   env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
    try:
        assert f":{port}/".encode() in process.stdout.readline()
        with Connection("127.0.0.1", port) as connection:
            assert connection.request("/").body == b"hello\n"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


# ---- Building and reloading ---------------------------------------------------------------------------------------------------

BROKEN = HELLO.replace('"hello\\n"', "helo_is_not_declared")


def test_a_change_is_served(serve, app):
    directory = app()
    server = serve(directory)
    assert server.get("/").body == b"hello\n"
    (directory / "src/probe.c").write_text(HELLO.replace("hello\\n", "changed\\n"))
    eventually(lambda: answer(server) == b"changed\n", "the change")


def test_nobody_is_refused_while_it_reloads(serve, app):
    directory = app()
    server = serve(directory)
    (directory / "src/probe.c").write_text(HELLO.replace("hello\\n", "changed\\n"))
    while (body := server.get("/").body) != b"changed\n":  # each get fails the test where it is not answered
        assert body == b"hello\n"


def test_a_compile_error_is_shown_and_mended(serve, app):
    directory = app()
    server = serve(directory)
    (directory / "src/probe.c").write_text(BROKEN)
    eventually(lambda: answer(server) and b"helo_is_not_declared" in answer(server), "the page with the error")
    response = server.get("/", "Accept: text/html")
    assert response.status == 500 and response["Content-Type"].startswith("text/html")
    line = 1 + BROKEN[:BROKEN.index("helo_is_not_declared")].count("\n")
    assert b"probe.c" in response.body and str(line).encode() in response.body
    assert "probe.c" in server.said()
    (directory / "src/probe.c").write_text(HELLO.replace("hello\\n", "mended\\n"))
    eventually(lambda: answer(server) == b"mended\n", "the mended application")
    assert server.stop() == 0


def test_it_starts_with_a_compile_error_too(serve, app):
    directory = app(BROKEN)
    server = serve(directory)
    assert b"helo_is_not_declared" in server.get("/anything").body
    (directory / "src/probe.c").write_text(HELLO)
    eventually(lambda: answer(server) == b"hello\n", "the mended application")


MOON = HELLO.replace("SL_APPLICATION(app)\n{", "SL_APPLICATION(app)\n{\n    sl_fail(SL_EFAILED, \"the moon is in the wrong house\");")
CRASH = HELLO.replace("SL_APPLICATION(app)\n{", "SL_APPLICATION(app)\n{\n    __builtin_abort();")


@pytest.mark.parametrize("source, text", [(MOON, b"the moon is in the wrong house"), (CRASH, b"does not start")])
def test_what_does_not_start_is_shown_and_mended(serve, app, source, text):
    directory = app(source)
    server = serve(directory)
    assert text in server.get("/").body and text.decode() in server.get("/").body.decode()
    (directory / "src/probe.c").write_text(HELLO)
    eventually(lambda: answer(server) == b"hello\n", "the mended application")
    (directory / "src/probe.c").write_text(source)
    eventually(lambda: text in (answer(server) or b""), "the page with the error")
    server.wait_said("probe does not compile or start: its error is served until it does")
    assert server.stop() == 0


def test_a_mistake_in_the_manifest_is_shown_and_mended(serve, app):
    directory = app()
    server = serve(directory)
    manifest = (directory / "app.ini").read_text()
    (directory / "app.ini").write_text(manifest + "\n[limits]\nidel_ms = 5\n")
    eventually(lambda: b"idel_ms" in (answer(server) or b""), "the page with the mistake")
    server.wait_said("its error is served until it does")
    (directory / "app.ini").write_text(manifest)
    eventually(lambda: answer(server) == b"hello\n", "the mended application")
    assert server.stop() == 0


def test_a_daemon_does_not_start_with_an_error(daemon, app):
    for name, source in (("moon", MOON), ("broken", BROKEN)):
        done = daemon(app(source, directory=name))
        assert done.returncode == 1 and done.stderr


def test_a_rebuilt_silver_says_so(silver, environment, app, tmp_path, tmp_path_factory, serve):
    copy, directory = tmp_path / "silver", app()
    shutil.copy(silver, copy)
    libraries = f"{pathlib.Path(silver).parent}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    server = Server(str(copy), directory, (), {**environment, "LD_LIBRARY_PATH": libraries},
                    tmp_path_factory.mktemp("logs"))
    try:
        server.wait_ready()
        copy.unlink()
        shutil.copy(silver, copy)
        (directory / "src/probe.c").write_text(BROKEN)
        server.wait_said("silver itself was rebuilt or replaced: start it again")
    finally:
        server.end()


def test_but_not_in_production(serve, app):
    server = serve(app(BROKEN), "--production", ready=False)
    assert server.wait() == 1
    assert re.search(r"probe\.c:\d+", server.said())


def test_what_was_built_is_kept(serve, app, tmp_path):
    """A second start needs no compiler's work: it is counted by a compiler that leaves a mark."""
    marks = tmp_path / "marks"
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\ncase "$*" in *probe.c*) echo >>"{marks}" ;; esac\nexec {shutil.which("cc")} "$@"\n')
    compiler.chmod(0o755)
    env = {"CC": str(compiler), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    directory = app()
    assert serve(directory, env=env).stop() == 0
    built = marks.read_text()
    assert built
    server = serve(directory, env=env)
    assert server.get("/").body == b"hello\n" and marks.read_text() == built
    assert server.stop() == 0
    (directory / "src/probe.c").write_text(HELLO.replace("hello\\n", "other\\n"))
    server = serve(directory, env=env)
    assert server.get("/").body == b"other\n" and marks.read_text() != built


def test_a_missing_compiler(serve, app, tmp_path):
    env = {"CC": str(tmp_path / "no-such-cc"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    server = serve(app(), "--production", ready=False, env=env)
    assert server.wait() == 1
    assert "no-such-cc" in server.said()
    assert "unset CC" in server.said()  # it says what to do


def test_a_compiler_that_is_killed(serve, app, tmp_path):
    compiler = tmp_path / "cc"
    env = {"CC": str(compiler), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    compiler.write_text('#!/bin/sh\ncase "$*" in *probe.c*) kill -9 $$ ;; esac\n' + f'exec {shutil.which("cc")} "$@"\n')
    compiler.chmod(0o755)
    directory = app()
    server = serve(directory, "--production", ready=False, env=env)
    assert server.wait() == 1
    assert re.search("signal 9|SIGKILL|[Kk]illed", server.said())
    compiler.write_text(f'#!/bin/sh\nexec {shutil.which("cc")} "$@"\n')
    assert serve(directory, env=env).get("/").body == b"hello\n"  # no half of a build was kept


SLOW_CC = """#!/bin/sh
case "$*" in *probe.c*) sleep 600 & echo $! >{mark}.new; mv {mark}.new {mark}; wait ;; esac
exec {cc} "$@"
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_compiler_goes_with_all_its_children(serve, app, tmp_path, how):
    compiler, mark = tmp_path / "cc", tmp_path / "child"
    compiler.write_text(SLOW_CC.format(mark=mark, cc=shutil.which("cc")))
    compiler.chmod(0o755)
    server = serve(app(), ready=False, env={"CC": str(compiler), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    eventually(mark.exists, "the compiler's child")
    server.tell(how)
    server.wait()
    eventually(lambda: not alive(int(mark.read_text())), "the compiler's child to end")


# ---- A full disk -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", str(place)], capture_output=True)
    if done.returncode != 0:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    with open(place / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass


def test_a_build_on_a_full_disk(serve, app, small_disk):
    (small_disk / "cache").mkdir()
    fill(small_disk)
    server = serve(app(), "--production", ready=False, env={"XDG_CACHE_HOME": str(small_disk / "cache")})
    assert server.wait() == 1
    assert re.search("(?i)no space left|disk is full", server.said())
    (small_disk / "filler").unlink()
    assert serve(app(), env={"XDG_CACHE_HOME": str(small_disk / "cache")}).get("/").body == b"hello\n"


def test_a_log_on_a_full_disk(serve, probe_app, small_disk):
    """What cannot be written is lost; what is asked is answered."""
    logs = small_disk / "logs"
    logs.mkdir()
    directory = probe_app(manifest=with_slots(0).replace("127.0.0.1:0\n", f"127.0.0.1:0 {logs}\n"))
    server = serve(directory, "--logfile", "probe.log")
    fill(small_disk)
    for _ in range(200):
        assert server.get("/say").status == 200
    (small_disk / "filler").unlink()
    before = (logs / "probe.log").stat().st_size

    def written():
        server.get("/say")
        return (logs / "probe.log").stat().st_size > before

    eventually(written, "the log to go on")
    assert server.stop() == 0


def test_a_failure_in_development_names_the_instance(serve, probe_app):
    server = serve(probe_app())
    page = server.get("/fail", "Accept: text/html").body.decode()
    process = server.get("/process").body.decode()
    assert f"this_instance: number 0, process {process}, development\n" in page
    assert "&lt;b&gt;probe&lt;/b&gt; failed on purpose" in page


# ---- Production ---------------------------------------------------------------------------------------------------------------------


def test_a_failure_in_production_tells_no_secrets(serve, probe_app):
    server = serve(probe_app(), "--production")
    response = server.get("/fail")
    assert response.status == 500
    assert b"on purpose" not in response.body and b"probe.c" not in response.body
    said = server.wait_said("on purpose")
    assert said
    words = set(re.findall(rb"[0-9a-f]{8,}", response.body)) | set(re.findall(rb"\b[0-9A-Z-]{6,}\b", response.body))
    eventually(lambda: any(word.decode() in server.said() for word in words), "the incident's number in the log")
    assert server.get("/nothing").status == 404


def test_no_reloading_in_production(serve, app):
    directory = app()
    server = serve(directory, "--production")
    (directory / "src/probe.c").write_text(HELLO.replace("hello\\n", "changed\\n"))
    server.tell(signal.SIGHUP)  # which is how to ask for it
    eventually(lambda: answer(server) == b"changed\n", "the change after a hang-up")
