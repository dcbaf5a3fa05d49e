"""The ASGI application of test_asgi.py: each path is one way to go through the protocol, or to break it."""

import asyncio
import contextvars
import json
import os
import sys

seen = {"startups": 0, "messages": {}, "windows": {}}
variable = contextvars.ContextVar("variable", default="unset")


async def reply(send, body=b"", status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": [
        (b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body)), *headers]})
    await send({"type": "http.response.body", "body": body})


async def read(receive):
    body, pieces = b"", 0
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message.get("body", b"")
        pieces += 1
        if not message.get("more_body", False):
            return body, pieces


def plain(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


async def scope_(scope, receive, send):
    kinds = {name: type(value).__name__ for name, value in scope.items()}
    await reply(send, json.dumps({"scope": plain(scope), "kinds": kinds}).encode())


async def echo(scope, receive, send):
    body, pieces = await read(receive)
    await reply(send, body, headers=[(b"x-pieces", b"%d" % pieces)])


async def stream(scope, receive, send):
    """Sends what comes as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def pieces(scope, receive, send):
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1"), (b"x-a", b"2")]})
    for piece in (b"one ", b"", b"two ", b"three"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def large(scope, receive, send):
    body = os.urandom(1000) * 3000
    await reply(send, body)


async def fast(scope, receive, send):
    """Yields without end, and counts how far it gets ahead of its client."""
    name = scope["query_string"].decode()
    seen["windows"][name] = 0
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            seen["windows"][name] += 65536
    except OSError as error:
        seen["messages"][name] = type(error).__name__
        raise


async def window(scope, receive, send):
    await reply(send, json.dumps(seen["windows"]).encode())


async def hang(scope, receive, send):
    """Answers never; tells how it was told that nobody waits any more."""
    name = scope["query_string"].decode()
    seen["messages"][name] = "begun"
    await read(receive)
    message = await receive()
    seen["messages"][name] = message["type"]
    again = await receive()
    try:
        await reply(send, b"too late")
    except OSError as error:
        seen["messages"][name] += " " + again["type"] + " " + type(error).__name__


async def deaf(scope, receive, send):
    """Does not listen; is cancelled when its time is up."""
    name = scope["query_string"].decode()
    seen["messages"][name] = "begun"
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen["messages"][name] = "cancelled"
        raise


async def messages(scope, receive, send):
    await reply(send, json.dumps(seen["messages"]).encode())


async def after(scope, receive, send):
    """Goes on after the response is whole."""
    name = scope["query_string"].decode()
    await reply(send, b"whole")
    message = await receive()
    if message["type"] == "http.request":
        message = await receive()
    await asyncio.sleep(0)
    seen["messages"][name] = message["type"]


async def tasks(scope, receive, send):
    """receive and send as tasks; contextvars; current_task."""
    variable.set("mine")
    me = asyncio.current_task()
    await asyncio.sleep(0)
    assert asyncio.current_task() is me and me in asyncio.all_tasks()
    message = await asyncio.create_task(receive())
    assert message["type"] == "http.request"
    waiting = asyncio.create_task(receive())
    done, _ = await asyncio.wait([waiting], timeout=0.01)
    assert not done
    waiting.cancel()
    try:
        await waiting
    except asyncio.CancelledError:
        pass
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        await asyncio.gather(send({"type": "http.response.start", "status": 200}))
        await asyncio.wait_for(send({"type": "http.response.body", "body": variable.get().encode()}), 5)


async def variables(scope, receive, send):
    await reply(send, variable.get().encode())


async def path(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.pathsend", "path": scope["query_string"].decode()})


async def loop(scope, receive, send):
    await reply(send, type(asyncio.get_running_loop()).__module__.encode())


async def state(scope, receive, send):
    scope["state"]["count"] = scope["state"].get("count", 0) + 1
    scope["state"]["shared"].append(1)
    await reply(send, json.dumps([scope["state"]["count"], len(scope["state"]["shared"]), seen["startups"]]).encode())


# ---- What breaks the protocol


async def raises(scope, receive, send):
    raise LookupError("nothing of that name")


async def raises_late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise LookupError("in the middle")


async def returns(scope, receive, send):
    pass


async def returns_early(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def returns_half(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


START = {"type": "http.response.start", "status": 200}
WRONG = {
    "body-first": [{"type": "http.response.body"}],
    "start-twice": [START, START],
    "no-type": [{"status": 200}],
    "no-dict": ["http.response.start"],
    "unknown": [{"type": "http.response.sart", "status": 200}],
    "no-status": [{"type": "http.response.start"}],
    "status-text": [{"type": "http.response.start", "status": "200"}],
    "status-range": [{"type": "http.response.start", "status": 99}],
    "header-text": [{**START, "headers": [("a", "b")]}],
    "header-pair": [{**START, "headers": [(b"a", b"b", b"c")]}],
    "header-name": [{**START, "headers": [(b"a b", b"c")]}],
    "header-value": [{**START, "headers": [(b"a", b"b\r\nc: d")]}],
    "header-nul": [{**START, "headers": [(b"a", b"b\0c")]}],
    "headers-number": [{**START, "headers": 5}],
    "body-text": [START, {"type": "http.response.body", "body": "text"}],
    "accept": [{"type": "websocket.accept"}],
    "path-missing": [START, {"type": "http.response.pathsend", "path": "/nonexistent/file"}],
    "path-directory": [START, {"type": "http.response.pathsend", "path": "/tmp"}],
    "path-none": [START, {"type": "http.response.pathsend"}],
}


async def wrong(scope, receive, send):
    """Each wrong message raises; then a right response is still possible, in which the error is told."""
    *before, last = WRONG[scope["query_string"].decode()]
    for message in before:
        await send(message)
    try:
        await send(last)
    except Exception as error:
        if not before:
            await send(START)
        await send({"type": "http.response.body", "body": f"{type(error).__name__}: {error}".encode()})
    else:
        raise AssertionError("accepted")


async def twice(scope, receive, send):
    await reply(send, b"once")
    try:
        await send({"type": "http.response.body", "body": b"twice"})
    except RuntimeError as error:
        seen["messages"]["twice"] = str(error)


async def exits(scope, receive, send):
    sys.exit(3)


# ---- WebSockets


async def ws_echo(scope, receive, send):
    assert (await receive()) == {"type": "websocket.connect"}
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[-1] if offered else None, "headers": [(b"x-extra", b"yes")]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            seen["messages"]["ws"] = [message["code"], message["reason"]]
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
            message = await receive()
            seen["messages"]["ws-closed"] = message["type"]
            return
        if message.get("text") == "return":
            return
        if message.get("text") == "raise":
            raise LookupError("in a WebSocket")
        if message.get("text") == "wrong":
            for bad in ({"type": "websocket.accept"}, {"type": "websocket.send"}, {"type": "http.response.start", "status": 200},
                        {"type": "websocket.send", "bytes": "text"}, {"type": "websocket.close", "code": 1006}):
                try:
                    await send(bad)
                except Exception as error:
                    await send({"type": "websocket.send", "text": f"{type(error).__name__}: {error}"})
            continue
        await send({**{key: message[key] for key in ("text", "bytes") if key in message}, "type": "websocket.send"})


async def ws_refuse(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})


async def ws_deny(scope, receive, send):
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "websocket.http.response.body", "body": b"not you"})


async def ws_silent(scope, receive, send):
    await receive()


async def ws_scope(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(plain(scope))})


async def ws_push(scope, receive, send):
    """Sends far more than a window without reading."""
    await receive()
    await send({"type": "websocket.accept"})
    for number in range(60):
        await send({"type": "websocket.send", "bytes": bytes([number]) * 20000})
    await send({"type": "websocket.close"})


# ---- The application


async def lifespan(scope, receive, send):
    assert await receive() == {"type": "lifespan.startup"}
    seen["startups"] += 1
    scope["state"]["shared"] = []
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    print("the application shuts down", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    else:
        name = scope["path"].strip("/").split("/")[0].replace("-", "_") or "scope_"
        await globals()["ws_" + name if scope["type"] == "websocket" else name](scope, receive, send)
