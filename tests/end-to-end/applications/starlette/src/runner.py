"""Starlette: routes, a WebSocket, a stream, a file, what happens at the start and the end."""
import asyncio
import pathlib

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

HERE = pathlib.Path(__file__).resolve()
state = {"started": False, "background": 0}
listeners = set()

PAGE = """<!doctype html><title>Talk</title><h1>Talk</h1><ul id=said></ul>
<form id=form><input id=words><button>Say</button></form>
<script>
const socket = new WebSocket(`ws://${location.host}/live`);
socket.onmessage = event => {
    const item = document.createElement('li'); item.textContent = event.data; said.append(item);
};
socket.onopen = () => document.body.dataset.open = 'yes';
form.onsubmit = event => { event.preventDefault(); socket.send(words.value); words.value = ''; };
</script>"""


async def front(request):
    return HTMLResponse(PAGE)


async def echo(request):
    return JSONResponse({"body": (await request.body()).decode(), "query": dict(request.query_params),
                         "client": request.client.host, "started": state["started"]})


async def stream(request):
    async def lines():
        for i in range(int(request.query_params["lines"])):
            yield f"line {i}\n"
            if i % 100 == 0:
                await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/plain")


async def source(request):
    return FileResponse(HERE, media_type="text/x-python")


def later():
    state["background"] += 1


async def background(request):
    return JSONResponse({"background": state["background"]}, background=BackgroundTask(later))


async def wrong(request):
    raise LookupError("a mistake in the application")


async def live(socket):
    await socket.accept()
    listeners.add(socket)
    try:
        while True:
            words = await socket.receive_text()
            for listener in list(listeners):
                await listener.send_text(words)
    except WebSocketDisconnect:
        pass
    finally:
        listeners.discard(socket)


async def start():
    state["started"] = True


app = Starlette(on_startup=[start], routes=[
    Route("/", front), Route("/echo", echo, methods=["GET", "POST"]), Route("/stream", stream), Route("/source", source),
    Route("/background", background), Route("/wrong", wrong), WebSocketRoute("/live", live)])
