"""The module `silver` in a worker, and services in Python: what they send to their parent, and what they make of its answers.
The tests are that parent."""

import base64
import json
import pickle
import textwrap

import pytest

from python_worker import (CALL, CANCEL, FAILED, HEAR, JSON, PICKLE, READY, RESULT, TELL, UNHEAR, Worker, b64)


@pytest.fixture
def worker(tmp_path, environment):
    workers = []

    def start(source, **more):
        workers.append(Worker(tmp_path, textwrap.dedent(source), environment, **more))
        return workers[-1]

    yield start
    for each in workers:
        each.end()


def upcall(w):
    return w.next(lambda p: p.get("kind") == CALL)


def arguments(packet):
    return base64.b64decode(packet["value"]["arguments"])


def answer(w, call, value, codec=PICKLE):
    data = pickle.dumps(value) if codec == PICKLE else json.dumps(value).encode()
    w.put(kind=RESULT, call=call, codec=codec, data=b64(data))


def trouble(w, call, code, message, codec=0, hint=None):
    w.put(kind=FAILED, call=call, codec=codec, record="sl__trouble",
          value={"code": code, "message": message, "hint": hint})


def said(body):
    return json.loads(body)


# ---- Calls out of a worker ---------------------------------------------------------------------------------------

CALLER = """
    import json, silver
    def application(environ, start_response):
        start_response("200 OK", [])
        try:
            result = silver.call("search", "query", words="fish", limit=20, _timeout=1.5, _key="lobby")
        except silver.Error as e:
            result = [type(e).__name__, e.code, str(e), e.hint]
        return [json.dumps(result).encode()]
    """


def test_call_between_python_ends_is_pickled(worker):
    w = worker(CALLER)
    request = w.begin()
    packet = upcall(w)
    value = packet["value"]
    assert packet["call"] % 2 == 1 and packet["codec"] == PICKLE
    assert (value["service"], value["method"], value["key"], value["timeout_ms"]) == ("search", "query", "lobby", 1500)
    assert pickle.loads(arguments(packet)) == ((), {"words": "fish", "limit": 20})
    answer(w, packet["call"], {"hits": [1, 2]})
    assert said(w.finish(request).body) == {"hits": [1, 2]}


def test_call_of_another_language_is_json_from_then_on(worker):
    w = worker(CALLER)
    request = w.begin()
    trouble(w, upcall(w)["call"], -71, "no pickle here", codec=JSON)
    packet = upcall(w)
    assert packet["codec"] == JSON and json.loads(arguments(packet)) == {"words": "fish", "limit": 20}
    answer(w, packet["call"], {"total": 3}, JSON)
    assert said(w.finish(request).body) == {"total": 3}
    request = w.begin()
    packet = upcall(w)
    assert packet["codec"] == JSON
    answer(w, packet["call"], None, JSON)
    assert said(w.finish(request).body) is None


@pytest.mark.parametrize("code, name", [(-20001, "Error"), (-110, "Timeout"), (-20013, "Error")])
def test_call_that_fails_raises(worker, code, name):
    w = worker(CALLER)
    request = w.begin()
    trouble(w, upcall(w)["call"], code, "it went wrong", hint="do better")
    assert said(w.finish(request).body) == [name, code, "it went wrong", "do better"]


def test_where_a_service_failed_is_told_too(worker):
    w = worker("""
        import silver
        def application(environ, start_response):
            return silver.call("search", "query")
        """)
    request = w.begin()
    w.put(kind=FAILED, call=upcall(w)["call"], record="sl__trouble",
          value={"code": -20001, "message": "KeyError: 'x'", "detail": "Traceback of the service"})
    failed = w.finish(request).trouble
    assert failed["message"] == "silver.Error: KeyError: 'x'"
    assert "There it was:\n\nTraceback of the service" in failed["detail"]
    assert "silver/__init__.py" not in failed["detail"] and len(failed["places"]) == 1


def test_calls_of_threads_find_their_answers(worker):
    w = worker("""
        import silver
        def application(environ, start_response):
            start_response("200 OK", [])
            return [str(silver.call("echo", "echo", environ["QUERY_STRING"])).encode()]
        """, env={"SILVER_THREADS": "4"})
    requests = {f"q{i}": w.begin(query=f"q{i}") for i in range(4)}
    packets = [upcall(w) for _ in range(4)]
    for packet in reversed(packets):
        (word,), _ = pickle.loads(arguments(packet))
        answer(w, packet["call"], word.upper())
    for word, request in requests.items():
        assert w.finish(request).body == word.upper().encode()


def test_call_is_left_with_its_request(worker):
    w = worker("""
        import silver
        def application(environ, start_response):
            try:
                silver.call("slow", "work")
            except ConnectionError as e:
                print("left:", e)
            start_response("200 OK", [])
            return [b"x"]
        """)
    request = w.begin()
    packet = upcall(w)
    w.cancel(request)
    assert w.next(lambda p: p.get("kind") == CANCEL)["call"] == packet["call"]
    w.next(lambda p: p.get("call") == request and p["kind"] in (RESULT, FAILED))
    assert "left: the request that made this call was given up" in w.said()


def test_call_in_a_background_thread(worker):
    w = worker("""
        import silver, threading
        def work():
            print("background got", silver.call("a", "b", 1))
        def application(environ, start_response):
            thread = threading.Thread(target=work)
            thread.start()
            if environ["PATH_INFO"] == "/join":
                thread.join()
            start_response("200 OK", [])
            return [b"x"]
        """)
    request = w.begin("/join")
    answer(w, upcall(w)["call"], 42)
    assert w.finish(request).body == b"x"
    assert "background got 42" in w.said()


def test_a_forked_process_leaves_the_wire_alone(worker):
    w = worker("""
        import logging, multiprocessing, silver
        def child(queue):
            logging.warning("said by the child")
            try:
                silver.call("a", "b")
            except RuntimeError as e:
                queue.put(str(e))
        def application(environ, start_response):
            context = multiprocessing.get_context("fork")
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            said = queue.get()
            process.join()
            start_response("200 OK", [])
            return [said.encode()]
        """)
    for _ in range(3):
        assert b"has no connection" in w.get().body
    assert w.said().count("said by the child") == 3 and not w.logs


# ---- Channels ----------------------------------------------------------------------------------------------------


def test_emit(worker):
    w = worker("""
        import silver
        def application(environ, start_response):
            silver.emit("room/lobby", "said", {"who": "Ann"})
            try:
                silver.emit("room", "bad", object())
            except TypeError as e:
                pass
            start_response("200 OK", [])
            return [b"x"]
        """)
    w.get()
    assert w.next(lambda p: p["kind"] == TELL)["value"] == {"channel": "room/lobby", "event": "said",
                                                            "json": '{"who":"Ann"}'}


SUBSCRIBER = """
    import silver
    def application(environ, start_response):
        start_response("200 OK", [])
        with silver.subscribe("room", environ["QUERY_STRING"] or None) as events:
            yield b"ready "
            if environ["PATH_INFO"] == "/own":
                silver.emit("room/own", "mine", 5)
            for channel, name, payload in events:
                yield ("%s:%s:%s " % (channel, name, payload)).encode()
                if payload == "end":
                    break
    """


def tell(w, channel, event, payload):
    w.put(kind=TELL, record="sl__event", value={"channel": channel, "event": event, "json": json.dumps(payload)})


def test_subscribe(worker):
    w = worker(SUBSCRIBER, env={"SILVER_THREADS": "2"})
    request, named = w.begin(), w.begin(query="only")
    heard = w.next(lambda p: p["kind"] == HEAR)
    assert base64.b64decode(heard["data"]) == b"room"
    for each in request, named:
        w.next(lambda p: p.get("call") == each)
    tell(w, "room/a/b", "said", 1)
    tell(w, "rooms", "said", 2)
    tell(w, "room", "only", 3)
    tell(w, "room", "only", "end")
    assert w.finish(request).body == b"room/a/b:said:1 room:only:3 room:only:end "
    assert w.finish(named).body == b"room:only:3 room:only:end "
    assert base64.b64decode(w.next(lambda p: p["kind"] == UNHEAR)["data"]) == b"room"
    assert not [p for p in w.kept if p["kind"] in (HEAR, UNHEAR)], "once for all who hear it"


def test_subscribers_here_hear_what_is_told_here(worker):
    w = worker(SUBSCRIBER)
    request = w.begin("/own")
    w.next(lambda p: p["kind"] == TELL)
    tell(w, "room", "x", "end")
    assert w.finish(request).body == b"ready room/own:mine:5 room:x:end "


def test_a_subscriber_that_waits_hears_another_thread(worker):
    w = worker("""
        import silver
        def application(environ, start_response):
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/say":
                silver.emit("room", "said", environ["QUERY_STRING"])
                return [b"said"]
            return listen()
        def listen():
            events = silver.subscribe("room")
            yield b"ready"
            while True:
                yield next(events).payload.encode()
        """, env={"SILVER_THREADS": "2"})
    request = w.begin()
    w.next(lambda p: p.get("call") == request)
    for word in "abc":
        assert w.get("/say", query=word).body == b"said"
        assert base64.b64decode(w.next(lambda p: p.get("call") == request)["data"]) == word.encode()


def test_subscription_ends_with_its_request(worker):
    w = worker(SUBSCRIBER)
    request = w.begin()
    w.next(lambda p: p.get("call") == request)
    w.cancel(request)
    w.next(lambda p: p.get("call") == request and p["kind"] in (RESULT, FAILED))
    w.next(lambda p: p["kind"] == UNHEAR)


def test_inbox_is_bounded(worker):
    w = worker("""
        import silver
        events = silver.subscribe("flood")
        def application(environ, start_response):
            start_response("200 OK", [])
            got = []
            while (event := events.next(timeout=0)):
                got.append(event.payload)
            return [repr((len(got), got[0], got[-1], events.missed, events.next(0.01))).encode()]
        """)
    for i in range(1500):
        tell(w, "flood", "drop", i)
    assert eval(w.get().body) == (1024, 476, 1499, 476, None)


# ---- Context, configuration --------------------------------------------------------------------------------------


def test_context(worker, tmp_path):
    w = worker("""
        import silver
        before = dict(silver.context)
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr((before, dict(silver.context), silver.context.get("nothing"))).encode()]
        """, env={"SILVER_NAME": "probe", "SILVER_INSTANCE": "3"})
    before, now, missing = eval(w.get("/caf\u00e9").body)
    assert before == {} and missing is None
    assert now == {"request_id": "r2", "peer": "192.0.2.7", "method": "GET", "path": "/caf\u00e9", "scheme": "http",
                   "application": "probe", "instance": 3, "directory": str(tmp_path)}


def test_config_and_secret(worker):
    w = worker("""
        import silver
        def application(environ, start_response):
            start_response("200 OK", [])
            out = [silver.config("sqlite_path"), silver.config("none", "default"), silver.secret()]
            try:
                silver.config("pg_host")
            except silver.Error as e:
                out += [str(e), e.hint]
            return [repr(out).encode()]
        """, env={"CONFIG_SQLITE_PATH": "/data/x", "CONFIG_SECRET": "s3cret"})
    assert eval(w.get().body) == ["/data/x", "default", "s3cret", "there is no CONFIG_PG_HOST",
                                  "ask for it in app.ini: service.postgres ="]


def test_outside_a_worker(command, environment):
    import os
    import pathlib
    import subprocess
    build = pathlib.Path(os.environ.get("SILVER", pathlib.Path(__file__).parents[2] / "build" / "silver")).parent
    done = subprocess.run(["/usr/bin/python3", "-c", textwrap.dedent("""
        import silver, logging
        logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
        silver.log.warning("%d found", 5)
        print(dict(silver.context))
        try:
            silver.call("a", "b")
        except silver.Error as e:
            print(e, "|", e.hint)
        """)], env={**environment, "PYTHONPATH": str(build / "python")}, capture_output=True, text=True, timeout=30)
    assert done.stderr == "silver WARNING 5 found\n"
    assert done.stdout.startswith("{}\nsilver.call works only in a worker of Silver Lining | run the application with")


# ---- ASGI --------------------------------------------------------------------------------------------------------


def test_in_a_coroutine_it_is_awaited(worker):
    w = worker("""
        import silver, asyncio
        async def application(scope, receive, send):
            if scope["type"] != "http":
                return
            async with silver.subscribe("room") as events:
                first, second = await asyncio.gather(silver.call("s", "one", 1), silver.call("s", "two", 2))
                async for event in events:
                    break
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": repr((first, second, event.payload)).encode()})
        """)
    request = w.begin()
    packets = [upcall(w), upcall(w)]
    for packet in reversed(packets):
        answer(w, packet["call"], packet["value"]["method"])
    tell(w, "room", "x", "told")
    assert w.finish(request).body == b"('one', 'two', 'told')"


def test_a_call_that_is_answered_and_then_left(worker):
    """A task is cancelled when its answer has come, and before it has looked at that."""
    w = worker("""
        import asyncio, silver

        async def application(scope, receive, send):
            assert scope["type"] == "http"
            task = asyncio.ensure_future(silver.call("numbers", "next"))
            left, begin, cancel = [], silver._silver.call_begin, silver._silver.call_cancel

            class Seen:
                in_loop = silver._silver.in_loop
                def call_begin(arrived, *packet):
                    def and_cancel(answer):
                        arrived(answer)
                        task.cancel()
                    return begin(and_cancel, *packet)
                def call_cancel(number):
                    left.append(number)  # of freed memory

            silver._silver, before = Seen, silver._silver
            try:
                await task
            except asyncio.CancelledError:
                left.append("cancelled")
            finally:
                silver._silver = before
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": repr(left).encode()})
        """)
    call = w.begin()
    answer(w, upcall(w)["call"], 1)
    assert w.finish(call).body == b"['cancelled']"


def test_a_subscription_goes_with_the_task_that_waits(worker):
    w = worker("""
        import asyncio, gc, silver

        async def hear():
            async for event in silver.subscribe("quiet"):
                pass

        async def application(scope, receive, send):
            assert scope["type"] == "http"
            task = asyncio.ensure_future(hear())
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])
            del task
            gc.collect()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"done"})
        """)
    assert w.get().body == b"done"
    assert base64.b64decode(w.next(lambda p: p.get("kind") == UNHEAR)["data"]) == b"quiet"


@pytest.mark.parametrize("how", ["silver.emit('room', 'x', 5)",
                                 "await asyncio.get_running_loop().run_in_executor(None, silver.emit, 'room', 'x', 5)"])
def test_who_waits_in_the_loop_hears_what_is_told_here(worker, how):
    w = worker(f"""
        import silver, asyncio
        async def hear(events):
            async for event in events:
                return event.payload
        async def application(scope, receive, send):
            if scope["type"] != "http":
                return
            heard = asyncio.create_task(hear(silver.subscribe("room")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            {how}
            body = b"%d" % await heard
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": body}})
        """)
    assert w.get().body == b"5"


# ---- Services ----------------------------------------------------------------------------------------------------

SERVICE = """
    import os, silver
    from json import dumps as not_a_method
    version = 3
    def query(words, limit=20):
        return {"words": words, "limit": limit}
    def fail(what):
        raise ValueError(what)
    query.idempotent = True
    def odd():
        return {1, 2}
    def outer(x):
        return silver.call("other", "inner", x) + 1
    def where():
        return dict(silver.context)
    def _private():
        pass
    class NotOne:
        pass
    """


def ask(w, call, method, value, codec):
    index = [m["name"] for m in w.hello["value"]["methods"]].index(method)
    data = pickle.dumps(value) if codec == PICKLE else json.dumps(value).encode()
    w.put(kind=CALL, call=call, word=index, codec=codec, data=b64(data))


def result(w, call):
    packet = w.next(lambda p: p.get("call") == call and p["kind"] in (RESULT, FAILED))
    if packet["kind"] == FAILED:
        return packet["value"]
    data = base64.b64decode(packet["data"])
    return pickle.loads(data) if packet["codec"] == PICKLE else json.loads(data)


@pytest.fixture
def service(worker):
    return lambda source=SERVICE, **more: worker(source, service="search", module="lib/python/search.py", **more)


def test_service_says_what_it_offers(service):
    hello = service().hello["value"]
    assert (hello["service"], hello["version"], hello["concurrency"], hello["codec"]) == ("search", 3, 1, "pickle")
    assert [(m["name"], m["idempotent"]) for m in hello["methods"]] == [
        ("query", True), ("fail", False), ("odd", False), ("outer", False), ("where", False)]


@pytest.mark.parametrize("make_async", [False, True])
def test_service_in_json_and_pickle(service, make_async):
    source = SERVICE
    if make_async:
        source = SERVICE.replace("def query", "async def query").replace("def outer", "async def outer").replace(
            'return silver.call("other", "inner", x) + 1', 'return await silver.call("other", "inner", x) + 1')
    w = service(source, env={"SILVER_NAME": "probe"})
    ask(w, 2, "query", {"words": "fish"}, JSON)
    assert result(w, 2) == {"words": "fish", "limit": 20}
    ask(w, 4, "query", ["fish", 5], JSON)
    assert result(w, 4) == {"words": "fish", "limit": 5}
    ask(w, 6, "query", ((b"bytes",), {"limit": None}), PICKLE)
    assert result(w, 6) == {"words": b"bytes", "limit": None}
    ask(w, 8, "odd", ((), {}), PICKLE)
    assert result(w, 8) == {1, 2}
    ask(w, 10, "odd", {}, JSON)
    assert "not JSON serializable" in result(w, 10)["message"]
    ask(w, 12, "fail", {"what": "broken"}, JSON)
    failed = result(w, 12)
    assert failed["message"] == "ValueError: broken" and failed["places"][0]["function"] == "fail"
    ask(w, 14, "query", {"wrods": "fish"}, JSON)
    assert "unexpected keyword argument 'wrods'" in result(w, 14)["message"]
    ask(w, 16, "outer", {"x": 1}, JSON)
    answer(w, upcall(w)["call"], 41)
    assert result(w, 16) == 42
    w.put(kind=CALL, call=18, word=77, codec=JSON, data=b64(b"{}"))
    assert "no method with number 77" in result(w, 18)["message"]
    ask(w, 20, "where", [], JSON)
    here = result(w, 20)
    assert (here["service"], here["method"], here["application"], here["instance"]) == ("search", "where", "probe", 0)
    assert w.stop() == {"exited": 0, "signal": 0}


def test_service_with_threads(service):
    w = service("""
        import threading
        concurrency = 3
        barrier = threading.Barrier(3)
        def meet(n):
            barrier.wait(20)
            return n
        """)
    assert w.hello["value"]["concurrency"] == 3
    for call in 2, 4, 6:
        ask(w, call, "meet", [call], JSON)
    assert [result(w, call) for call in (2, 4, 6)] == [2, 4, 6]


def test_service_in_a_loop(service):
    w = service("""
        import asyncio
        concurrency = 10
        gate = None
        async def wait(n):
            global gate
            gate = gate or asyncio.Event()
            await gate.wait()
            return n
        async def open():
            gate.set()
        async def forever():
            try:
                await asyncio.sleep(1000)
            finally:
                print("left")
        """)
    for call in 2, 4, 6:
        ask(w, call, "wait", [call], JSON)
    ask(w, 8, "open", [], JSON)
    assert [result(w, call) for call in (2, 4, 6)] == [2, 4, 6]
    ask(w, 10, "forever", [], JSON)
    ask(w, 12, "wait", [12], JSON)
    result(w, 12)
    w.cancel(10)
    assert result(w, 10)["code"] == -125
    assert "left" in w.said()
    ask(w, 14, "wait", [14], JSON)
    assert w.stop() == {"exited": 0, "signal": 0}
    assert result_of_kept(w, 14)


def result_of_kept(w, call):
    return [p for p in w.kept if p.get("call") == call and p["kind"] == RESULT]


@pytest.mark.parametrize("source, message", [
    ("x = 5\n", "has no method"),
    ("def a():\n    pass\nconcurrency = 0\n", "concurrency must be a number"),
    ("import nosuch\n", "ModuleNotFoundError"),
])
def test_service_that_cannot_be(service, source, message):
    w = service(source, ready=False)
    failed = w.hello if w.hello["kind"] == FAILED else w.next(lambda p: p["kind"] == FAILED)
    assert message in failed["value"]["message"]
