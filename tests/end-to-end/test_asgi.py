"""ASGI applications: each sequence of events that the specification has, and what breaks it."""

import json
import pathlib
import signal
import socket
import struct

import pytest
import websocket

from asgi_probe import WRONG
from conftest import eventually, lay_out

PROBE = (pathlib.Path(__file__).parent / "asgi_probe.py").read_text()
MANIFEST = """[production]
app_name = {name}
version = 1
runner = src/runner.py

[slots]
0 = 127.0.0.1:0

[workers]
timeout_ms = 2000
spool_size = 300000

[limits]
websocket_message = 3000000
"""


def python_app(directory, source, files=(), manifest=MANIFEST):
    directory = lay_out(directory, "", manifest=manifest, files={"src/runner.py": source, **dict(files)})
    (directory / "src" / "probe.c").unlink()
    return directory


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    return serve_module(python_app(tmp_path_factory.mktemp("asgi"), PROBE), "--production")


def messages(site):
    return json.loads(site.get("/messages").body)


# ---- Scope -----------------------------------------------------------------------------------------------------


def test_scope(site):
    response = site.get("/%73cope_/%C3%A4?a=1&b=%20", "X-Name: v\xe4lue", "X-Two: 1", "X-Two: 2", "Cookie: a=b")
    assert response.status == 200
    told = json.loads(response.body)
    scope, kinds = told["scope"], told["kinds"]
    assert scope["type"] == "http" and scope["method"] == "GET" and scope["scheme"] == "http"
    assert scope["asgi"]["version"] == "3.0" and scope["http_version"] == "1.1"
    assert scope["path"] == "/scope_/\xe4" and kinds["path"] == "str"
    assert scope["raw_path"] == "/%73cope_/%C3%A4" and kinds["raw_path"] == "bytes"
    assert scope["query_string"] == "a=1&b=%20" and kinds["query_string"] == "bytes"
    assert scope["root_path"] == "" and kinds["headers"] == "list"
    assert scope["client"][0] == "127.0.0.1" and 0 <= scope["client"][1] < 65536
    assert isinstance(scope["server"][0], str) and (scope["server"][1] is None or isinstance(scope["server"][1], int))
    headers = [tuple(header) for header in scope["headers"]]
    assert ("x-name", "v\xe4lue") in headers and ("cookie", "a=b") in headers and ("host", "example.org") in headers
    assert [value for name, value in headers if name == "x-two"] == ["1", "2"]
    assert "http.response.pathsend" in scope["extensions"]


def test_state_is_copied_for_each_request(site):
    first, second = json.loads(site.get("/state").body), json.loads(site.get("/state").body)
    assert first[0] == second[0] == 1  # what a request sets is its own
    assert second[1] == first[1] + 1   # what the state holds is shared
    assert second[2] == 1              # startup happened once


def test_context_variables_belong_to_the_request(site):
    assert site.get("/tasks").body == b"mine"
    assert site.get("/variables").body == b"unset"


# ---- Requests and responses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10240, 65536, 65537, 300000, 3000000])
def test_bodies_of_all_sizes(site, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    response = site.get("/echo", method="POST", body=body)
    assert response.status == 200 and response.body == body


def test_chunked_body_is_streamed(site):
    with site.connect() as connection:
        connection.send("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.send("5\r\nfirst\r\n")
        connection.send("6\r\nsecond\r\n0\r\n\r\n")
        response = connection.response()
        assert response.status == 200 and response.body == b"firstsecond"


def test_response_in_pieces(site):
    response = site.get("/pieces")
    assert response.status == 201 and response.body == b"one two three" and response.all("x-a") == ["1", "2"]


def test_large_response_at_once(site):
    response = site.get("/large")
    assert response.status == 200 and len(response.body) == 3000000
    assert response.body == response.body[:1000] * 3000


def test_head(site):
    response = site.get("/pieces", method="HEAD")
    assert response.status == 201 and response.body == b""


def test_many_at_once(site):
    connections = [site.connect() for _ in range(40)]
    for number, connection in enumerate(connections):
        body = b"%d" % number * 1000
        connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    for number, connection in enumerate(connections):
        assert connection.response().body == b"%d" % number * 1000
        connection.close()


def test_pathsend(site, tmp_path):
    file = tmp_path / "file.bin"
    file.write_bytes(b"0123456789" * 100000)
    response = site.get(f"/path?{file}")
    assert response.status == 200 and response.body == file.read_bytes()
    file.write_bytes(b"")
    assert site.get(f"/path?{file}").body == b""


def test_after_the_response_comes_disconnect(site):
    assert site.get("/after?after").body == b"whole"
    eventually(lambda: messages(site).get("after") == "http.disconnect", "http.disconnect after the response")


# ---- Back-pressure and early ends ------------------------------------------------------------------------------


def test_a_fast_application_waits_for_its_client(site):
    connection = site.connect()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.send("GET /fast?slow HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.socket.recv(1)

    def ahead():
        return json.loads(site.get("/window").body).get("slow")

    def at_rest():
        before = ahead()
        return all(ahead() == before for _ in range(20)) and before

    # The kernel's buffers, the spool and the window: not what the application could make in that time.
    assert eventually(at_rest, "rest") < 16000000
    connection.close()
    eventually(lambda: messages(site).get("slow") == "Disconnected", "an error of send")


def test_a_client_that_goes_is_told(site):
    connection = site.connect()
    connection.send("GET /hang?gone HTTP/1.1\r\nHost: a\r\n\r\n")
    eventually(lambda: messages(site).get("gone") == "begun", "the request")
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # it breaks at once
    connection.close()
    eventually(lambda: messages(site).get("gone") == "http.disconnect http.disconnect Disconnected", "http.disconnect")
    assert "GET /hang?gone" not in site.said()  # that is nobody's mistake, and has not waited until its time was up


def test_who_takes_too_long_is_given_up_and_cancelled(site):
    response = site.get("/deaf?deaf")
    assert response.status == 504
    eventually(lambda: messages(site).get("deaf") == "cancelled", "the cancellation")
    site.wait_said(r"takes longer than it may(.|\n)*in deaf")
    assert site.get("/state").status == 200  # the worker is the same
    assert json.loads(site.get("/state").body)[2] == 1


# ---- What breaks the protocol ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path, said", [
    ("/raises", "LookupError: nothing of that name"),
    ("/returns", "the application returned without a response"),
    ("/returns-early", "the application returned without the body of its response"),
    ("/exits", "SystemExit: 3"),
])
def test_failures_are_500_and_logged(site, path, said):
    assert site.get(path).status == 500
    site.wait_said(said)
    assert site.get("/state").status == 200


@pytest.mark.parametrize("path, said", [
    ("/raises-late", "LookupError: in the middle"),
    ("/returns-half", "the application returned in the middle of its response"),
])
def test_late_failures_end_the_connection(site, path, said):
    with site.connect() as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not connection.rest().endswith(b"0\r\n\r\n")  # the body is not whole, and does not look so
    site.wait_said(said)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_messages_raise(site, name):
    response = site.get(f"/wrong?{name}")
    assert response.status == 200, response
    kind, _, text = response.body.decode().partition(": ")
    expected = {"no-dict": "TypeError", "header-text": "TypeError", "headers-number": "TypeError", "body-text": "TypeError",
                "body-first": "RuntimeError", "start-twice": "RuntimeError", "unknown": "RuntimeError", "accept": "RuntimeError",
                "path-missing": "FileNotFoundError", "path-directory": "OSError"}
    assert kind == expected.get(name, "ValueError") and text, response.body


def test_a_second_response_raises(site):
    assert site.get("/twice").body == b"once"
    eventually(lambda: "complete already" in messages(site).get("twice", ""), "the error")


# ---- WebSockets ------------------------------------------------------------------------------------------------


def talk(site, path, **options):
    options.setdefault("origin", site.url)
    return websocket.create_connection(f"ws://{site.host}:{site.port}{path}", timeout=20, http_no_proxy=["*"], **options)


def test_websocket_echo(site):
    ws = talk(site, "/echo", subprotocols=["one", "two"])
    assert ws.getsubprotocol() == "two" and ws.getheaders()["x-extra"] == "yes"
    ws.send("h\xe4llo")
    assert ws.recv() == "h\xe4llo"
    ws.send_binary(bytes(range(256)))
    assert ws.recv() == bytes(range(256))
    for size in (0, 70000, 1000000):
        ws.send_binary(b"z" * size)
        assert ws.recv() == b"z" * size
    ws.close(4002, b"enough")
    eventually(lambda: messages(site).get("ws") == [4002, ""], "the code of the client")


def test_websocket_scope(site):
    ws = talk(site, "/scope?x=1")
    scope = json.loads(ws.recv())
    assert scope["type"] == "websocket" and scope["scheme"] == "ws" and scope["query_string"] == "x=1"
    assert scope["subprotocols"] == [] and "method" not in scope and "websocket.http.response" in scope["extensions"]
    assert ws.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE  # it returned, which closes
    ws.close()


def closed_with(ws):
    opcode, data = ws.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int.from_bytes(data[:2], "big"), data[2:].decode()


def test_websocket_closed_by_the_application(site):
    ws = talk(site, "/echo")
    ws.send("close")
    assert closed_with(ws) == (4001, "as you wish")
    ws.close()
    eventually(lambda: messages(site).get("ws-closed") == "websocket.disconnect", "websocket.disconnect")


@pytest.mark.parametrize("word, code", [("return", 1000), ("raise", 1011)])
def test_websocket_ended_with_its_task(site, word, code):
    ws = talk(site, "/echo")
    ws.send(word)
    assert closed_with(ws)[0] == code
    ws.close()


def test_websocket_wrong_messages_raise(site):
    ws = talk(site, "/echo")
    ws.send("wrong")
    kinds = [ws.recv().partition(":")[0] for _ in range(5)]
    assert kinds == ["RuntimeError", "ValueError", "RuntimeError", "TypeError", "ValueError"]
    ws.send("still here")
    assert ws.recv() == "still here"
    ws.close()


@pytest.mark.parametrize("path, status", [("/refuse", 403), ("/deny", 401), ("/silent", 500)])
def test_websocket_refused(site, path, status):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        talk(site, path)
    assert caught.value.status_code == status


def test_websocket_back_pressure(site):
    ws = talk(site, "/push")
    for number in range(60):
        assert ws.recv() == bytes([number]) * 20000
    assert closed_with(ws)[0] == 1000
    ws.close()


def test_websocket_client_that_vanishes(site):
    ws = talk(site, "/echo")
    ws.send("there")
    assert ws.recv() == "there"
    ws.shutdown()
    eventually(lambda: messages(site).get("ws", [0])[0] == 1006, "code 1006")


# ---- Lifespan --------------------------------------------------------------------------------------------------


def test_shutdown_comes_at_the_end(serve, app, tmp_path):
    server = serve(python_app(tmp_path / "app", PROBE), "--production")
    assert json.loads(server.get("/state").body)[2] == 1
    assert server.stop(signal.SIGTERM) == 0
    assert "the application shuts down" in server.said()


FAILING = """
async def application(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "the database is not there"})
"""


def test_startup_that_fails_is_told(serve, tmp_path):
    server = serve(python_app(tmp_path / "app", FAILING), "--production", ready=False)
    server.wait_said("the database is not there")


NO_LIFESPAN = """
async def application(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-state", str(scope["state"]).encode())]})
    await send({"type": "http.response.body", "body": b"without lifespan"})
"""
NOT_DECLARED = """
async def inner(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"not declared"})

def application(scope, receive, send):
    return inner(scope, receive, send)
"""
CLASS = """
class application:
    def __init__(self, scope, receive, send):
        self.scope, self.send = scope, send

    def __await__(self):
        return self.run().__await__()

    async def run(self):
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        await self.send({"type": "http.response.body", "body": b"a class"})
"""
VERSION_2 = """
class application:
    def __init__(self, scope):
        assert scope["type"] == "http"

    async def __call__(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"version 2"})
"""
PARTIAL = """
import functools

async def inner(greeting, scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": greeting})

application = functools.partial(inner, b"partial")
"""
STARLETTE = """
import contextlib
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

ran = []

class Marks(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-marked"] = "yes"
        return response

async def home(request):
    return PlainTextResponse("Starlette, %s" % request.query_params.get("name"), background=BackgroundTask(ran.append, 1))

async def form(request):
    return JSONResponse({"json": await request.json(), "ran": len(ran)})

async def stream(request):
    async def pieces():
        for number in range(100):
            yield b"%d," % number
    return StreamingResponse(pieces())

async def talk(ws):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text.upper())

@contextlib.asynccontextmanager
async def lifespan(app):
    ran.append(0)
    yield

application = Starlette(routes=[Route("/", home), Route("/form", form, methods=["POST"]), Route("/stream", stream),
                                WebSocketRoute("/ws", talk)], middleware=[Middleware(Marks)], lifespan=lifespan)
"""


@pytest.mark.parametrize("source, body", [(NO_LIFESPAN, b"without lifespan"), (NOT_DECLARED, b"not declared"),
                                          (CLASS, b"a class"), (VERSION_2, b"version 2"), (PARTIAL, b"partial")])
def test_kinds_of_applications(serve, tmp_path, source, body):
    server = serve(python_app(tmp_path / "app", source), "--production")
    response = server.get("/")
    assert response.status == 200 and response.body == body


def test_starlette(serve, tmp_path):
    server = serve(python_app(tmp_path / "app", STARLETTE), "--production")
    response = server.get("/?name=me")
    assert response.status == 200 and response.body == b"Starlette, me" and response["x-marked"] == "yes"
    assert server.get("/nothing").status == 404
    answer = json.loads(server.get("/form", "Content-Type: application/json", method="POST", body=b'{"a": [1]}').body)
    assert answer == {"json": {"a": [1]}, "ran": 2}
    assert server.get("/stream").body == b"".join(b"%d," % number for number in range(100))
    ws = talk(server, "/ws")
    ws.send("quiet")
    assert ws.recv() == "QUIET"
    ws.close()
