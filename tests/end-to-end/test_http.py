"""HTTP/1.1 as a client sees it, over raw sockets and through curl."""

import gzip
import re
import socket
import time

import pytest

import probe
from conftest import eventually, lay_out


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    return serve_module(lay_out(tmp_path_factory.mktemp("app"), probe.SOURCE, files=probe.FILES))


# ---- Requests and connections ------------------------------------------------------------------------------


def test_an_ordinary_request(site):
    response = site.get("/")
    assert (response.status, response.reason) == (200, "OK")
    assert response.body == b"home\n"
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Content-Length"] == "5"
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", response["Date"])
    assert len(response.all("Date")) == 1


def test_keep_alive_is_the_default(site):
    with site.connect() as connection:
        for _ in range(20):
            assert connection.request("/").body == b"home\n"


@pytest.mark.parametrize("fields", [["Connection: close"], ["Connection: x-other, Close"]])
def test_a_client_that_wants_to_close(site, fields):
    with site.connect() as connection:
        response = connection.request("/", *fields)
        assert response.body == b"home\n"
        assert response["Connection"].lower() == "close"
        assert connection.closed()


def test_http_1_0(site):
    with site.connect() as connection:
        connection.send("GET / HTTP/1.0\r\n\r\n")
        assert connection.response().body == b"home\n"
        assert connection.closed()


def test_a_stream_for_http_1_0_ends_with_the_connection(site):
    with site.connect() as connection:
        connection.send("GET /stream HTTP/1.0\r\nHost: a\r\n\r\n")
        response = connection.response()
        assert response["Transfer-Encoding"] is None
        assert response.body == b"".join(b"line %d of a stream\n" % i for i in range(3))


def test_pipelined_requests_are_answered_in_order(site):
    with site.connect() as connection:
        connection.send("".join(f"GET /show/{i} HTTP/1.1\r\nHost: a\r\n\r\n" for i in range(100)))
        for i in range(100):
            assert connection.response().body.split(b"|")[1] == b"/show/%d" % i


def test_a_pipelined_request_waits_for_the_one_before(site, tmp_path):
    gate = tmp_path / "gate"
    with site.connect() as connection:
        connection.send(f"GET /gate?path={gate} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        site.wait_said(re.escape(f"at the gate {gate}"))
        gate.touch()
        assert connection.response().body == b"through"
        assert connection.response().body == b"home\n"


def test_a_request_byte_by_byte(site):
    with site.connect() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            connection.send(bytes([byte]))
        assert connection.response().body == b"abc"


def test_one_empty_line_before_a_request_is_forgiven(site):
    with site.connect() as connection:
        connection.send("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.response().status == 200


def test_an_absolute_target_names_the_host(site):
    response = site.get("http://other.example:81/show/x?q=1")
    assert response.body.split(b"|")[:4] == [b"GET", b"/show/x", b"q=1", b"other.example:81"]


def test_paths_are_decoded_and_dots_resolved(site):
    assert site.get("/show/a%20b/./c/../d?x=%20").body.split(b"|")[1:3] == [b"/show/a b/d", b"x=%20"]
    assert site.get("/rooms/%C3%A9").body == "room é".encode()


def test_urls_are_made_from_routes(site):
    path = site.get("/where").body.decode()
    assert site.get(path).body == b"room a b/c"


def test_a_field_reaches_the_handler(site):
    assert site.get("/show/x", "x-pRoBe: \t value with spaces \t").body.endswith(b"|value with spaces")


# ---- Methods and routes --------------------------------------------------------------------------------------


def test_head_is_get_without_a_body(site):
    for path in ("/", "/page", "/hello.txt", "/stream"):
        with site.connect() as connection:
            get = connection.request(path)
            head = connection.request(path, method="HEAD")
            assert head.status == 200
            same = ("Content-Type", "Content-Length", "ETag", "Last-Modified", "Vary", "Cache-Control")
            assert [head[name] for name in same] == [get[name] for name in same]
            assert connection.request("/").body == b"home\n"  # nothing came between


def test_unknown_paths_and_methods(site):
    assert site.get("/nothing").status == 404
    response = site.get("/rooms/x", method="DELETE")
    assert response.status == 405
    assert {word.strip() for word in response["Allow"].split(",")} >= {"GET", "HEAD", "POST"}


def test_options(site):
    response = site.get("/rooms/x", method="OPTIONS")
    assert response.status in (200, 204)
    assert {word.strip() for word in response["Allow"].split(",")} >= {"GET", "HEAD", "POST", "OPTIONS"}
    assert site.get("*", method="OPTIONS").status in (200, 204)


def test_failures_become_responses(site):
    assert site.get("/teapot").status == 418
    assert site.get("/gate").status == 400
    response = site.get("/fail")
    assert response.status == 500
    assert b"failed on purpose" in response.body
    response = site.get("/fail", "Accept: text/html, */*;q=0.1")
    assert response.status == 500 and response["Content-Type"].startswith("text/html")
    assert b"failed on purpose" in response.body and b"probe.c" in response.body  # the page for developers
    assert b"<b>probe</b>" not in response.body  # which escapes what it shows
    assert site.get("/").status == 200


def test_a_stream_that_fails_is_not_taken_for_whole(site):
    with site.connect() as connection:
        connection.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"half" in connection.rest()[-40:]
    with site.connect() as connection:
        connection.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(AssertionError, match="closed"):
            connection.response()


# ---- Bodies -----------------------------------------------------------------------------------------------------


def chunked(*pieces, trailers=""):
    return "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces) + f"0\r\n{trailers}\r\n"


def test_bodies_with_a_length(site):
    for body in (b"", b"x", b"a" * 100000):
        response = site.get("/echo", f"Content-Length: {len(body)}", method="POST", body=body)
        assert response.body == body


def test_chunked_bodies_with_trailers(site):
    with site.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        "5;name=value;other=\"quoted \\\" text\"\r\nhello\r\n" + chunked(", world", trailers="X-Sum: 12\r\n"))
        response = connection.response()
        assert response.body == b"hello, world"
        assert response["X-Trailer"] == "12"
        assert connection.request("/").body == b"home\n"


def test_a_body_in_pieces_of_any_size(site):
    with site.connect() as connection:
        connection.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            connection.send(b"x" * 100000)
        assert connection.response().body == b"5000000"


def test_a_body_that_nobody_reads_does_not_become_a_request(site):
    with site.connect() as connection:
        body = "GET /teapot HTTP/1.1\r\nHost: smuggled\r\n\r\n"
        connection.send(f"POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.response().body == b"ignored"
        assert connection.response().body == b"home\n"


def test_expect_100_continue(site):
    with site.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n")
        assert connection.response().status == 100
        connection.send("ok")
        assert connection.response().body == b"ok"


def test_nobody_is_told_to_continue_with_what_nobody_reads(site):
    with site.connect() as connection:
        connection.send("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.response().status in (404, 405)


def test_other_expectations_fail(site):
    with site.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: the-best\r\n\r\nok")
        assert connection.response().status == 417


# ---- What is refused ------------------------------------------------------------------------------------------------

HOST = "Host: a\r\n"
SMUGGLING = {
    "both lengths": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths the other way": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "two equal lengths": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a signed length": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    "a negative length": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
    "a hexadecimal length": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
    "an empty length": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
    "a length with a space in it": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nhello",
    "a length past 64 bits": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    "a space before the colon": "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
    "a tab before the colon": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": "GET / HTTP/1.1\r\nHost: a\r\nX-Long: one\r\n two\r\n\r\n",
    "a folded first line": "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "a coding that is not chunked": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "chunked that is not final": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a coding like chunked": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "chunked in HTTP/1.0": "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare CR in a value": "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\rtwo\r\n\r\n",
    "a bare CR for a line": "GET / HTTP/1.1\r\nHost: a\rX-A: b\r\n\r\n",
    "a NUL in a value": "GET / HTTP/1.1\r\nHost: a\r\nX-A: one\0two\r\n\r\n",
    "a name with a space": "GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n",
    "an empty name": "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "a line without a colon": "GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n",
    "no Host": "GET / HTTP/1.1\r\n\r\n",
    "two Hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host that is none": "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "two spaces after the method": "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab after the method": "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space before the method": " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space after the version": "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "no version": "GET /\r\nHost: a\r\n\r\n",
    "a version in lower case": "GET / http/1.1\r\nHost: a\r\n\r\n",
    "a method that is no token": "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that is no path": "GET echo HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded NUL": "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a broken encoding": "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "half an encoding": "GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a TLS greeting": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "x" * 40 + "\r\n\r\n",
}
CHUNKS = {
    "a size that is no number": "x\r\nhello\r\n0\r\n\r\n",
    "an empty size": "\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": "0x5\r\nhello\r\n0\r\n\r\n",
    "a negative size": "-5\r\nhello\r\n0\r\n\r\n",
    "a signed size": "+5\r\nhello\r\n0\r\n\r\n",
    "a space before the size": " 5\r\nhello\r\n0\r\n\r\n",
    "a size past 64 bits": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size that is too small": "4\r\nhello\r\n0\r\n\r\n",
    "a size that is too large": "6\r\nhello\r\n0\r\n\r\n",
    "LF only after the size": "5\nhello\r\n0\r\n\r\n",
    "LF only after the chunk": "5\r\nhello\n0\r\n\r\n",
    "a bare CR in an extension": "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a LF in an extension": "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "a trailer with a space before its colon": "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n",
    "a folded trailer": "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
}


@pytest.mark.parametrize("case", SMUGGLING)
def test_ambiguous_heads_are_refused(site, case):
    with site.connect() as connection:
        connection.send(SMUGGLING[case])
        response = connection.response()
        assert response.status == 400, response
        assert response["Connection"].lower() == "close"
        assert connection.closed()  # and what follows is never taken for a request


@pytest.mark.parametrize("case", CHUNKS)
def test_ambiguous_chunks_are_refused(site, case):
    with site.connect() as connection:
        connection.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS[case] +
                        "GET /show/smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        response = connection.response()
        assert response.status == 400, response
        assert connection.closed()


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"])
def test_other_versions_are_refused(site, version):
    with site.connect() as connection:
        connection.send(f"GET / {version}\r\nHost: a\r\n\r\n")
        assert connection.response().status == 505
        assert connection.closed()


def test_connect_is_not_for_us(site):
    with site.connect() as connection:
        connection.send("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n")
        assert connection.response().status in (400, 405, 501)


def test_the_requests_before_a_refused_one_are_answered(site):
    with site.connect() as connection:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.response().status == 200
        assert connection.response().status == 400
        assert connection.closed()


# ---- Conditions, ranges, compression ------------------------------------------------------------------------------


def test_conditional_requests(site):
    page = site.get("/page")
    assert page["ETag"] == '"page-1"'
    assert page.body.decode() == probe.PAGE
    response = site.get("/page", 'If-None-Match: W/"page-1", "other"')
    assert response.status == 304 and response.body == b""
    assert response["ETag"] == '"page-1"' and response["Content-Type"] is None
    assert site.get("/page", f"If-Modified-Since: {page['Last-Modified']}").status == 304
    assert site.get("/page", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT").status == 200
    assert site.get("/page", 'If-Match: "other"').status == 412
    assert site.get("/page", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT").status == 412
    with site.connect() as connection:  # a 304 has no body, and the connection goes on
        assert connection.request("/page", "If-None-Match: *").status == 304
        assert connection.request("/").body == b"home\n"


def test_ranges(site):
    whole = probe.PAGE.encode()
    response = site.get("/page", "Range: bytes=10-19")
    assert response.status == 206 and response.body == whole[10:20]
    assert response["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert site.get("/page", "Range: bytes=-5").body == whole[-5:]
    assert site.get("/page", "Range: bytes=10-19", 'If-Range: "page-1"').status == 206
    assert site.get("/page", "Range: bytes=10-19", 'If-Range: "page-0"').body == whole
    response = site.get("/page", "Range: bytes=999999-")
    assert response.status == 416 and response["Content-Range"] == f"bytes */{len(whole)}"


def test_several_ranges(site):
    response = site.get("/page", "Range: bytes=0-3,100-109")
    assert response.status == 206
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)", response["Content-Type"]).group(1)
    parts = response.body.split(b"--" + boundary.encode())
    assert len(parts) == 4 and parts[3] == b"--\r\n"
    assert parts[1].endswith(b"\r\n\r\n" + probe.PAGE.encode()[:4] + b"\r\n")
    assert parts[2].endswith(b"\r\n\r\n" + probe.PAGE.encode()[100:110] + b"\r\n")


def test_curl_resumes(site, tmp_path):
    whole = probe.LONG.encode()
    partial = tmp_path / "long.txt"
    partial.write_bytes(whole[:12345])
    site.curl("/long.txt", "-C", "-", "-o", str(partial))
    assert partial.read_bytes() == whole


@pytest.mark.parametrize("path, contents", [("/page", probe.PAGE), ("/long.txt", probe.LONG), ("/huge.txt", probe.HUGE)],
                         ids=["from a handler", "from static", "in slices"])
def test_compression(site, path, contents):
    assert site.curl(path, "--compressed").decode() == contents
    for coding in ("gzip", "br", "zstd"):
        head = site.get(path, f"Accept-Encoding: {coding}")
        assert head["Content-Encoding"] == coding
        assert "accept-encoding" in head["Vary"].lower()
        assert head["ETag"].startswith("W/")
        assert len(head.body) < len(contents) / 4
    assert gzip.decompress(site.get(path, "Accept-Encoding: gzip").body).decode() == contents
    plain = site.get(path)
    assert plain["Content-Encoding"] is None and "accept-encoding" in plain["Vary"].lower()
    assert site.get(path, "Accept-Encoding: gzip;q=0, br;q=0, zstd;q=0")["Content-Encoding"] is None


def test_a_stream_is_compressed_as_it_goes(site):
    lines = b"".join(b"line %d of a stream\n" % i for i in range(5000))
    plain = site.get("/stream?lines=5000")
    assert plain["Transfer-Encoding"] == "chunked" and plain.body == lines
    response = site.get("/stream?lines=5000", "Accept-Encoding: gzip")
    assert response["Content-Encoding"] == "gzip" and response["Transfer-Encoding"] == "chunked"
    assert gzip.decompress(response.body) == lines
    assert site.curl("/stream?lines=5000", "--compressed") == lines


def test_small_responses_are_not_compressed(site):
    assert site.get("/", "Accept-Encoding: gzip")["Content-Encoding"] is None


# ---- One client and the others ---------------------------------------------------------------------------------------


def test_a_flushed_piece_arrives_before_the_end(site):
    with site.connect() as connection:
        connection.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(lambda: b"first" in connection.pending or not connection._more(), "the first piece")
        assert b"first\n" in connection.pending


def test_a_client_that_does_not_read_holds_nobody_up(site):
    with site.connect() as lazy:
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.send("GET /stream?lines=3000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(20):
            started = time.monotonic()
            assert site.get("/").status == 200
            assert time.monotonic() - started < 5


def test_many_connections_at_once(site):
    connections = [site.connect() for _ in range(300)]
    for connection in connections:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for connection in connections:
        assert connection.response().body == b"home\n"
        connection.close()
