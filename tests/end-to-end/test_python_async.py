"""ASGI applications through the real command: streams both ways, WebSockets, and clients that go away."""

import pytest
import websocket

from conftest import eventually
from test_python import MANIFEST, python_app  # noqa: F401

PROBE = '''
import asyncio, hashlib, os

state = {}

async def say(send, text, status=200):
    body = text if isinstance(text, bytes) else text.encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})

async def read(receive):
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        yield event.get("body", b"")
        if not event.get("more_body"):
            return

async def page_(scope, receive, send):
    await say(send, "hello " + state.get("lifespan", ""))

async def page_context(scope, receive, send):
    import silver
    await asyncio.sleep(0)
    await say(send, repr(dict(silver.context)))

async def page_headers(scope, receive, send):
    await say(send, repr(dict(scope["headers"])))

async def page_sum(scope, receive, send):
    digest, size, pieces = hashlib.sha256(), 0, 0
    async for piece in read(receive):
        digest.update(piece); size += len(piece); pieces += 1
    await say(send, f"{size} {digest.hexdigest()}")

async def page_first(scope, receive, send):
    """Answers before it has read all, and goes on reading."""
    event = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d\\n" % len(event["body"]), "more_body": True})
    size = len(event["body"])
    while event.get("more_body"):
        event = await receive()
        size += len(event.get("body", b""))
    await send({"type": "http.response.body", "body": b"%d\\n" % size})

async def page_forever(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"tick\\n", "more_body": True})
            await asyncio.sleep(0.02)
    finally:
        state["forever"] = "left"

async def page_state(scope, receive, send):
    await say(send, repr(state))

async def page_fail(scope, receive, send):
    raise ValueError("not this time")

async def page_fork(scope, receive, send):
    await say(send, str(os.fork()))

def block():
    import time
    time.sleep(1000)

async def page_block(scope, receive, send):
    await asyncio.sleep(0.01)
    block()

async def page_exit(scope, receive, send):
    await asyncio.sleep(0.01)
    raise SystemExit(3)

async def page_held(scope, receive, send):
    state["held"] = True
    while "go" not in state:
        await asyncio.sleep(0.01)
    await say(send, "held")

async def page_go(scope, receive, send):
    state["go"] = True
    await say(send, "went")

async def page_after(scope, receive, send):
    await say(send, "answered")
    await asyncio.sleep(0.2)
    state["after"] = "done"

async def echo(scope, receive, send):
    await receive()
    if scope["path"] == "/handshake":
        await send({"type": "websocket.accept", "headers": [(b"sec-websocket-protocol", b"odd")]})
    if scope["path"] == "/closed":
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "websocket.accept", "subprotocol": "two" if "two" in scope["subprotocols"] else None})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            state["code"] = event.get("code")
            return
        if event.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you say"})
            return
        if event.get("text") == "fail":
            raise ValueError("in a socket")
        if event.get("text") is not None:
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            state["lifespan"] = "started"
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)
    else:
        await globals()["page_" + scope["path"].strip("/")](scope, receive, send)
'''


@pytest.fixture
def probe(python_app, serve):  # noqa: F811
    return serve(python_app(PROBE))


def connect(server, path="/echo", **options):
    return websocket.create_connection(f"ws://{server.host}:{server.port}{path}", timeout=20, **options)


def test_pages_and_lifespan(probe):
    assert probe.get("/").body == b"hello started"
    with probe.connect() as connection:
        for _ in range(20):
            assert connection.request("/").body == b"hello started"
    assert probe.stop() == 0


def test_context(probe):
    here = eval(probe.get("/context").body)
    assert here["application"] == "probe" and here["instance"] == 0
    assert here["path"] == "/context" and here["peer"] == "127.0.0.1" and len(here["request_id"]) == 16


def test_headers_that_pass_for_others_are_left_out(probe):
    headers = eval(probe.get("/headers", "X-User: real", "X_User: false", "Proxy: http://evil/").body)
    assert headers[b"x-user"] == b"real" and not {b"x_user", b"proxy"} & set(headers)


def test_a_streamed_upload(probe):
    import hashlib
    import os

    body = os.urandom(3000000)
    assert probe.get("/sum", method="POST", body=body).body.decode() == f"3000000 {hashlib.sha256(body).hexdigest()}"
    assert probe.get("/sum", method="POST", body=b"small").body.startswith(b"5 ")


def test_an_answer_beside_an_upload(probe):
    """The answer begins while the client still sends."""
    with probe.connect() as connection:
        connection.send("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + "a" * 1000)
        while b"\n" not in connection.pending.partition(b"\r\n\r\n")[2]:
            assert connection._more()
        connection.send("a" * 99000)
        while b"100000\n" not in connection.pending:
            assert connection._more()


def test_a_client_that_goes_away(probe):
    with probe.connect() as connection:
        connection.send("GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
        while b"tick" not in connection.pending:
            assert connection._more()
    eventually(lambda: b"'forever': 'left'" in probe.get("/state").body, "the application hears of it")


def test_a_stream_that_nobody_wants_is_ended(python_app, serve):  # noqa: F811
    server = serve(python_app(PROBE, manifest=MANIFEST + "\n[workers]\ntimeout_ms = 700\n"))
    assert server.get("/forever", method="HEAD").status == 200
    eventually(lambda: b"left" in server.get("/state").body, "the application's knowing it")


def test_a_loop_that_is_blocked_is_written_to_the_log(python_app, serve):  # noqa: F811
    server = serve(python_app(PROBE, manifest=MANIFEST + "\n[workers]\ntimeout_ms = 700\n"))
    assert server.get("/block").status == 504
    server.wait_said("the loop of events stands still")
    server.wait_said("in block")
    server.wait_said("in page_block")
    eventually(lambda: server.get("/").status == 200, "the next worker answers")


def test_work_after_the_answer(probe):
    assert probe.get("/after").body == b"answered"
    eventually(lambda: b"'after': 'done'" in probe.get("/state").body, "the rest of the work")


def test_an_exit_is_the_failure_of_one(probe):
    with probe.connect() as other:
        other.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(lambda: b"held" in probe.get("/state").body, "the other request is there")
        assert probe.get("/exit").status == 500
        assert probe.get("/go").body == b"went"
        assert other.response().body == b"held"


def test_a_failure(probe):
    response = probe.get("/fail", "Accept: text/html")
    assert response.status == 500 and b"raised in <code>page_fail</code>" in response.body
    assert probe.get("/").status == 200


def test_a_forked_process_that_comes_back_into_the_loop(probe):
    """It shares the loop's epoll with its parent, and must not take that from it."""
    child = probe.get("/fork").body.decode()
    for _ in range(20):
        assert probe.get("/").status == 200
    probe.wait_said(f"forked process {child}, which came back")


def test_messages(probe):
    socket = connect(probe)
    for text in ("hello", "", "\u00e4\u2603\U0001f600", "with\x00nul", "x" * 300000, "y" * 1000000):
        socket.send(text)
        assert socket.recv() == text
    socket.send_binary(b"\x00\xff" * 1000)
    assert socket.recv() == b"\x00\xff" * 1000
    socket.close(1001)
    eventually(lambda: b"'code': 1001" in probe.get("/state").body, "the close's code")


def test_closing_and_failing(probe):
    socket = connect(probe)
    socket.send("bye")
    opcode, data = socket.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE and data == b"\x0f\xa1as you say"
    socket = connect(probe)
    socket.send("fail")
    opcode, data = socket.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE and data[:2] == b"\x03\xf3"  # 1011
    probe.wait_said("in a socket")


def test_protocols_and_refusals(probe):
    assert connect(probe, subprotocols=["one", "two"]).getsubprotocol() == "two"
    assert connect(probe).getsubprotocol() is None
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        connect(probe, "/closed")
    response = probe.get("/echo", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 7")
    assert response.status == 426


def test_the_handshake_is_the_servers(probe):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect(probe, "/handshake", subprotocols=["chat"])
    assert refused.value.status_code == 500
    probe.wait_said("ValueError: the header sec-websocket-protocol belongs to the handshake")


def test_many_messages_both_ways(probe):
    """More than fits on the way: each side waits for the other."""
    import threading

    socket = connect(probe)
    count, size = 200, 20000

    def send():
        for number in range(count):
            socket.send(f"{number:05}" * (size // 5))

    sender = threading.Thread(target=send)
    sender.start()
    for number in range(count):
        assert socket.recv() == f"{number:05}" * (size // 5)
    sender.join(20)
    assert not sender.is_alive()
