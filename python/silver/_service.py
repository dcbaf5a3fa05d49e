"""Services in Python: a module's public functions are the methods. For service.c."""

import inspect
import json
import pickle

from silver import Error
from silver._start import Refused, load as load_module

JSON, PICKLE = 1, 2
CONCURRENCY_MAX = 1024


def _number(module, name):
    value = getattr(module, name, 1)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= (1 << 31 if name == "version" else
                                                                                    CONCURRENCY_MAX):
        raise Refused("%s: %s must be a number from 1 on, not %r" % (module.__file__, name, value))
    return value


def load(path):
    """([(name, idempotent)], [function], version, concurrency, whether they are asynchronous, decode, encode)"""
    module = load_module(path)
    functions = {name: value for name, value in vars(module).items()
                 if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")}
    if not functions:
        raise Refused("%s has no method" % path, "each public function of the module is a method of the service")
    asynchronous = any(inspect.iscoroutinefunction(each) for each in functions.values())
    return ([(name, getattr(each, "idempotent", None) is True) for name, each in functions.items()],
            list(functions.values()), _number(module, "version"), _number(module, "concurrency"), asynchronous,
            decode, encode)


def decode(codec, data):
    """(arguments, keywords)"""
    if codec == PICKLE:
        arguments, keywords = pickle.loads(data)
        return tuple(arguments), dict(keywords)
    if codec != JSON:
        raise Error("a service in Python takes JSON or what Python has pickled", code=-71)
    value = json.loads(data) if data else None
    if isinstance(value, dict):
        return (), value
    if isinstance(value, list):
        return tuple(value), {}
    if value is None:
        return (), {}
    raise TypeError("arguments are an object or an array, not %s" % type(value).__name__)


def encode(codec, value):
    if codec == PICKLE:
        return pickle.dumps(value, 5)
    return json.dumps(value, separators=(",", ":")).encode()


def serve(wire, service, functions):
    """Runs the methods in asyncio's loop until the parent says stop or is gone."""
    import asyncio

    asyncio.run(_serve(wire, service, functions))


async def _serve(wire, service, functions):
    import asyncio
    from _silver import work

    loop = asyncio.get_running_loop()
    tasks, stop = {}, loop.create_future()

    async def carry_out(call, method, codec, data):
        try:
            if method >= len(functions):
                raise LookupError("there is no method with number %d" % method)
            work.set({"service": service, "method": functions[method].__name__})
            arguments, keywords = decode(codec, data)
            result = functions[method](*arguments, **keywords)
            if inspect.isawaitable(result):
                result = await result
            wire.answer(call, codec, encode(codec, result))
        except asyncio.CancelledError as error:
            wire.failed(call, Error("the call was left", code=-125))
        except BaseException as error:
            wire.failed(call, error)
        finally:
            tasks.pop(call, None)

    def pump():
        for call, method, codec, data in wire.pump():
            if method >= 0:
                tasks[call] = loop.create_task(carry_out(call, method, codec, data))
            elif call in tasks:
                tasks[call].cancel()
        if wire.stopping() and not stop.done():
            loop.remove_reader(descriptor)
            stop.set_result(None)

    descriptor = wire.ready()
    loop.add_reader(descriptor, pump)
    pump()
    await stop
    while tasks:
        loop.add_reader(descriptor, pump)  # what they wait for comes by the wire
        await asyncio.wait(list(tasks.values()))
    loop.remove_reader(descriptor)
