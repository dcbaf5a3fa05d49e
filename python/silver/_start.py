"""How a worker begins: the path, the application's module, what kind of application it is, and the log."""

import os
import sys

CO_COROUTINE = 0x80
CO_ITERABLE_COROUTINE = 0x100


class Refused(Exception):
    """The application cannot be used as it is; what is wrong, and what to do."""

    def __init__(self, message, hint=""):
        super().__init__(message)
        self.hint = hint


def prepare(application, venv):
    """What travels with the application comes first on the path, its .pth files honoured."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    if venv:
        import site

        packages = os.path.join(venv, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
        if packages not in sys.path:
            site.addsitedir(packages)
    library = os.path.join(application, "lib", "python")
    if os.path.isdir(library):
        import site

        before = list(sys.path)
        site.addsitedir(library)
        added = [path for path in sys.path if path not in before]
        sys.path[:] = added + before
    _keep_no_fresh_bytecode()
    _log_here()


def _keep_no_fresh_bytecode():
    """Bytecode that is kept names its source by size and by time in seconds. Of a source that was changed just now it
    would be taken for that of the next change, if that comes in the same second: a reload would show the old one."""
    from importlib.machinery import SourceFileLoader
    from time import time

    keep = SourceFileLoader._cache_bytecode

    def keep_settled(self, source_path, *rest):
        if time() - os.stat(source_path).st_mtime > 2:
            keep(self, source_path, *rest)

    SourceFileLoader._cache_bytecode = keep_settled


def _package_of(path):
    """(directory for the path, dotted name) of a module's file: a file in a package is that package's module."""
    directory, file = os.path.split(os.path.abspath(path))
    names = [os.path.splitext(file)[0]]
    while os.path.isfile(os.path.join(directory, "__init__.py")) and os.path.basename(directory).isidentifier():
        directory, name = os.path.split(directory)
        names.insert(0, name)
    return directory, ".".join(names)


def load(path):
    """The module of a file, imported as any other; its directory is importable."""
    if not os.path.isfile(path):
        raise Refused("there is no file %s" % path, "write it, or mend the key runner in app.ini")
    directory, name = _package_of(path)
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path.insert(0, directory)
    import importlib

    if "." in name:
        return importlib.import_module(name)
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, os.path.abspath(path))
    if spec is None:
        raise Refused("%s is no Python file" % path, "its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _shown(path):
    """As app.ini would name it."""
    import _silver

    return os.path.relpath(path, _silver.application() or ".")


def find(module, name):
    """The object of this (dotted) name in the module."""
    found, file = module, _shown(module.__file__)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            break
    else:
        if not callable(found):
            raise Refused("%s in %s is no application: it is %s and cannot be called" % (
                name, file, type(found).__name__), "name the application in app.ini: runner = %s#NAME" % file)
        return found
    others = [each for each in ("application", "app", "asgi", "wsgi", "handler")
              if callable(getattr(module, each, None))]
    hint = "name the application in app.ini: runner = %s#NAME" % file
    if others:
        hint = "the file has %s: write in app.ini: runner = %s#%s" % (others[0], file, others[0])
    elif callable(getattr(module, "create_app", None)):
        hint = "the file has create_app, which makes one: write at its end: %s = create_app()" % name
    raise Refused("%s has no object named %s" % (file, name), hint)


def _function_of(callable_):
    """The plain function that a call of it runs, or None; and how many arguments it is given before the caller's."""
    given = 0
    for _ in range(16):
        if hasattr(callable_, "__func__"):
            callable_, given = callable_.__func__, given + 1
        elif type(callable_).__module__ == "functools" and type(callable_).__name__ == "partial":
            callable_, given = callable_.func, given + len(callable_.args)
        elif hasattr(callable_, "__code__"):
            return callable_, given
        elif isinstance(callable_, type):
            return None, given
        else:
            callable_ = getattr(callable_, "__call__", None)
            if callable_ is None or type(callable_).__name__ == "method-wrapper":
                return None, given
    return None, given


def _is_coroutine_function(function):
    return bool(getattr(getattr(function, "__code__", None), "co_flags", 0) & (CO_COROUTINE | CO_ITERABLE_COROUTINE))


def interface(application):
    """ "asgi" or "wsgi", found out by looking: ASGI is a coroutine function, or takes three arguments."""
    if isinstance(application, type):  # an object of it is the conversation: version 3, version 2, or a WSGI class
        if hasattr(application, "__await__") or _is_coroutine_function(getattr(application, "__call__", None)):
            return "asgi"
        return "wsgi"
    function, given = _function_of(application)
    if function is None:
        return "wsgi"
    code = function.__code__
    if _is_coroutine_function(function):
        return "asgi"
    if getattr(application, "_is_coroutine_mark", None) or getattr(application, "_is_coroutine", None):
        return "asgi"  # inspect.markcoroutinefunction, asgiref's
    most = code.co_argcount - given
    least = most - len(function.__defaults__ or ())
    takes_all = code.co_flags & 0x04
    if least <= 2 and (most >= 2 or takes_all):
        return "wsgi"
    if least == 3 or (least == 1 and code.co_varnames[given] == "scope"):
        return "asgi"
    hint = "WSGI applications take (environ, start_response), ASGI applications (scope, receive, send)"
    if least == 0:
        hint += "; if it makes the application, write beside it: application = %s()" % code.co_name
    raise Refused("%r is neither WSGI nor ASGI: it takes %d arguments" % (application, least), hint)


def application(path, name):
    """(the application, "wsgi" or "asgi") for web.c."""
    found = find(load(path), name)
    kind = interface(found)
    import gc

    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    return found, kind


def threads(function, count):
    """So many threads that run the function."""
    import threading

    started = [threading.Thread(target=function, name="silver-%d" % number, daemon=True)
               for number in range(1, count + 1)]
    for thread in started:
        thread.start()
    return started


def join(started):
    for thread in started:
        thread.join()


def watch(signal, descriptor):
    """From now on this signal makes the thread that gets it write the stacks of all threads."""
    import faulthandler

    faulthandler.register(signal, file=descriptor, all_threads=True, chain=True)


def _log_here():
    from silver import _logging

    _logging.install()
