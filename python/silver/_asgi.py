"""The life of a worker that serves an ASGI application: its loop, its startup and shutdown.

What happens for each request is in C (asgi.c)."""

import asyncio
import inspect
import sys
import traceback


class StartupFailed(Exception):
    """The application's lifespan said that it cannot serve."""


# ---- Versions ------------------------------------------------------------------------------------------------


def is_version_2(application):
    """Whether it is called with the scope alone, and gives what is called with receive and send."""
    if inspect.isclass(application):
        return not hasattr(application, "__await__")
    called = application if inspect.isroutine(application) else getattr(application, "__call__", application)
    if asyncio.iscoroutinefunction(application) or asyncio.iscoroutinefunction(called):
        return False
    try:
        parameters = inspect.signature(application).parameters.values()
    except (TypeError, ValueError):
        return False
    return len([each for each in parameters if each.default is each.empty]) == 1


def single(application):
    """Version 2 as version 3."""
    if not is_version_2(application):
        return application

    async def called(scope, receive, send):
        return await application(scope)(receive, send)

    return called


# ---- Startup and shutdown ------------------------------------------------------------------------------------


class Lifespan:
    """The conversation about startup and shutdown, which an application need not know."""

    def __init__(self, application):
        self.application, self.state = application, {}
        self.messages = asyncio.Queue()
        self.task = None
        self.asked = self.started = self.stopped = False
        self.failure = None
        self.news = asyncio.Event()

    async def receive(self):
        self.asked = True
        return await self.messages.get()

    async def send(self, message):
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self.started and self.failure is None:
            self.started = True
        elif kind == "lifespan.startup.failed" and not self.started and self.failure is None:
            self.failure = message.get("message") or "it gave no reason"
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed") and self.started and not self.stopped:
            self.stopped = True
            if kind.endswith("failed"):
                print("the application's shutdown failed:", message.get("message") or "it gave no reason", file=sys.stderr)
        else:
            raise RuntimeError(f"the message {kind!r} has no place here in the lifespan of an application")
        self.news.set()

    async def converse(self, message):
        """Says it, and waits until it is answered or the application has left."""
        self.news.clear()
        self.messages.put_nowait({"type": message})
        waiting = asyncio.ensure_future(self.news.wait())
        await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def startup(self):
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}

        async def run():
            await self.application(scope, self.receive, self.send)

        self.task = asyncio.get_running_loop().create_task(run(), name="lifespan")
        await self.converse("lifespan.startup")
        if self.failure is not None:
            await asyncio.wait([self.task], timeout=1)
            self.forget()
            raise StartupFailed(self.failure)
        if not self.started and not self.forget() and self.asked:
            print("The application failed in its lifespan, and is served without one.", file=sys.stderr)

    def forget(self):
        """Looks at how the task ended. Who does not know lifespan may fail with what it likes; later failures are told."""
        if not self.task.done():
            self.task.cancel()
            return True
        error = None if self.task.cancelled() else self.task.exception()
        if error is not None and self.asked and self.failure is None:
            traceback.print_exception(error)
        return error is None

    async def shutdown(self):
        if self.started and not self.task.done():
            await self.converse("lifespan.shutdown")
        if self.started:
            if not self.task.done():
                await asyncio.wait([self.task], timeout=1)
            self.forget()


# ---- Requests ------------------------------------------------------------------------------------------------


def as_coroutine(given):
    """Of what an application gave, for the task that awaits it."""
    if not inspect.isawaitable(given):
        raise TypeError("an ASGI application gives something to await, not %s" % type(given).__name__)

    async def wait():
        return await given

    return wait()


def show_stack(task):
    """Where a task waits that takes too long: from the application down to what it awaits."""
    frames, awaited = [], task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            frames.append((frame, frame.f_lineno))
        awaited = next((getattr(awaited, name) for name in ("cr_await", "gi_yieldfrom", "ag_await") if hasattr(awaited, name)), None)
    import silver

    stack = "".join(traceback.StackSummary.extract(iter(frames)).format()).rstrip()
    silver.log.warning("%s", "a request takes longer than it may, and is given up; it waits here:\n" + stack)


# ---- The loop ------------------------------------------------------------------------------------------------


def new_loop():
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def end_tasks():
    """What still runs is cancelled, and has a moment to take note of it."""
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=1)


def run(loop):
    """Until it is stopped. What asyncio takes for its end (sys.exit() in a task) is that task's failure, and no reason
    to leave the requests of others."""
    while True:
        try:
            return loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            pass


def serve(application, begin):
    """begin(loop, application, state) is called when the application has started; it stops the loop when all is done."""
    loop = new_loop()
    asyncio.set_event_loop(loop)
    application = single(application)
    try:
        async def make():
            return Lifespan(application)

        lifespan = loop.run_until_complete(make())
        loop.run_until_complete(lifespan.startup())
        begin(loop, application, lifespan.state)
        run(loop)
        loop.run_until_complete(lifespan.shutdown())
    finally:
        loop.run_until_complete(end_tasks())
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
