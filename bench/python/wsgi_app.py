"""The measured WSGI application, the same file for every server."""

import time

TEXT = b"Hello, World!"
PAGE = b"x" * 10240


def reply(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ, start_response):
    return reply(start_response, TEXT)


def page(environ, start_response):
    return reply(start_response, PAGE)


def echo(environ, start_response):
    return reply(start_response, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def sleep(environ, start_response):
    time.sleep(0.01)
    return reply(start_response, TEXT)


ROUTES = {"/": hello, "/10k": page, "/echo": echo, "/sleep": sleep}


def application(environ, start_response):
    return ROUTES[environ["PATH_INFO"]](environ, start_response)
