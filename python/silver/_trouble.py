"""What is told of an exception: to the instance, which logs it and shows it as a page, and to callers of services."""

import os
import traceback

FAILED = -20001
DETAIL_MAX = 60000
MESSAGE_MAX = 2000  # characters: what a client sent may stand in an exception, and that in the log
PLACES_MAX = 16

_ours = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _is_ours(filename):
    return filename.startswith(_ours) or filename.startswith("<frozen importlib")


def _strip(exception):
    """The traceback from the application's first frame on: how it was called is not what went wrong."""
    tb = exception.__traceback__
    while tb is not None and _is_ours(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def _places(exception, tb):
    """(file, line, function), the innermost first."""
    places = []
    while tb is not None:
        code = tb.tb_frame.f_code
        if not _is_ours(code.co_filename):
            places.append((code.co_filename, tb.tb_lineno or 0, getattr(code, "co_qualname", code.co_name)))
        tb = tb.tb_next
    if isinstance(exception, SyntaxError) and exception.filename:
        places.append((exception.filename, exception.lineno or 0, "the source"))
    places.reverse()
    return places[:PLACES_MAX]


def _clean(text):
    return text.replace("\0", "\\0").encode("utf-8", "replace").decode("utf-8")


def _hint(exception):
    hint = getattr(exception, "hint", None)
    if isinstance(hint, str):
        return hint
    if isinstance(exception, ModuleNotFoundError) and exception.name:
        import _silver
        import sys

        if _silver.venv():
            return "is it installed? in the virtualenv that is used it would be with: %s -m pip install PACKAGE" % (
                sys.executable)
        return ("is it installed? make a virtualenv with: python3 -m venv %s/venv, and install it there with: "
                "%s/venv/bin/pip install PACKAGE; or copy it to lib/python/" % ((_silver.application(),) * 2))
    return ""


def _is_refusal(exception):
    """It says of itself what is wrong and where: its class, which is ours, would tell nobody more."""
    return type(exception).__module__ == "silver._start"


def _text(exception, tb):
    """The traceback without frames of ours; and what another process said of its own."""
    if _is_refusal(exception):
        return str(exception)
    whole = traceback.TracebackException(type(exception), exception, tb, compact=True)
    each, seen = whole, 0
    while each is not None and seen < 100:
        each.stack[:] = [frame for frame in each.stack if not _is_ours(frame.filename)]
        each, seen = each.__cause__ or each.__context__, seen + 1
    text = "".join(whole.format()).rstrip()
    remote = getattr(exception, "detail", None)
    if type(exception).__module__ == "silver" and remote:
        text += "\n\nThere it was:\n\n" + str(remote)
    return text


def describe(exception):
    """(code, message, detail, hint, places) for trouble.c."""
    tb = _strip(exception)
    last = traceback.format_exception_only(type(exception), exception)
    message = last[-1].strip() if last else type(exception).__name__
    if _is_refusal(exception):
        message = str(exception)
    detail = _text(exception, tb)
    if len(detail) > DETAIL_MAX:
        detail = detail[:DETAIL_MAX // 2] + "\n…\n" + detail[-DETAIL_MAX // 2:]
    code = getattr(exception, "code", FAILED)
    if type(exception).__module__ != "silver" or not isinstance(code, int) or code >= 0:
        code = FAILED
    first = message.split("\n")[0]
    if len(first) > MESSAGE_MAX:
        first = first[:MESSAGE_MAX] + "…"
    return code, _clean(first), _clean(detail), _clean(_hint(exception)), [
        (_clean(file), line, _clean(function)) for file, line, function in _places(exception, tb)]
