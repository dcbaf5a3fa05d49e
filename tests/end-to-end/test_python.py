"""Applications in Python through the real command: what a request becomes, what waits where, and what goes wrong."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import eventually, lay_out

MANIFEST = "[production]\napp_name = {name}\nrunner = src/runner.py\n\n[slots]\n0 = 127.0.0.1:0\n"

PROBE = '''
import os, sys, time, threading

def application(environ, start_response):
    path = environ["PATH_INFO"]
    page = globals().get("page_" + path.strip("/").replace("/", "_") or "page_", page_missing)
    return page(environ, start_response)

def text(start_response, text, status="200 OK", headers=()):
    start_response(status, [("Content-Type", "text/plain"), *headers])
    return [text.encode() if isinstance(text, str) else text]

def page_(environ, start_response):
    return text(start_response, "hello from python\\n")

def page_missing(environ, start_response):
    return text(start_response, "nothing here\\n", "404 Not Found")

def page_pid(environ, start_response):
    return text(start_response, str(os.getpid()))

def page_echo(environ, start_response):
    import hashlib
    body = environ["wsgi.input"].read()
    said = f"{environ['REQUEST_METHOD']} {environ.get('CONTENT_LENGTH')} {len(body)} {hashlib.sha256(body).hexdigest()}"
    return text(start_response, said)

def page_environ(environ, start_response):
    wanted = environ["QUERY_STRING"].split("&")
    return text(start_response, repr({name: environ.get(name) for name in wanted}))

def page_headers(environ, start_response):
    start_response("201 Created", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Odd", "caf\\xe9"), ("Content-Length", "2")])
    return [b"ok"]

def page_fail(environ, start_response):
    secret_value = 42
    raise ValueError("this went wrong <here>")

def page_fail_at_length(environ, start_response):
    raise ValueError("long" * 2000000)

def page_proc(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open("/proc/self/status", "rb"))

def page_late(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"x" * 300000
    raise ValueError("too late")

def page_context(environ, start_response):
    import logging, silver
    logging.getLogger("mine").debug("a detail of the application")
    return text(start_response, repr(dict(silver.context)))

def page_hang(environ, start_response):
    if "MARK" in os.environ:
        open(os.environ["MARK"], "w").close()
    threading.Event().wait()

def page_die(environ, start_response):
    os.kill(os.getpid(), 9)

def page_endless(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    piece = b"y" * 65536
    count = 0
    while True:
        count += 1
        open(os.environ["COUNT"], "w").write(str(count * len(piece)))
        yield piece

def page_drip(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first\\n"
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)
    yield b"second\\n"

def page_file(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(os.environ["FILE"], "rb"))

def note(text):
    with open(os.environ["NOTES"], "a") as notes:
        print(text, file=notes)

def work():
    end = time.monotonic() + 2.5  # longer than a worker that is ended has
    while time.monotonic() < end:
        time.sleep(0.01)

def page_work(environ, start_response):
    note("begun")
    work()
    note("done")
    return text(start_response, "done")

class Stream:
    def __iter__(self):
        yield b"first\\n"
        note("begun")
        work()
        yield b"second\\n"
        note("not told")
        yield b"third\\n"
    def close(self):
        note("closed")

def page_stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Stream()

kept = []
def page_grow(environ, start_response):
    kept.append(bytearray(os.urandom(1) * 30000000))
    return text(start_response, str(os.getpid()))
'''


def workers(text):
    return MANIFEST + "\n[workers]\n" + text


@pytest.fixture
def python_app(tmp_path):
    """python_app(source, manifest=…, files={…}): the directory of an application in Python."""

    def make(source=PROBE, manifest=MANIFEST, files=(), name="probe", directory="app"):
        target = lay_out(tmp_path / directory, "", name, manifest, {"src/runner.py": source, **dict(files)})
        (target / "src" / f"{name}.c").unlink()
        return target

    return make


@pytest.fixture
def probe(python_app, serve):
    """probe(*options, manifest=…): the server of the application above."""
    return lambda *options, manifest=MANIFEST, env=None: serve(python_app(manifest=manifest), *options, env=env)


def pid_of(server):
    return int(server.get("/pid").body)


# ---- Pages -------------------------------------------------------------------------------------------------------


def test_a_page(probe):
    server = probe()
    response = server.get("/")
    assert response.status == 200 and response.body == b"hello from python\n"
    assert response["Content-Type"] == "text/plain" and response["Content-Length"] == "18"
    assert server.get("/nowhere").status == 404
    head = server.get("/", method="HEAD")
    assert head.status == 200 and head.body == b""
    assert server.stop() == 0


def test_many_requests_on_a_connection(probe):
    server = probe()
    with server.connect() as connection:
        for _ in range(50):
            assert connection.request("/").body == b"hello from python\n"
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
        for _ in range(10):
            assert connection.response().body == b"hello from python\n"


def test_what_the_application_hears(probe):
    server = probe()
    said = server.get("/environ?SCRIPT_NAME&PATH_INFO&HTTP_X_ODD&SERVER_NAME&SERVER_PORT&REMOTE_ADDR&wsgi.multithread",
                      "X-Odd: caf\xe9").body.decode()
    for part in ("'SCRIPT_NAME': ''", "'PATH_INFO': '/environ'", "'HTTP_X_ODD': 'caf\xe9'", "'SERVER_NAME': 'example.org'",
                 "'SERVER_PORT': '80'", "'REMOTE_ADDR': '127.0.0.1'", "'wsgi.multithread': False"):
        assert part in said


def test_headers(probe):
    response = probe().get("/headers")
    assert response.status == 201 and response.body == b"ok"
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert response["X-Odd"] == "caf\xe9" and response["Content-Length"] == "2"


def test_what_is_told_of_the_place(probe):
    server = probe(manifest=MANIFEST + "\n[log]\nlevel = debug\n")
    here = eval(server.get("/context").body)
    assert (here["application"], here["instance"], here["path"]) == ("probe", 0, "/context")
    server.wait_said("a detail of the application")


def test_static_files_come_first(python_app, serve):
    server = serve(python_app(files={"static/style.css": "p {}", "static/pid": "not the worker's"}))
    assert server.get("/style.css").body == b"p {}"
    assert server.get("/pid").body == b"not the worker's"
    assert server.get("/").body == b"hello from python\n"


def test_the_host_of_an_absolute_target_counts(probe):
    with probe().connect() as connection:
        connection.send("GET http://example.org:81/environ?HTTP_HOST&SERVER_NAME&SERVER_PORT HTTP/1.1\r\nHost: other\r\n\r\n")
        said = connection.response().body.decode()
    assert "'HTTP_HOST': 'example.org:81'" in said and "'SERVER_NAME': 'example.org'" in said and "'SERVER_PORT': '81'" in said


# ---- Bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3000000])
def test_uploads(probe, size):
    import hashlib

    server = probe()
    body = os.urandom(size)
    digest = hashlib.sha256(body).hexdigest()
    said = server.get("/echo", f"Content-Length: {size}", method="POST", body=body).body.decode()
    assert said == f"POST {size or ''} {size} {digest}" or said == f"POST {size} {size} {digest}" or size == 0
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in
                      (body[at:at + 50000] for at in range(0, size, 50000))) + b"0\r\n\r\n"
    said = server.get("/echo", "Transfer-Encoding: chunked", method="POST", body=chunks).body.decode()
    assert said.endswith(f" {size} {digest}")


def test_an_upload_in_chunks_of_one_byte(probe):
    """It is written to its file as if it came at once: a write for each byte would take this test beyond its deadline."""
    import hashlib

    server = probe()
    body = os.urandom(400000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    said = server.get("/echo", "Transfer-Encoding: chunked", method="POST", body=chunks).body.decode()
    assert said.endswith(f" {len(body)} {hashlib.sha256(body).hexdigest()}")


def test_a_file_that_may_not_grow(probe):
    """Neither the instance nor the supervisor, whose log it may be, dies of it."""
    import resource

    server = probe(manifest=workers("processes = 1\n"))
    children = f"/proc/{server.pid}/task/{server.pid}/children"
    with open(children) as file:
        processes = [server.pid, *map(int, file.read().split())]
    log = os.path.getsize(server.err)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log + 100, log + 100))
    for process in processes[1:]:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (100000, 100000))
    response = server.get("/echo", method="POST", body=b"z" * 300000)
    assert response.status == 503 and response["Retry-After"]
    for _ in range(3):
        assert server.get("/fail").status == 500  # each with a traceback in the log
    assert server.get("/").status == 200
    with open(children) as file:
        assert [server.pid, *map(int, file.read().split())] == processes


def test_an_upload_that_is_too_large(probe):
    server = probe(manifest=workers("upload_size = 100000\n"))
    with server.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n")
        assert connection.response().status == 413
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (100001, b"z" * 100001)
    assert server.get("/echo", "Transfer-Encoding: chunked", method="POST", body=body).status == 413
    assert server.get("/echo", method="POST", body=b"z" * 100000).status == 200


def test_a_slow_client_holds_no_worker(probe):
    """One worker, and a client that has sent a part of its body: others are answered meanwhile."""
    server = probe(manifest=workers("processes = 1\n"))
    with server.connect() as slow:
        slow.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + "a" * 100000)
        for _ in range(5):
            assert server.get("/").status == 200
        slow.send("a" * 100000)
        assert b" 200000 " in slow.response().body


def test_a_slow_reader_holds_no_worker_and_fills_nothing(probe, tmp_path):
    """An application that yields without end is held back by its client; the rest of the instance goes on."""
    count = tmp_path / "count"
    server = probe(manifest=workers("processes = 2\nspool_size = 4000000\n"), env={"COUNT": str(count)})

    def settled():
        before = count.read_text() if count.exists() else ""
        time.sleep(0.3)  # a pause of the one who looks, not of those who work: looked at again until it holds
        return before and before == count.read_text()

    with socket.create_connection((server.host, server.port)) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(settled, "the application waits")
        assert 1000000 < int(count.read_text()) < 16000000
        assert server.get("/").status == 200
        taken = int(count.read_text())
        for _ in range(2000):
            if not reader.recv(65536):
                break
            if int(count.read_text() or taken) > taken:
                break
        else:
            pytest.fail("the application does not go on when its client reads")
    # The client is gone: the worker is free again, and so is the disk.
    eventually(lambda: server.get("/pid").status == 200, "both workers answer")
    first = pid_of(server)
    assert first


def test_a_stream_comes_as_it_is_made(probe, tmp_path):
    go = tmp_path / "go"
    server = probe(env={"GO": str(go)})
    with server.connect() as connection:
        connection.send("GET /drip HTTP/1.1\r\nHost: a\r\n\r\n")
        while b"first\n" not in connection.pending:
            assert connection._more()
        assert b"second" not in connection.pending
        go.write_text("")
        while b"second\n" not in connection.pending:
            assert connection._more()


def test_files_are_sent_whole_and_in_parts(probe, tmp_path):
    contents = os.urandom(2000000)
    (tmp_path / "file").write_bytes(contents)
    server = probe(env={"FILE": str(tmp_path / "file")})
    response = server.get("/file")
    assert response.status == 200 and response.body == contents and response["Content-Length"] == "2000000"
    (tmp_path / "file").write_bytes(b"")
    assert server.get("/file").body == b""


# ---- Failures ----------------------------------------------------------------------------------------------------


def test_a_traceback_is_a_page(probe):
    server = probe()
    response = server.get("/fail", "Accept: text/html")
    page = response.body.decode()
    assert response.status == 500
    assert "ValueError: this went wrong &lt;here&gt;" in page
    assert re.search(r"raised in <code>page_fail</code> <span class=\"soft\">src/runner.py:\d+", page)
    assert '<li class="here"><code>    raise ValueError(&quot;this went wrong &lt;here&gt;&quot;)' in page
    assert "secret_value = 42" in page  # the lines around
    assert "called by <code>application</code>" in page
    server.wait_said("incident .*GET /fail")
    assert server.get("/").status == 200


def test_production_shows_nothing_of_it(probe):
    server = probe("--production")
    response = server.get("/fail", "Accept: text/html")
    assert response.status == 500
    for part in (b"ValueError", b"runner.py", b"secret_value"):
        assert part not in response.body
    assert "this went wrong" in server.wait_said("ValueError: this went wrong").string


def test_a_failure_of_many_words(probe):
    """What a client sent may stand in an exception; it does not fill the log."""
    server = probe()
    response = server.get("/fail_at_length")
    assert response.status == 500 and len(response.body) < 500000
    eventually(lambda: "long" * 100 in server.said(), "the failure in the log")
    assert len(server.said()) < 500000


def test_a_file_that_does_not_say_its_size(probe):
    assert b"\nVmPeak:" in probe().get("/proc").body


def test_a_failure_after_the_head_breaks_the_connection(probe):
    server = probe()
    with server.connect() as connection:
        connection.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(AssertionError, match="closed"):
            connection.response()
    server.wait_said("too late")
    assert server.get("/").status == 200


def test_a_request_that_hangs(probe):
    server = probe(manifest=workers("timeout_ms = 500\n"))
    before = pid_of(server)
    response = server.get("/hang")
    assert response.status == 504
    server.wait_said(r"in page_hang")  # the stack of the thread that hangs
    eventually(lambda: server.get("/").status == 200, "the next worker answers")
    assert pid_of(server) != before  # what never returns was ended


def test_no_worker_is_free(probe, tmp_path):
    mark = tmp_path / "mark"
    server = probe(manifest=workers("timeout_ms = 1000\n"), env={"MARK": str(mark)})
    with server.connect() as first:
        first.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(mark.exists, "the worker has it")
        response = server.get("/")
        assert response.status == 503 and response["Retry-After"] == "1"
        assert first.response().status == 504
    eventually(lambda: server.get("/").status == 200, "the next worker answers")


@pytest.mark.parametrize("page, last", [("work", "done"), ("stream", "closed")])
def test_a_client_that_goes_breaks_nothing_off(probe, tmp_path, page, last):
    """The handler runs to its end, however long that takes; a stream is told when it gives something."""
    notes = tmp_path / "notes"
    notes.touch()
    server = probe(env={"NOTES": str(notes)})
    before = pid_of(server)
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % page.encode())
    eventually(lambda: "begun" in notes.read_text(), "the handler has begun")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    eventually(lambda: last in notes.read_text(), "it has come to its end")
    assert "not told" not in notes.read_text()
    assert pid_of(server) == before
    assert "given up" not in server.said()


def test_a_worker_that_is_killed(probe):
    server = probe()
    before = pid_of(server)
    response = server.get("/die")
    assert response.status == 502
    server.wait_said(r"SIGKILL|signal 9")
    assert server.get("/").status == 200
    assert pid_of(server) != before
    os.kill(pid_of(server), signal.SIGKILL)
    assert server.get("/").status in (200, 502)
    eventually(lambda: server.get("/").status == 200, "the next worker answers")


def test_recycling_on_memory(probe):
    server = probe(manifest=workers("memory = 120000000\n"))
    first = int(server.get("/grow").body)

    def replaced():
        return int(server.get("/grow").body) != first

    eventually(replaced, "another worker", pause=0.1)
    assert server.get("/").status == 200


def test_recycling_after_calls_refuses_nobody(probe):
    server = probe(manifest=workers("calls = 20\n"))
    first = server.get("/pid").body

    def replaced():
        response = server.get("/pid")
        assert response.status == 200
        return response.body != first

    eventually(replaced, "another worker")


# ---- Development -------------------------------------------------------------------------------------------------


def test_a_change_reloads(python_app, serve):
    directory = python_app()
    server = serve(directory)
    assert server.get("/").body == b"hello from python\n"
    runner = directory / "src" / "runner.py"
    runner.write_text(PROBE.replace("hello from python", "changed"))
    eventually(lambda: server.get("/").body == b"changed\n", "the change")
    (directory / "src" / "words.py").write_text("word = 'one'")
    runner.write_text(PROBE.replace("hello from python\\n", "\" + __import__('words').word + \""))
    eventually(lambda: server.get("/").body == b"one", "the module")
    (directory / "src" / "words.py").write_text("word = 'two'")
    eventually(lambda: server.get("/").body == b"two", "the module's change")


def test_a_broken_import_is_a_page_until_it_is_mended(python_app, serve):
    directory = python_app()
    server = serve(directory)
    runner = directory / "src" / "runner.py"
    runner.write_text("import nothing_of_this_name\n" + PROBE)
    page = eventually(lambda: (r := server.get("/", "Accept: text/html")).status == 500 and r.body.decode(), "the page")
    assert "ModuleNotFoundError: No module named &#39;nothing_of_this_name&#39;" in page
    assert '<li class="here"><code>import nothing_of_this_name' in page and "location.reload()" in page
    runner.write_text("def broken(:\n" + PROBE)
    page = eventually(lambda: (t := server.get("/", "Accept: text/html").body.decode()).count("SyntaxError") and t, "the page")
    assert '<li class="here"><code>def broken(:' in page
    runner.write_text(PROBE)
    eventually(lambda: server.get("/").body == b"hello from python\n", "it is mended")
    assert server.stop() == 0


def test_broken_from_the_start(python_app, serve):
    directory = python_app("raise RuntimeError('not today')\n")
    server = serve(directory)
    response = server.get("/")
    assert response.status == 500 and b"not today" in response.body
    (directory / "src" / "runner.py").write_text(PROBE)
    eventually(lambda: server.get("/").status == 200, "it is mended")


def test_broken_in_production_does_not_start(python_app, serve):
    server = serve(python_app("raise RuntimeError('not today')\n"), "--production", ready=False)
    assert server.wait() == 1
    assert "not today" in server.said() and "runner.py" in server.said()


def test_no_such_object(python_app, serve):
    server = serve(python_app(manifest=MANIFEST.replace("runner.py", "runner.py#app")), "--production", ready=False)
    assert server.wait() == 1
    assert "app" in server.said()


def test_another_object(python_app, serve):
    server = serve(python_app(PROBE + "\nother = application\ndel application\n",
                              manifest=MANIFEST.replace("runner.py", "runner.py#other")))
    assert server.get("/environ?x").status == 200


# ---- Packages ----------------------------------------------------------------------------------------------------


def test_check(python_app, command):
    directory = python_app()
    assert command("check", directory).stdout == "probe: all is well\n"
    (directory / "src" / "broken.py").write_text("x = 1\ndef f(:\n")
    done = command("check", directory)
    assert done.returncode == 1 and "src/broken.py:2: SL0130: invalid syntax\n" in done.stdout
    (directory / "src" / "runner.py").unlink()
    done = command("check", directory)
    assert done.returncode == 1 and "SL0120: the runner src/runner.py cannot be read" in done.stdout


REQUIREMENTS = """\
# what it needs
nothing-of-this_name>=1.0  # a comment
-r more.txt
other; python_version < "3"
--no-binary :all:
"""


def test_missing_packages_are_told(python_app, command, serve):
    directory = python_app("import nothing_of_this_name\n", files={
        "requirements.txt": REQUIREMENTS, "more.txt": "another.missing \\\n  == 2\n!!\n"})
    done = command("check", directory)
    assert done.returncode == 1
    lines = done.stdout
    assert "requirements.txt:2: SL0132: the package nothing-of-this_name is not installed" in lines
    assert "more.txt:1: SL0132: the package another.missing is not installed" in lines
    assert "more.txt:3: SL0132: `!!` is no requirement" in lines
    assert "other" not in lines.replace("another", "")
    assert f"`cd {directory} && /usr/bin/python3 -m venv venv && venv/bin/python -m pip install -r requirements.txt`" in lines
    server = serve(directory)
    server.wait_said("SL0132: the package nothing-of-this_name is not installed")
    page = server.get("/").body.decode()
    assert "ModuleNotFoundError" in page and "-m pip install -r requirements.txt" in page


def test_packages_of_pyproject(python_app, command):
    directory = python_app(files={"pyproject.toml": '[project]\nname = "p"\ndependencies = [\n  "missing-one>2",\n]\n'})
    done = command("check", directory)
    assert "pyproject.toml:4: SL0132: the package missing-one is not installed" in done.stdout
    assert "pip install 'missing-one>2'" in done.stdout
    (directory / "pyproject.toml").write_text("[project\n")
    assert "pyproject.toml:1: SL0132" in command("check", directory).stdout


def install(directory, name, version, venv="venv"):
    """As pip would, without it and without a network."""
    packages = directory / venv / "lib" / "python3.11" / "site-packages"
    about = packages / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (packages / f"{name}.py").write_text(f"version = '{version}'\n")
    return packages


SHOWS = "import thing\ndef application(e, s):\n    s('200 OK', [])\n    return [thing.version.encode()]\n"


def test_versions_and_where_packages_are_looked_for(python_app, command, serve):
    directory = python_app(SHOWS, files={"requirements.txt": "thing>=2\n", "venv/pyvenv.cfg": "home = /nowhere\n"})
    install(directory, "thing", "1.5")
    done = command("check", directory)
    assert done.returncode == 1
    assert "requirements.txt:1: SL0132: the package thing is installed in version 1.5, and >=2 is asked for" in done.stdout
    (directory / "requirements.txt").write_text("Thing ~= 1.2\n")
    assert command("check", directory).returncode == 0
    assert serve(directory).get("/").body == b"1.5"


def test_a_copied_directory_runs(python_app, command, serve, tmp_path):
    """The virtualenv is found where it lies now, and not where it was made."""
    directory = python_app(SHOWS, files={"requirements.txt": "thing\n"})
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", directory / "venv"], check=True, timeout=60)
    install(directory, "thing", "3")
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(directory, copy, symlinks=True)
    shutil.rmtree(directory)
    assert command("check", copy).returncode == 0
    assert serve(copy).get("/").body == b"3"


def test_lib_python_is_on_the_path(python_app, command, serve):
    directory = python_app(SHOWS, files={"lib/python/thing.py": "version = 'carried'\n", "requirements.txt": "thing\n"})
    assert command("check", directory).returncode == 0
    assert serve(directory).get("/").body == b"carried"


def test_a_virtualenv_of_another_python(python_app, command):
    directory = python_app()
    (directory / "venv" / "lib" / "python3.2" / "site-packages").mkdir(parents=True)
    done = command("check", directory)
    assert done.returncode == 1
    assert "SL0133: this virtualenv was made for Python 3.2, and silver runs Python 3.11" in done.stdout
    (directory / "app.ini").write_text(MANIFEST.format(name="probe").replace("[slots]", "virtualenv = none\n[slots]"))
    done = command("check", directory)
    assert "SL0133: there is no virtualenv none" in done.stdout and "-m venv none" in done.stdout


# ---- silver init ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_init(command, serve, environment, tmp_path, kind):
    directory = tmp_path / "guests"
    done = command("init", "--runner", kind, directory)
    assert done.returncode == 0, done.stderr
    assert (directory / "venv" / "pyvenv.cfg").exists() and "src/runner.py" in done.stdout
    assert command("check", directory).returncode == 0
    done = subprocess.run(["/usr/bin/python3", directory / "tests" / "test_application.py"], capture_output=True, text=True,
                          env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    server = serve(directory)
    page = server.get("/")
    assert page.status == 200 and page["Content-Type"].startswith("text/html")
    for reference in re.findall(rb'(?:href|src)="(/[^"]+)"', page.body):
        assert server.get(reference.decode()).status == 200
    if kind == "wsgi":
        form = b"author=Ada&text=Is+1+%3C+2%3F"
        done = server.get("/", "Content-Type: application/x-www-form-urlencoded", method="POST", body=form)
        assert done.status == 303 and done["Location"] == "/"
        assert b"Is 1 &lt; 2?" in server.get("/").body


def test_init_of_an_unknown_kind(command, tmp_path):
    done = command("init", "--runner", "perl", tmp_path / "x")
    assert done.returncode == 2 and "c, wsgi or asgi" in done.stderr
