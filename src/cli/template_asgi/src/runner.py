"""@NAME@: whoever has the page open hears what the others say, over WebSockets.

Everything happens in one process, so one set holds all who listen."""

import asyncio
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "templates" / "index.html").read_bytes()
WAITING_MAX = 100

listeners = set()


def tell(words):
    for listener in listeners:
        if listener.full():
            listener.get_nowait()  # who does not keep up misses the oldest
        listener.put_nowait(words)


async def listen(send, listener):
    while True:
        await send({"type": "websocket.send", "text": await listener.get()})


async def talk(receive, send):
    await receive()  # that somebody wants to connect
    await send({"type": "websocket.accept"})
    listener = asyncio.Queue(WAITING_MAX)
    listeners.add(listener)
    listening = asyncio.create_task(listen(send, listener))
    try:
        while (event := await receive())["type"] != "websocket.disconnect":
            if event.get("text"):
                tell(event["text"])
    finally:
        listeners.discard(listener)
        listening.cancel()


async def answer(send, status, body):
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(receive, send):
    """Called when the application starts, and ends when it stops."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": event["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["type"] == "websocket" and scope["path"] == "/talk":
        await talk(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close"})
    elif scope["path"] == "/":
        await answer(send, 200, PAGE)
    else:
        await answer(send, 404, b"<h1>There is no such page.</h1>")
