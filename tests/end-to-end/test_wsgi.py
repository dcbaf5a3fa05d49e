"""The worker serves WSGI: PEP 3333 to the letter, streaming, files, failures. Each test talks to one silver-python."""

import os
import re
import signal
import textwrap

import pytest

from conftest import eventually

from python_worker import BODY, CREDIT, DATA, END, FAILED, HEAD, RESULT, Worker


@pytest.fixture
def worker(tmp_path, environment):
    workers = []

    def start(source, **more):
        workers.append(Worker(tmp_path, textwrap.dedent(source), environment, **more))
        return workers[-1]

    yield start
    for each in workers:
        each.end()


def app(body, head='start_response("200 OK", [("Content-Type", "text/plain")])'):
    """An application that runs these lines after its head."""
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"import sys, os\n\ndef application(environ, start_response):\n    {head}\n{lines}\n"


# ---- Beginning ---------------------------------------------------------------------------------------------------


def test_says_who_it_is(worker):
    w = worker(app("return [b'x']"))
    assert w.hello["value"]["service"] == "silver.web"
    assert [m["name"] for m in w.hello["value"]["methods"]] == ["serve", "about"]
    w.put(kind=4, call=2, word=1)
    about = w.next(lambda p: p.get("call") == 2)["value"]
    assert about["interface"] == "wsgi" and re.fullmatch(r"3\.\d+\.\d+\S*", about["python"])
    assert w.stop() == {"exited": 0, "signal": 0}


@pytest.mark.parametrize("source, message, hint", [
    ("import nosuchmodule\n", "ModuleNotFoundError: No module named 'nosuchmodule'", "pip install"),
    ("def application(:\n", "SyntaxError: ", ""),
    ("app = lambda environ, start_response: []\n", "src/runner.py has no object named application",
     "runner = src/runner.py#app"),
    ("def create_app():\n    pass\n", "has no object named application", "application = create_app()"),
    ("def application():\n    pass\n", "is neither WSGI nor ASGI", "application = application()"),
    ("application = 5\n", "is no application", "runner = src/runner.py#NAME"),
    ("def application(one):\n    pass\n", "is neither WSGI nor ASGI", "environ, start_response"),
])
def test_what_does_not_load_is_told(worker, source, message, hint):
    w = worker(source, ready=False)
    trouble = w.next(lambda p: p["kind"] == FAILED)["value"]
    assert message in trouble["message"]
    assert hint in (trouble["hint"] or "")
    if "Error" in message:
        assert trouble["places"][0]["file"].endswith("src/runner.py") and trouble["places"][0]["line"] == 1
    assert w.next(lambda p: "exited" in p)["exited"] == 1


@pytest.mark.parametrize("source", [
    "class A:\n    def __call__(self, environ, start_response):\n        start_response('200 OK', [])\n        return []\n"
    "application = A()\n",
    "class application:\n    def __init__(self, environ, start_response):\n        start_response('200 OK', [])\n"
    "    def __iter__(self):\n        return iter([b'x'])\n",
    "import functools\ndef f(x, environ, start_response):\n    start_response('200 OK', [])\n    return []\n"
    "application = functools.partial(f, 1)\n",
    "def wrap(f):\n    def inner(*args, **kw):\n        return f(*args, **kw)\n    return inner\n"
    "@wrap\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n",
])
def test_finds_out_by_looking_that_it_is_wsgi(worker, source):
    assert worker(source).get().status == 200


def test_paths(worker, tmp_path):
    """The runner's directory, lib/python/ in front of all, its .pth files; PYTHONPATH does not count."""
    for path, text in {"src/beside.py": "x = 1", "lib/python/carried.py": "x = 2", "lib/python/more.pth": "extra\n",
                       "lib/python/extra/deep.py": "x = 3", "elsewhere/stray.py": ""}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    w = worker("""
        import beside, carried, deep, sys
        try:
            import stray
        except ImportError:
            stray = None
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr((beside.x, carried.x, deep.x, stray, sys.flags.utf8_mode)).encode()]
        """, env={"PYTHONPATH": str(tmp_path / "elsewhere"), "LANG": "C", "LC_ALL": "C"})
    assert w.get().body == b"(1, 2, 3, None, 1)"


def test_a_file_in_a_package_is_its_module(worker, tmp_path):
    (tmp_path / "src/site").mkdir(parents=True)
    (tmp_path / "src/mysite").mkdir()
    (tmp_path / "src/mysite/__init__.py").write_text("")
    (tmp_path / "src/mysite/settings.py").write_text("x = 'relative'")
    w = worker("from . import settings\nfrom mysite.settings import x\n" + app("return [(__name__ + x).encode()]"),
               module="src/mysite/wsgi.py")
    assert w.get().body == b"mysite.wsgirelative"


def test_virtualenv(worker, tmp_path):
    version = "%d.%d" % tuple(map(int, python_version(worker, tmp_path).split(".")[:2]))
    packages = tmp_path / f"venv/lib/python{version}/site-packages"
    packages.mkdir(parents=True)
    (packages / "installed.py").write_text("x = 'from the virtualenv'")
    (packages / "link.pth").write_text(str(tmp_path / "linked") + "\n")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/develop.py").write_text("x = 'by .pth'")
    (tmp_path / "venv/pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}.1\n")
    w = worker("import sys, installed, develop\n" +
               app("return [repr((installed.x, develop.x, sys.prefix)).encode()]"))
    assert w.get().body.decode() == repr(("from the virtualenv", "by .pth", str(tmp_path / "venv")))


def test_virtualenv_of_another_python_is_refused_by_name(worker, tmp_path):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.4.5\n")
    w = worker(app("return []"), ready=False)
    trouble = w.hello["value"]
    assert "is of Python 3.4; this program runs Python 3." in trouble["message"] and "-m venv" in trouble["hint"]


def python_version(worker, tmp_path):
    w = worker(app("import platform; return [platform.python_version().encode()]"), env={"SILVER_VENV": ""})
    return w.get().body.decode()


# ---- The environment -----------------------------------------------------------------------------------------------


def test_environ(worker):
    w = worker(app("return [repr({k: v for k, v in environ.items() if isinstance(v, (str, tuple, bool))}).encode()]"))
    environ = eval(w.get("/caf\u00e9/a b", query="x=1&y=%20", headers=[
        ("accept", "a"), ("accept", "b"), ("accept", "b"), ("cookie", "a=1"), ("cookie", "b=2"), ("x-thing", "\xe9"),
        ("x_thing", "spoofed"), ("proxy", "evil"), ("content-type", "text/x")]).body)
    assert environ["REQUEST_METHOD"] == "GET" and environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/caf\u00e9/a b".encode().decode("latin-1")
    assert environ["QUERY_STRING"] == "x=1&y=%20" and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("example.org", "80", "192.0.2.7")
    assert environ["HTTP_ACCEPT"] == "a,b,b" and environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_THING"] == "\xe9" and environ["HTTP_HOST"] == "example.org"
    assert environ["CONTENT_TYPE"] == "text/x" and "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_PROXY" not in environ and "CONTENT_LENGTH" not in environ
    assert environ["wsgi.version"] == (1, 0) and environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.multithread"] is False and environ["wsgi.multiprocess"] is True
    assert environ["wsgi.run_once"] is False and "HTTPS" not in environ


def test_environments_do_not_leak_into_each_other(worker):
    w = worker(app("environ['mine'] = 1; return [','.join(sorted(k for k in environ if 'HTTP' in k or k == 'mine')).encode()]"))
    assert w.get(headers=[("x-a", "1")]).body == b"HTTP_HOST,HTTP_X_A,mine"
    assert w.get(scheme="https").body == b"HTTPS,HTTP_HOST,mine"
    assert w.get(headers=[(f"x-{i}", "v") for i in range(600)]).body.count(b",") == 601
    assert w.get(headers=[("x-599", "w")]).body == b"HTTP_HOST,HTTP_X_599,mine"


@pytest.mark.parametrize("large", [False, True])
def test_input(worker, tmp_path, large):
    lines = [b"first\n", b"\n", b"x" * (100000 if large else 20) + b"\n", b"last, without end"]
    body = b"".join(lines)
    w = worker(app("""
        i = environ["wsgi.input"]
        how = environ["PATH_INFO"]
        if how == "/read":
            out = [i.read(3), i.read(0), i.read(-1), i.read(), i.read(5)]
        elif how == "/lines":
            out = list(i) + [i.readline(), i.read()]
        elif how == "/readline":
            out = [i.readline(3), i.readline(), i.readline(None), i.readline(5), i.read(2)]
        elif how == "/readlines":
            out = i.readlines(6) + [b"|"] + i.readlines()
        else:
            try:
                i.read(1, 2)
            except TypeError as e:
                out = [b"TypeError"]
        return [repr((environ["CONTENT_LENGTH"], out)).encode()]"""))
    given = {"body": body}
    if large:
        (tmp_path / "upload").write_bytes(body)
        given = {"file": tmp_path / "upload"}

    def ask(how):
        length, out = eval(w.get(how, method="POST", **given).body)
        assert length == str(len(body))
        return out

    assert ask("/read") == [body[:3], b"", body[3:], b"", b""]
    assert ask("/lines") == lines + [b"", b""]
    assert ask("/readline") == [b"fir", b"st\n", b"\n", lines[2][:5], lines[2][5:7]]
    assert ask("/readlines") == [b"first\n", b"\n" if False else b"|"] + lines[1:]
    assert ask("/wrong") == [b"TypeError"]


def test_input_is_over_with_its_request(worker):
    w = worker("kept = []\n" + app("""
        out = repr([each.read() for each in kept])
        kept.append(environ["wsgi.input"])
        return [out.encode()]"""))
    assert w.get(method="POST", body=b"secret").body == b"[]"
    assert w.get(method="POST", body=b"other").body == b"[b'']"


def test_validator(worker, tmp_path):
    (tmp_path / "big").write_bytes(b"0123456789\n" * 20000)
    w = worker("""
        from wsgiref.validate import validator
        def inner(environ, start_response):
            i = environ["wsgi.input"]
            size = len(i.read(3)) + len(i.readline()) + sum(map(len, i)) + len(i.read(10))
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            if environ["PATH_INFO"] == "/write":
                write(b"written ")
            print("an error line", file=environ["wsgi.errors"])
            return [str(size).encode(), b" bytes"]
        application = validator(inner)
        """)
    assert w.get().body == b"0 bytes"
    assert w.get("/write").body == b"written 0 bytes"
    assert w.get(method="POST", body=b"some\nlines\n").body == b"11 bytes"
    assert w.get(method="POST", file=tmp_path / "big").body == b"220000 bytes"
    assert "an error line" in w.said()


# ---- start_response ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status, headers, error", [
    ("200", [], "ValueError: the status must be"),
    ("OK", [], "ValueError: the status must be"),
    ("100 Continue", [], "ValueError: the status must be"),
    ("200 O\r\nX: y", [], "ValueError: the status must be"),
    (b"200 OK", [], "TypeError: the status must be a str"),
    ("200 OK", (("A", "b"),), "TypeError: the headers must be a list"),
    ("200 OK", [["A", "b"]], "TypeError: a header must be a tuple of two str"),
    ("200 OK", [("A", b"b")], "TypeError: a header must be a tuple of two str"),
    ("200 OK", [("A b", "c")], "ValueError: 'A b' is no name of a header"),
    ("200 OK", [("", "c")], "ValueError: '' is no name of a header"),
    ("200 OK", [("A", "b\r\nSet-Cookie: x")], "ValueError: the value of the header 'A'"),
    ("200 OK", [("A", "\u20ac")], "ValueError: the value of the header 'A'"),
    ("200 OK", [("Connection", "close")], "is about the connection"),
    ("200 OK", [("transfer-encoding", "chunked")], "is about the connection"),
    ("200 OK", [("Content-Length", "-5")], "Content-Length must be a number"),
    ("200 OK", [("Content-Length", "5"), ("content-length", "5")], "two headers Content-Length"),
])
def test_start_response_refuses(worker, status, headers, error):
    w = worker(app("return [b'x']", head=f"start_response({status!r}, {headers!r})"))
    answer = w.get()
    assert answer.status is None and error in answer.trouble["message"]
    assert answer.trouble["places"][0]["function"] == "application"


def test_headers_go_as_they_were_given(worker):
    w = worker(app("return [b'x']", head="h = [('X-E', '\\xe9'), ('Set-Cookie', 'a'), ('Set-Cookie', 'b')]\n"
                                         "    start_response('404 No such thing', h)\n    h.append(('Late', 'x'))"))
    answer = w.get()
    assert answer.status == 404
    assert answer.headers == [("X-E", "\xe9"), ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Content-Length", "1")]


def test_exc_info_before_and_after_the_head(worker):
    w = worker("""
        import sys
        def application(environ, start_response):
            start_response("200 OK", [("A", "1")])
            if environ["PATH_INFO"] == "/twice":
                start_response("200 OK", [])
            if environ["PATH_INFO"] == "/late":
                yield b"begun"
            try:
                raise KeyError("lost")
            except KeyError:
                start_response("500 Oops", [("B", "2")], sys.exc_info())
            yield b"sorry"
        """)
    answer = w.get("/early")
    assert (answer.status, answer.headers, answer.body) == (500, [("B", "2")], b"sorry")
    answer = w.get("/late")
    assert (answer.status, answer.body, answer.trouble["message"]) == (200, b"begun", "KeyError: 'lost'")
    assert "called twice" in w.get("/twice").trouble["message"]


@pytest.mark.parametrize("lines, message", [
    ("return [b'x']", "before it called start_response"),
    ("return None", "TypeError: the body must be an iterable of bytes, such as [body]; the application gave <class 'NoneType'>"),
    ("pass", "has it no `return`?"),
])
def test_start_response_must_be_called(worker, lines, message):
    assert message in worker(app(lines, head="pass")).get().trouble["message"]


@pytest.mark.parametrize("result", ["'text'", "b'bytes'", "['text']", "[5]", "iter([b'a', None])"])
def test_bodies_are_iterables_of_bytes(worker, result):
    trouble = worker(app(f"return {result}")).get().trouble
    assert trouble["message"].startswith("TypeError: ") and "bytes" in trouble["message"]


def test_kept_start_response_does_nothing_to_later_requests(worker):
    w = worker("kept = []\n" + """
def application(environ, start_response):
    if kept:
        for call in (lambda: kept[0]("200 OK", [], None), lambda: kept[1](b"x")):
            try:
                call()
            except RuntimeError as e:
                print(e)
    write = start_response("200 OK", [])
    kept[:] = [start_response, write]
    return [b"fine"]
""")
    assert [w.get().body for _ in range(3)] == [b"fine"] * 3
    assert "after its request had ended" in w.said()


# ---- Bodies --------------------------------------------------------------------------------------------------------


def test_small_is_one_packet(worker):
    answer = worker(app("return [b'hello']")).get()
    assert answer.packets == [(DATA, HEAD), (RESULT, 0)]
    assert answer.last and answer["content-length"] == "5" and answer.body == b"hello"


@pytest.mark.parametrize("lines, body", [
    ("return []", b""),
    ("return ()", b""),
    ("return [b'a', b'', b'b']", b"ab"),
    ("return [b'x' * 300000]", b"x" * 300000),
    ("return (b'%d ' % i for i in range(5))", b"0 1 2 3 4 "),
    ("return iter([b''])", b""),
    ("return [bytes([i % 256]) * 5000 for i in range(200)]", b"".join(bytes([i % 256]) * 5000 for i in range(200))),
], ids=["none", "empty", "list", "large", "generator", "nothing", "pieces"])
def test_bodies_arrive_whole(worker, lines, body):
    answer = worker(app(lines)).get()
    assert answer.trouble is None and answer.body == body and (answer.last or answer.ended)


def test_each_piece_is_sent_before_the_next_is_asked_for(worker):
    w = worker(app("""
        yield b"one"
        print("asked for two", flush=True)
        yield b"two"
        import time
        while not os.path.exists(environ["PATH_INFO"]):
            time.sleep(0.01)
        yield b"three" """))
    flag = os.path.join(os.path.dirname(w.errors), "flag")
    call = w.begin(flag)
    assert w.next(lambda p: p["kind"] == DATA and p["word"] == HEAD)["call"] == call
    w.next(lambda p: p["kind"] == DATA and p["word"] == BODY and p["data"] == "dHdv")
    open(flag, "w").close()
    assert w.finish(call).body == b"three"


def test_content_length_that_is_fulfilled_ends_the_response(worker):
    w = worker("""
        closed = []
        class Body:
            def __iter__(self):
                yield b"12345"
                closed.append("asked for more")
            def close(self):
                closed.append("closed")
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            if environ["PATH_INFO"] == "/what":
                return [b"%-5d" % len(closed)]
            return Body()
        """)
    assert w.get().packets == [(DATA, HEAD), (RESULT, 0)]
    assert w.get("/what").body == b"1    "


def test_content_length_must_be_true(worker):
    w = worker("""
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "5")])
            if environ["PATH_INFO"] == "/long":
                return [b"123456789"]
            if environ["PATH_INFO"] == "/short":
                return [b"123"]
            return iter([b"12", b"3"])
        """)
    answer = w.get("/long")
    assert answer.body == b"12345" and answer.trouble is None
    assert w.log("GET /long: the application gave more bytes than its Content-Length of 5")[0] == 3
    answer = w.get("/short")
    assert answer.status is None and "says 5 bytes, and it gave 3" in answer.trouble["message"]
    answer = w.get("/pieces")
    assert answer.body == b"123" and "says 5 bytes, and it gave 3" in answer.trouble["message"]


def test_head_has_no_body(worker):
    w = worker(app("return [b'hello'] if environ['PATH_INFO'] == '/list' else iter([b'a', b'b'])"))
    answer = w.get("/list", method="HEAD")
    assert (answer.status, answer.body, answer.last, answer["content-length"]) == (200, b"", True, "5")
    answer = w.get(method="HEAD")
    assert (answer.status, answer.body, answer.last, answer["content-length"]) == (200, b"", True, None)


def test_statuses_without_body(worker):
    w = worker(app("return [b'must not be']", head="start_response('304 Not Modified', [('ETag', '\"x\"')])"))
    answer = w.get("/cached")
    assert (answer.status, answer.body, answer.last, answer["content-length"]) == (304, b"", True, None)
    w.log("gave a body with a status that has none")


def test_write(worker):
    w = worker("""
        def application(environ, start_response):
            write = start_response("200 OK", [])
            write(b"")
            write(b"now ")
            try:
                write("text")
            except TypeError as e:
                write(b"TypeError ")
            return [b"then"]
        """)
    assert w.get().body == b"now TypeError then"


def test_close_is_always_called(worker):
    w = worker("""
        closed = []
        class Body:
            def __init__(self, how):
                self.how, self.left = how, 3
            def __iter__(self):
                return self
            def __next__(self):
                if self.how == "/raises" and self.left == 1:
                    raise ValueError("in the middle")
                self.left -= 1
                if self.left < 0:
                    raise StopIteration
                return b"x"
            def close(self):
                closed.append(self.how)
                if self.how == "/bad-close":
                    raise OSError("cannot close")
        def application(environ, start_response):
            how = environ["PATH_INFO"]
            if how == "/closed":
                start_response("200 OK", [])
                return [",".join(closed).encode()]
            if how != "/no-start":
                start_response("200 OK", [])
            return Body(how)
        """)
    assert w.get("/fine").body == b"xxx"
    assert w.get("/raises").trouble["message"] == "ValueError: in the middle"
    assert w.get("/no-start").trouble
    assert w.get("/bad-close").body == b"xxx"
    assert "OSError: cannot close" in w.log("close() of what the application gave failed")[2]
    assert w.get("/head", method="HEAD").status == 200
    assert w.get("/closed").body == b"/fine,/raises,/no-start,/bad-close,/head"


# ---- Back-pressure and leaving -------------------------------------------------------------------------------------

STREAM = """
    import resource
    made = 0
    closed = False
    class Body:
        def __iter__(self):
            return self
        def __next__(self):
            global made
            made += 1
            return b"x" * 50000
        def close(self):
            global closed
            closed = True
    def application(environ, start_response):
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/made":
            return [repr((made, closed)).encode()]
        return Body()
    """


def test_an_application_faster_than_its_client_waits(worker):
    w = worker(STREAM, env={"SILVER_THREADS": "2"})
    w.put(credit=False)
    call = w.begin("/endless")
    got, packets = 0, []
    while got + 50000 <= 256 * 1024:
        got += w.next(lambda p: p.get("call") == call)["size"]
    w.put(credit=True)  # for the other request
    made, closed = eval(w.get("/made").body)
    assert made * 50000 <= 256 * 1024 + 100000 and not closed
    w.put(credit=False)
    w.put(kind=CREDIT, call=call, word=100)
    more = 0
    while more + 50000 <= 100 * 1024:
        more += w.next(lambda p: p.get("call") == call)["size"]
    w.cancel(call)
    w.next(lambda p: p.get("call") == call and p["kind"] == RESULT)
    made_after, closed = eval(w.get("/made").body)
    assert made_after <= made + 4 and closed


def test_a_client_that_goes_ends_the_iteration(worker):
    w = worker(STREAM)
    call = w.begin("/endless")
    w.next(lambda p: p.get("call") == call)
    w.cancel(call)
    w.next(lambda p: p.get("call") == call and p["kind"] == RESULT)
    assert eval(w.get("/made").body)[1] is True


def test_write_to_a_client_that_has_gone_fails(worker):
    w = worker("""
        def application(environ, start_response):
            write = start_response("200 OK", [])
            try:
                while True:
                    write(b"x" * 10000)
            except ConnectionError as e:
                print("told:", e)
            return []
        """)
    call = w.begin()
    w.next(lambda p: p.get("call") == call)
    w.cancel(call)
    w.next(lambda p: p.get("call") == call and p["kind"] == RESULT)
    assert "told: the client is gone" in w.said()


# ---- Files ---------------------------------------------------------------------------------------------------------


def test_file_wrapper(worker, tmp_path):
    data = bytes(range(256)) * 400
    (tmp_path / "data.bin").write_bytes(data)
    w = worker(f"""
        import gzip, io, tempfile
        path = {str(tmp_path / "data.bin")!r}
        closed = []
        class Noted(io.BytesIO):
            def close(self):
                closed.append(1)
                super().close()
        def application(environ, start_response):
            wrap, how = environ["wsgi.file_wrapper"], environ["PATH_INFO"]
            headers = [("Content-Length", "100")] if how == "/length" else []
            start_response("200 OK", headers)
            if how == "/gzip":
                with gzip.open(path + ".gz", "wb") as f:
                    f.write(b"packed" * 100)
                return wrap(gzip.open(path + ".gz"))
            if how == "/memory":
                return wrap(Noted(b"in memory" * 10), 4)
            if how == "/closed":
                return [repr(closed).encode()]
            if how == "/temporary":
                f = tempfile.NamedTemporaryFile()
                f.write(b"temporary")
                f.seek(4)
                return wrap(f)
            f = open(path, "rb")
            if how == "/offset":
                f.read(1000)
            return wrap(f)
        """)
    answer = w.get("/plain")
    assert answer.file == data and answer["content-length"] == str(len(data)) and answer.packets[0] == (DATA, HEAD)
    assert w.get("/offset").file == data[1000:]
    assert w.get("/length").file == data[:100]
    assert w.get("/temporary").file == b"orary"
    answer = w.get("/gzip")
    assert answer.file is None and answer.body == b"packed" * 100
    answer = w.get("/memory")
    assert answer.file is None and answer.body == b"in memory" * 10
    assert w.get("/closed").body == b"[1]"
    answer = w.get("/plain", method="HEAD")
    assert answer.file is None and answer.last and answer["content-length"] == str(len(data))


# ---- Failures ------------------------------------------------------------------------------------------------------


def test_an_exception_is_told_with_its_frames(worker):
    w = worker("""
        def inner(x):
            return 1 / x
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/deep":
                return inner(0)
            start_response("200 OK", [])
            return [b"alive"]
        """)
    trouble = w.get("/deep").trouble
    assert trouble["message"] == "ZeroDivisionError: division by zero"
    assert [(os.path.basename(p["file"]), p["line"], p["function"]) for p in trouble["places"]] == [
        ("runner.py", 3, "inner"), ("runner.py", 6, "application")]
    assert trouble["detail"].startswith("Traceback (most recent call last):") and "return 1 / x" in trouble["detail"]
    assert w.get().body == b"alive"


@pytest.mark.parametrize("what", ["SystemExit(3)", "KeyboardInterrupt()", "RecursionError('x' * 200000)",
                                  "type('Odd', (Exception,), {'__str__': lambda self: 1/0})()", "Exception('\\ud800')"])
def test_nothing_that_is_raised_kills_the_worker(worker, what):
    w = worker(app(f"""
        if environ["PATH_INFO"] == "/raise":
            raise {what}
        return [b"alive"]"""))
    trouble = w.get("/raise").trouble
    assert trouble and trouble["message"]
    assert w.get().body == b"alive"


def test_a_failure_in_the_middle_breaks_the_response_off(worker):
    w = worker(app("yield b'begun'\nraise ValueError('late')"))
    answer = w.get()
    assert (answer.status, answer.body, answer.ended) == (200, b"begun", False)
    assert answer.trouble["message"] == "ValueError: late"


def test_deep_recursion_is_an_exception(worker):
    w = worker("def application(environ, start_response):\n    return application(environ, start_response)\n",
               env={"SILVER_THREADS": "2"})
    assert w.get().trouble["message"].startswith("RecursionError")
    assert w.get().trouble["message"].startswith("RecursionError")


# ---- Threads -------------------------------------------------------------------------------------------------------


def test_threads_serve_at_once(worker):
    w = worker("""
        import threading
        barrier = threading.Barrier(4)
        def application(environ, start_response):
            barrier.wait(20)
            start_response("200 OK", [])
            return [b"%r %s" % (environ["wsgi.multithread"], threading.current_thread().name.encode())]
        """, env={"SILVER_THREADS": "4"})
    assert w.hello["value"]["concurrency"] == 4
    calls = [w.begin() for _ in range(4)]
    bodies = sorted(w.finish(call).body for call in calls)
    assert bodies == [b"True MainThread", b"True silver-1", b"True silver-2", b"True silver-3"]


def test_many_requests_by_threads(worker):
    w = worker("""
        def application(environ, start_response):
            body = environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [body[i:i + 1000] for i in range(0, len(body), 1000)]
        """, env={"SILVER_THREADS": "3"})
    bodies = [bytes([i % 256]) * (i * 37 % 9000 + 1) for i in range(300)]
    calls = [(w.begin(method="POST", body=body), body) for body in bodies]
    for call, body in calls:
        assert w.finish(call).body == body
    assert w.stop() == {"exited": 0, "signal": 0}


# ---- The log -------------------------------------------------------------------------------------------------------


def test_logging_reaches_the_slots_log(worker):
    w = worker("""
        import logging, silver
        logging.basicConfig(level=logging.DEBUG)
        def application(environ, start_response):
            logging.getLogger("shop.cart").debug("quiet")
            logging.info("to the root: %d", 5)
            logging.getLogger("shop").warning("a warning")
            try:
                1 / 0
            except ZeroDivisionError:
                logging.getLogger("shop").exception("failed")
            silver.log.info("by %s", "silver")
            print("printed")
            print("to stderr", file=__import__("sys").stderr)
            start_response("200 OK", [])
            return [b"x"]
        """)
    w.get()
    assert w.log("quiet") == (0, "shop.cart", "quiet")
    assert w.log("to the root") == (1, "root", "to the root: 5")
    assert w.log("a warning") == (2, "shop", "a warning")
    level, logger, message = w.log("failed")
    assert (level, logger) == (3, "shop") and "ZeroDivisionError" in message
    assert w.log("by silver")[:2] == (1, "")
    assert "printed\n" in w.said() and "to stderr\n" in w.said() and "quiet" not in w.said()


def test_logging_that_the_application_configures_is_its_own(worker):
    w = worker("""
        import logging
        logging.basicConfig(format="mine: %(message)s", level=logging.INFO)
        quiet = logging.getLogger("quiet")
        def application(environ, start_response):
            logging.getLogger("a").info("once")
            start_response("200 OK", [])
            return [b"x"]
        """)
    w.get()
    w.stop()
    assert w.said().count("mine: once") == 1 and not [r for r in w.logs if "once" in r[2]]


# ---- Hanging -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines, function", [
    ("while True:\n    pass", "spin"),
    ("import time\ntime.sleep(1000)", "spin"),
    ("import re\nre.match('(a+)+$', 'a' * 40 + 'b')", "spin"),  # C that holds the lock
])
@pytest.mark.parametrize("threads", ["1", "3"])
def test_a_hung_request_is_written_to_the_log(worker, lines, function, threads):
    w = worker("def spin():\n" + textwrap.indent(lines, "    ") +
               "\ndef application(environ, start_response):\n    print('begun')\n    return spin()\n", env={"SILVER_THREADS": threads})
    call = w.begin("/slow", query="a=1")
    w.hangs = True
    eventually(lambda: "begun" in w.said(), "the request in the application")
    w.cancel(call)
    level, _, message = w.log("GET /slow?a=1 was given up")
    assert level == 2 and re.search(r'File ".*runner\.py", line \d+ in spin', message), message
    assert 'in application' in message


def test_crash_says_where(worker):
    w = worker(app("os.abort()"))
    w.begin()
    assert w.next(lambda p: "exited" in p)["signal"] == signal.SIGABRT
    assert "in application" in w.said()
