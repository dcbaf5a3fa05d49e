"""A web framework of one file: routes, forms, pages. It is yours to change.

    application = Application()

    @application.get("/hello/{name}")
    def hello(request, name):
        return Template("hello.html")(name=name)

A handler returns a page, or (status, page), or (303, "/where/to/go"); or raises Refusal(404, "why")."""

import html
import re
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from string import Template as Text
from urllib.parse import parse_qs, quote

TEMPLATES = Path(__file__).parents[2] / "templates"
FORM_MAX = 100_000


class Refusal(Exception):
    """What was asked for cannot be done: a status, and why, for whoever asked."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


class Markup(str):
    """HTML; other text is escaped when it is put into a page."""


def escaped(value):
    if isinstance(value, Markup):
        return value
    if isinstance(value, list):
        return Markup("".join(escaped(each) for each in value))
    return Markup(html.escape(str(value)))


class Template:
    """A file of templates/ with $names in it; called with their values it gives the page."""

    def __init__(self, name):
        self.text = Text((TEMPLATES / name).read_text(encoding="utf-8"))

    def __call__(self, **values):
        return Markup(self.text.substitute({name: escaped(value) for name, value in values.items()}))


class Request:
    def __init__(self, environ):
        self.environ = environ
        self.method = environ["REQUEST_METHOD"]
        self.path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace") or "/"

    @cached_property
    def form(self):
        """The fields of a posted form."""
        size = int(self.environ.get("CONTENT_LENGTH") or 0)
        if size > FORM_MAX:
            raise Refusal(413, "That is more than fits a form.")
        sent = parse_qs(self.environ["wsgi.input"].read(size).decode("utf-8", "replace"), keep_blank_values=True)
        return {name: values[0] for name, values in sent.items()}

    @property
    def from_other_site(self):
        """Whether a page of another site sent this: the visitor may know nothing of it."""
        return self.environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")


class Application:
    def __init__(self):
        self.routes = []
        self.layout = Template("base.html")

    def route(self, method, pattern):
        parts = re.split(r"{(\w+)}", pattern)
        parts[::2], parts[1::2] = map(re.escape, parts[::2]), (f"(?P<{name}>[^/]+)" for name in parts[1::2])

        def remember(handler):
            self.routes.append((method, re.compile("".join(parts)), handler))
            return handler

        return remember

    def get(self, pattern):
        return self.route("GET", pattern)

    def post(self, pattern):
        return self.route("POST", pattern)

    def answer(self, request):
        wanted = "GET" if request.method == "HEAD" else request.method
        matches = [(method, handler, match) for method, pattern, handler in self.routes
                   if (match := pattern.fullmatch(request.path))]
        for method, handler, match in matches:
            if method == wanted:
                if method == "POST" and request.from_other_site:
                    raise Refusal(403, "Pages of other sites may not send forms here.")
                return handler(request, **match.groupdict())
        raise Refusal(405, "That cannot be done here.") if matches else Refusal(404, "There is no such page.")

    def __call__(self, environ, start_response):
        request = Request(environ)
        try:
            answer = self.answer(request)
        except Refusal as refusal:
            answer = refusal.status, Markup(f"<h1>{html.escape(str(refusal))}</h1>")
        status, page = answer if isinstance(answer, tuple) else (200, answer)
        headers = []
        if 300 <= status < 400:
            headers.append(("Location", quote(page, safe="/?&=#:%")))
            page = Markup("<p>This is elsewhere.</p>")
        body = self.layout(content=page).encode()
        headers += [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [] if request.method == "HEAD" else [body]
