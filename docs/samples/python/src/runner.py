"""Counts the words of what people post, and shows them as they come."""

import hashlib
import hmac
import json

import silver


def application(environ, start_response):
    pages = {("GET", "/"): front, ("POST", "/say"): say, ("GET", "/live"): live}
    page = pages.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    if page is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"there is no such page\n"]
    return page(environ, start_response)


def front(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"hello {silver.context['peer']}\n".encode()]


def say(environ, start_response):
    text = environ["wsgi.input"].read().decode()
    counted = silver.call("words", "count", text, most=3)
    silver.emit("words/said", "counted", counted)
    silver.log.info("%d words from %s", counted["total"], silver.context["peer"])
    body = json.dumps(counted).encode()
    signature = hmac.new(silver.secret().encode(), body, hashlib.sha256).hexdigest()
    start_response("200 OK", [("Content-Type", "application/json"), ("X-Signature", signature)])
    return [body]


def live(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    with silver.subscribe("words") as events:
        yield b": listening\n\n"
        for event in events:
            yield f"event: {event.name}\ndata: {json.dumps(event.payload)}\n\n".encode()
