"""What all end-to-end tests share: application directories, servers that run them, and raw clients.

A test gets `app`, which lays out an application, and `serve`, which serves it on a free port of the loopback and stops it
afterwards, by its process id. Nothing here sleeps for a time that somebody hoped to be long enough: `eventually` asks again
until a condition holds or its deadline has passed."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE = 20  # seconds, for anything that must happen


def eventually(condition, what="a condition", deadline=DEADLINE, pause=0.01):
    """Asks until the condition gives something true, and returns that."""
    end = time.monotonic() + deadline
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {deadline} s")
        time.sleep(pause)


# ---- Applications ------------------------------------------------------------------------------------------

HELLO = """
#include <silver/silver.h>

static sl_response *hello(sl_request *req)
{
    return sl_text(req, 200, "hello\\n");
}

SL_APPLICATION(app)
{
    sl_route(app, "hello", "GET /", hello);
}
"""

MANIFEST = """[production]
app_name = {name}
version = 1
runner = src/{name}.c

[slots]
0 = 127.0.0.1:0
"""


def lay_out(directory, source=HELLO, name="probe", manifest=MANIFEST, files=()):
    """Writes an application. `files` maps further paths to text or bytes."""
    directory = pathlib.Path(directory)
    everything = {"app.ini": manifest.format(name=name), f"src/{name}.c": source, **dict(files)}
    for path, contents in everything.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return directory


# ---- Servers -------------------------------------------------------------------------------------------------


class Server:
    """`silver serve` of a directory, in the foreground."""

    def __init__(self, silver, directory, options, environment, logs, listen="127.0.0.1:0"):
        number = len(list(logs.glob("*.out")))
        self.out, self.err = logs / f"{number}.out", logs / f"{number}.err"
        self.directory = pathlib.Path(directory)
        listening = ["--listen", listen] if listen else []
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [silver, "serve", str(directory), *listening, *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True)
        self.url = None

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def wait_ready(self):
        def ready():
            match = re.search(r"http://([0-9.]+|\[[0-9a-f:]+\]):(\d+)/", self.out.read_text())
            assert match or self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said()}"
            return match

        match = eventually(ready, "the ready line")
        self.url = match.group(0).rstrip("/")
        self.host, self.port = match.group(1).strip("[]"), int(match.group(2))
        return self

    def wait_said(self, pattern):
        return eventually(lambda: re.search(pattern, self.said()), f"a line with {pattern!r}")

    def tell(self, number):
        os.kill(self.pid, number)

    def wait(self, deadline=DEADLINE):
        return self.process.wait(timeout=deadline)

    def stop(self, number=signal.SIGINT):
        """Asks it to stop and returns its exit status."""
        if self.process.poll() is None:
            self.tell(number)
        return self.wait()

    def end(self):
        if self.process.poll() is None:
            self.tell(signal.SIGINT)
            try:
                self.wait(5)
            except subprocess.TimeoutExpired:
                self.tell(signal.SIGKILL)
                self.wait()
        report = re.search(r"(Address|Leak|UndefinedBehavior)Sanitizer|runtime error:", self.said())
        assert not report, self.said()[report.start():][:4000]  # where the command was built with them

    # -- clients

    def connect(self):
        return Connection(self.host, self.port)

    def get(self, path="/", *fields, method="GET", body=b""):
        """One request on a connection of its own."""
        with self.connect() as connection:
            return connection.request(path, *fields, method=method, body=body)

    def curl(self, path="/", *options, **more):
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--noproxy", "*", *options, self.url + path],
                              capture_output=True, timeout=30, **more)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


# ---- Raw HTTP --------------------------------------------------------------------------------------------------


class Response:
    def __init__(self, status, reason, fields, body, trailers=()):
        self.status, self.reason, self.fields, self.body, self.trailers = status, reason, fields, body, list(trailers)

    def __getitem__(self, name):
        """The value of a field, or None."""
        values = self.all(name)
        return values[0] if values else None

    def all(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:300]!r}>"


class Connection:
    """A socket that reads responses as strictly as it can."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=DEADLINE)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.pending += data
        return bool(data)

    def _line(self):
        while b"\r\n" not in self.pending:
            assert self._more(), f"the connection was closed in the middle of a line: {self.pending!r}"
        line, self.pending = self.pending.split(b"\r\n", 1)
        assert b"\r" not in line and b"\n" not in line
        return line.decode("latin-1")

    def _exactly(self, size):
        while len(self.pending) < size:
            assert self._more(), f"the connection was closed {size - len(self.pending)} bytes early"
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def _fields(self):
        fields = []
        while line := self._line():
            name, colon, value = line.partition(":")
            assert colon and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), line
            fields.append((name, value.strip(" \t")))
        return fields

    def _chunked(self):
        body = b""
        while size := int(self._line().partition(";")[0], 16):
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
        return body, self._fields()

    def response(self, method="GET"):
        """The next response; interim ones are responses too."""
        line = self._line()
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) ([^\x00-\x1f\x7f]*)", line)
        assert match, line
        response = Response(int(match.group(1)), match.group(2), self._fields(), b"")
        coding, length = response["Transfer-Encoding"], response["Content-Length"]
        assert not (coding and length), "both lengths"
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return response
        if coding:
            assert coding == "chunked"
            response.body, response.trailers = self._chunked()
        elif length is not None:
            response.body = self._exactly(int(length))
        else:
            response.body = self.rest()
        return response

    def request(self, path="/", *fields, method="GET", body=b"", host="example.org"):
        head = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields]
        if body and not any(field.lower().startswith(("content-length", "transfer-encoding")) for field in fields):
            head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)
        return self.response(method)

    def rest(self):
        """All until the other side closes."""
        while self._more():
            pass
        data, self.pending = self.pending, b""
        return data

    def closed(self):
        """Whether the other side closes, with nothing more to say."""
        return self.rest() == b""


# ---- Fixtures --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def silver():
    path = pathlib.Path(os.environ.get("SILVER", PROJECT / "build" / "silver")).absolute()
    if not os.access(path, os.X_OK):
        pytest.exit(f"{path} is not there: run `make build` first, or name the command with SILVER=PATH", 2)
    return str(path)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Where what is built and what runs is kept: nothing of the user's."""
    home = tmp_path_factory.mktemp("home")
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    kept = {name: value for name, value in os.environ.items()
            if name not in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID")}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_RUNTIME_DIR": str(runtime)}


def end_all(servers):
    with contextlib.ExitStack() as ends:
        for server in servers:
            ends.callback(server.end)


def _servers(silver, environment, logs):
    servers = []

    def serve(directory, *options, ready=True, env=None, listen="127.0.0.1:0"):
        server = Server(silver, directory, options, {**environment, **(env or {})}, logs, listen)
        servers.append(server)
        return server.wait_ready() if ready else server

    return serve, servers


@pytest.fixture
def serve(silver, environment, tmp_path_factory, request):
    """serve(directory, *options): a Server, stopped at the end; its output is shown if the test fails."""
    serve, servers = _servers(silver, environment, tmp_path_factory.mktemp("logs"))
    request.node.servers = servers
    yield serve
    end_all(servers)


@pytest.fixture(scope="module")
def serve_module(silver, environment, tmp_path_factory):
    """The same for a server that all tests of a file share."""
    serve, servers = _servers(silver, environment, tmp_path_factory.mktemp("logs"))
    yield serve
    end_all(servers)


CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser():
    """A real browser, which all tests share; each makes contexts of its own."""
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        expect.set_options(timeout=30000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def app(tmp_path):
    """app(source=…, files={…}): the directory of a new application."""

    def make(source=HELLO, name="probe", manifest=MANIFEST, files=(), directory="app"):
        return lay_out(tmp_path / directory, source, name, manifest, files)

    return make


@pytest.fixture
def command(silver, environment):
    """command("check", DIR, …): runs silver to its end."""

    def run(*words, env=None, **options):
        return subprocess.run([silver, *map(str, words)], capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=60, env={**environment, **(env or {})}, **options)

    return run


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    servers = list(getattr(item, "servers", []))
    shared = getattr(item, "funcargs", {}).get("site")
    if isinstance(shared, Server):
        servers.append(shared)
    for server in servers:
        report.sections.append((f"server {server.pid}", server.said()[-8000:]))
