"""Counts visits, in an ASGI application."""

import asyncio

import silver

with silver.transaction():
    silver.database().execute("CREATE TABLE IF NOT EXISTS visit (id INTEGER PRIMARY KEY, path TEXT NOT NULL)")


async def visit(path):
    database = await silver.database()
    database.execute("INSERT INTO visit (path) VALUES (?)", (path,))
    return database.execute("SELECT count(*) FROM visit").fetchone()[0]


def count():
    return silver.database().execute("SELECT count(*) FROM visit").fetchone()[0]


async def live(send):
    """A line whenever somebody came, and empty ones, which find out whether the client is still there. Each look is a
    transaction of its own: the stream lasts, and none of them does."""
    seen = None
    while True:
        async with silver.transaction(read_only=True):
            now = await asyncio.to_thread(count)
        line = b"%d\n" % now if now != seen else b"\n"
        await send({"type": "http.response.body", "body": line, "more_body": True})
        seen = now
        await asyncio.sleep(0.1)


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/live":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await live(send)
        return
    number = await asyncio.to_thread(count) if scope["path"] == "/count" else await visit(scope["path"])
    body = b"%d\n" % number
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
