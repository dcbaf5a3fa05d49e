"""The measured ASGI application, the same file for every server."""

import asyncio

TEXT = b"Hello, World!"
PAGE = b"x" * 10240


async def reply(send, body):
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def hello(receive, send):
    await reply(send, TEXT)


async def page(receive, send):
    await reply(send, PAGE)


async def echo(receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await reply(send, body)


async def sleep(receive, send):
    await asyncio.sleep(0.01)
    await reply(send, TEXT)


ROUTES = {"/": hello, "/10k": page, "/echo": echo, "/sleep": sleep}


async def application(scope, receive, send):
    if scope["type"] == "http":
        await ROUTES[scope["path"]](receive, send)
    elif scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
