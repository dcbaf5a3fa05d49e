"""Each limit of [limits]: what is within it is served, what is beyond gets its status, and the rest carry on."""

import socket

import pytest

import probe
from conftest import MANIFEST, eventually, lay_out

LIMITS = """
[limits]
request_line = 200
header_size = 1000
header_count = 10
body_size = 1000
header_ms = 300
body_ms = 300
write_ms = 1000
idle_ms = 300
requests = 3
connections = 20
in_flight = 2
"""


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("app")
    return serve_module(lay_out(directory, probe.SOURCE, manifest=MANIFEST + LIMITS, files=probe.FILES))


def is_served(site):
    with site.connect() as connection:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return connection.rest().startswith(b"HTTP/1.1 200 ")


def refused(site, text, status):
    with site.connect() as connection:
        connection.send(text)
        response = connection.response()
        assert response.status == status, response
        assert connection.closed()
    assert site.get("/").status == 200


def test_the_request_line(site):
    assert site.get("/show/" + "x" * 150).status == 200
    refused(site, "GET /" + "x" * 200 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414)
    refused(site, "GET /" + "x" * 100000, 414)


def test_the_size_of_the_fields(site):
    assert site.get("/", "X-A: " + "x" * 900).status == 200
    refused(site, "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + "x" * 1000 + "\r\n\r\n", 431)
    refused(site, "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + "x" * 100000, 431)


def test_the_number_of_fields(site):
    assert site.get("/", *(f"X-{i}: y" for i in range(9))).status == 200
    refused(site, "GET / HTTP/1.1\r\nHost: a\r\n" + "X: y\r\n" * 10 + "\r\n", 431)


def test_the_body_that_is_asked_for_whole(site):
    assert site.get("/echo", method="POST", body=b"x" * 1000).status == 200
    with site.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
        assert connection.response().status == 413
    with site.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + ("fa\r\n" + "x" * 250 + "\r\n") * 5)
        assert connection.response().status == 413
    assert site.get("/count", method="POST", body=b"x" * 100000).body == b"100000"  # read piece by piece


def test_too_large_a_body_is_not_asked_for(site):
    with site.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
        assert connection.response().status == 413


def test_a_head_that_does_not_come(site):
    refused(site, "GET / HTTP/1.1\r\nHost:", 408)
    refused(site, "G", 408)


def test_a_body_that_does_not_come(site):
    refused(site, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhal", 408)


def test_an_idle_connection_is_closed(site):
    with site.connect() as connection:
        assert connection.request("/").status == 200
        assert connection.closed()
    with site.connect() as connection:
        assert connection.closed()


def test_requests_of_one_connection(site):
    with site.connect() as connection:
        for last in (False, False, True):
            response = connection.request("/")
            assert response.status == 200
            assert ((response["Connection"] or "").lower() == "close") == last
        assert connection.closed()


def test_requests_in_flight(site, tmp_path):
    gate = tmp_path / "gate"
    waiting = [site.connect() for _ in range(2)]
    for i, connection in enumerate(waiting):
        connection.send(f"GET /gate?path={gate}&i={i} HTTP/1.1\r\nHost: a\r\n\r\n")
    site.wait_said(f"(?s)at the gate {gate}.*at the gate {gate}")
    response = site.get("/")
    assert response.status == 503
    assert response["Retry-After"] is None or response["Retry-After"].isdigit()
    gate.touch()
    for connection in waiting:
        assert connection.response().body == b"through"
        connection.close()
    assert site.get("/").status == 200


def test_connections(site):
    """Beyond the limit there is a clear answer, and once the others are gone, room again."""
    held = [site.connect() for _ in range(20)]
    for connection in held:
        connection.send("GET /endless HTTP/1.0\r\nHost: a\r\n")  # a head that does not end: the connection is open
    with site.connect() as beyond:
        data = beyond.rest()
        assert data == b"" or data.startswith(b"HTTP/1.1 503 ")
    for connection in held:
        connection.close()
    eventually(lambda: is_served(site), "room for a connection")


def test_clients_that_do_not_read_are_let_go(site):
    """They take all connections, until the server has waited for them long enough."""
    lazy = []
    for _ in range(20):
        connection = site.connect()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.append(connection.send("GET /stream?lines=3000000 HTTP/1.1\r\nHost: a\r\n\r\n"))
    eventually(lambda: not is_served(site), "all connections to be taken")
    eventually(lambda: is_served(site), "the places to be free again")
    for connection in lazy:
        assert not connection.rest().endswith(b"0\r\n\r\n")  # what was cut is not taken for whole
        connection.close()
