"""Requests that were sent ahead to a worker which does one at a time: none is lost with the worker, or waits for who left."""

import os
import socket
import struct

from conftest import eventually, lay_out

SOURCE = """
import os, signal, time

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/wait":
        open(environ["QUERY_STRING"] + ".begun", "w").close()
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
MANIFEST = "[production]\napp_name = {name}\nrunner = src/runner.py\n\n[slots]\n0 = 127.0.0.1:0\n"
REQUEST = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"


def python_app(directory):
    directory = lay_out(directory, "", manifest=MANIFEST, files={"src/runner.py": SOURCE})
    (directory / "src" / "probe.c").unlink()
    return directory


def all_at_once(server, paths):
    connections = [server.connect() for _ in paths]
    for connection, path in zip(connections, paths):
        connection.send(REQUEST.format(path))
    return connections


def warm(server):
    """Until it is known that requests are short, none is sent ahead."""
    for _ in range(5):
        for connection in all_at_once(server, ["/"] * 20):
            assert connection.response().status == 200
            connection.close()


def test_what_a_dead_worker_had_not_begun_is_done_by_the_next(serve, tmp_path):
    server = serve(python_app(tmp_path / "app"), "--production")
    warm(server)
    before = server.get("/").body
    connections = all_at_once(server, ["/"] * 10 + ["/die"] + ["/"] * 30)
    responses = [connection.response() for connection in connections]
    statuses = [response.status for response in responses]
    assert statuses == [200] * 10 + [502] + [200] * 30
    assert any(response.body != before for response in responses if response.status == 200)


def test_who_leaves_the_queue_ends_nobody(serve, tmp_path):
    server = serve(python_app(tmp_path / "app"), "--production")
    warm(server)
    worker, flag = server.get("/").body, tmp_path / "flag"
    slow = all_at_once(server, [f"/wait?{flag}"])[0]
    eventually(lambda: os.path.exists(f"{flag}.begun"), "the request in the application")
    leaving = all_at_once(server, ["/"] * 20)
    for connection in leaving:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    staying = all_at_once(server, ["/"] * 3)
    flag.touch()
    for connection in [slow, *staying]:
        response = connection.response()
        assert response.status == 200 and response.body == worker
