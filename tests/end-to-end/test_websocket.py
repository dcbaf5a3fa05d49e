"""WebSocket: through an ordinary client, and frame by frame where a client would not do what is tested."""

import base64
import hashlib
import os
import struct
import zlib

import pytest
import websocket

import probe
from conftest import eventually, lay_out


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    manifest = "[production]\napp_name = {name}\nrunner = src/{name}.c\n\n[slots]\n0 = 127.0.0.1:0\n\n[limits]\nwebsocket_message = 100000\n"
    return serve_module(lay_out(tmp_path_factory.mktemp("app"), probe.SOURCE, manifest=manifest, files=probe.FILES))


def client(site, path="/talk", **options):
    options.setdefault("origin", site.url)
    return websocket.create_connection(f"ws://{site.host}:{site.port}{path}", timeout=20, http_no_proxy=["*"], **options)


KEY = base64.b64encode(b"0123456789abcdef").decode()
UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]


class Raw:
    """A WebSocket client that sends whatever it is told to."""

    def __init__(self, site, *fields, path="/talk"):
        self.connection = site.connect()
        self.response = self.connection.request(path, *UPGRADE, *fields, host=f"{site.host}:{site.port}")
        assert self.response.status == 101, self.response

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, opcode, payload=b"", fin=True, masked=True, rsv=0, length=None):
        first = (0x80 if fin else 0) | rsv << 4 | opcode
        size = len(payload)
        if length is not None:
            head = bytes([first]) + length
        elif size < 126:
            head = struct.pack("!BB", first, size | (0x80 if masked else 0))
        elif size < 65536:
            head = struct.pack("!BBH", first, 126 | (0x80 if masked else 0), size)
        else:
            head = struct.pack("!BBQ", first, 127 | (0x80 if masked else 0), size)
        if masked:
            mask = os.urandom(4)
            payload = mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.connection.send(head + payload)

    def frame(self):
        """(fin and reserved bits, opcode, payload)"""
        first, second = self.connection._exactly(2)
        assert not second & 0x80, "a server does not mask"
        size = second & 0x7f
        if size == 126:
            size, = struct.unpack("!H", self.connection._exactly(2))
        elif size == 127:
            size, = struct.unpack("!Q", self.connection._exactly(8))
        return first & 0xf0, first & 0x0f, self.connection._exactly(size)

    def closed_with(self, code):
        """The next thing that happens is a close with this code, and then the end."""
        bits, opcode, payload = self.frame()
        assert (bits, opcode) == (0x80, 8)
        assert struct.unpack("!H", payload[:2])[0] == code, payload
        payload[2:].decode()
        assert self.connection.closed()


# ---- The handshake -----------------------------------------------------------------------------------------


def test_the_handshake(site):
    with Raw(site) as raw:
        wanted = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        assert raw.response["Sec-WebSocket-Accept"] == wanted
        assert raw.response["Upgrade"].lower() == "websocket"
        assert raw.response["Connection"].lower() == "upgrade"


def with_field(name, value=None):
    fields = [field for field in UPGRADE if not field.startswith(name + ":")]
    return fields + ([f"{name}: {value}"] if value is not None else [])


@pytest.mark.parametrize("fields, status", [
    (with_field("Sec-WebSocket-Version", "8"), 426),
    (with_field("Sec-WebSocket-Key"), 400),
    (with_field("Sec-WebSocket-Key", "short"), 400),
    (with_field("Upgrade"), 426),
    (with_field("Upgrade", "h2c"), 426),
    (UPGRADE + ["Origin: http://evil.example"], 403),
    (UPGRADE + ["Origin: null"], 403),
])
def test_handshakes_that_are_refused(site, fields, status):
    response = site.get("/talk", *fields)
    assert response.status == status
    if status == 426:
        assert response["Upgrade"].lower() == "websocket"
    assert site.get("/").status == 200


def test_our_own_origin_and_none_are_allowed(site):
    with Raw(site, f"Origin: {site.url}"):
        pass
    with Raw(site):
        pass


def test_what_comes_right_behind_the_handshake(site):
    with site.connect() as connection:
        head = "\r\n".join(["GET /talk HTTP/1.1", "Host: a", *UPGRADE]) + "\r\n\r\n"
        connection.send(head.encode() + b"\x81\x82\0\0\0\0hi")
        assert connection.response().status == 101
        assert connection._exactly(4) == b"\x81\x02hi"


# ---- Messages --------------------------------------------------------------------------------------------------


def test_messages_of_every_size(site):
    ws = client(site)
    for size in (0, 1, 125, 126, 127, 65535, 65536, 99999):
        text = "é" * (size // 2) + "x" * (size % 2)
        ws.send(text)
        assert ws.recv() == text
        data = os.urandom(size)
        ws.send_binary(data)
        assert ws.recv() == data
    ws.close()


def test_many_messages_in_a_row(site):
    ws = client(site)
    for i in range(1000):
        ws.send(f"message {i}")
    assert [ws.recv() for _ in range(1000)] == [f"message {i}" for i in range(1000)]
    ws.close()


def test_fragments_with_a_ping_between(site):
    with Raw(site) as raw:
        raw.send(1, "hé".encode()[:2], fin=False)
        raw.send(9, b"are you there")
        raw.send(0, "hé".encode()[2:], fin=False)
        raw.send(0, b"llo")
        assert raw.frame() == (0x80, 10, b"are you there")
        assert raw.frame() == (0x80, 1, "héllo".encode())


def test_a_pong_that_nobody_asked_for(site):
    with Raw(site) as raw:
        raw.send(10, b"hello")
        raw.send(1, b"still here")
        assert raw.frame() == (0x80, 1, b"still here")


def test_per_message_deflate(site):
    with Raw(site, "Sec-WebSocket-Extensions: permessage-deflate") as raw:
        assert raw.response["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        text = b"the same again and again; " * 1000
        deflate = zlib.compressobj(wbits=-15)
        raw.send(1, (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)
        bits, opcode, payload = raw.frame()
        assert (bits, opcode) == (0xc0, 1)
        assert len(payload) < len(text) / 10
        assert zlib.decompressobj(wbits=-15).decompress(payload + b"\0\0\xff\xff") == text


def test_a_small_message_that_inflates_beyond_the_limit(site):
    with Raw(site, "Sec-WebSocket-Extensions: permessage-deflate") as raw:
        deflate = zlib.compressobj(wbits=-15)
        raw.send(1, (deflate.compress(b"x" * 50_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)
        raw.closed_with(1009)
    assert site.get("/").status == 200


# ---- What is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what, code", [
    (lambda raw: raw.send(1, b"not masked", masked=False), 1002),
    (lambda raw: raw.send(3, b"an unknown kind"), 1002),
    (lambda raw: raw.send(11, b"an unknown control frame"), 1002),
    (lambda raw: raw.send(1, b"a reserved bit", rsv=4), 1002),
    (lambda raw: raw.send(1, b"a reserved bit", rsv=1), 1002),
    (lambda raw: raw.send(0, b"the rest of nothing"), 1002),
    (lambda raw: (raw.send(1, b"one", fin=False), raw.send(1, b"another within")), 1002),
    (lambda raw: raw.send(9, b"x" * 126), 1002),
    (lambda raw: raw.send(9, b"a ping in parts", fin=False), 1002),
    (lambda raw: raw.send(8, b"\x03"), 1002),
    (lambda raw: raw.send(8, struct.pack("!H", 999)), 1002),
    (lambda raw: raw.send(8, struct.pack("!H", 1005)), 1002),
    (lambda raw: raw.send(8, struct.pack("!H", 1006)), 1002),
    (lambda raw: raw.send(8, struct.pack("!H", 5000)), 1002),
    (lambda raw: raw.send(1, b"\xff\xfe"), 1007),
    (lambda raw: raw.send(1, b"\xed\xa0\x80"), 1007),
    (lambda raw: raw.send(1, b"\xc3"), 1007),
    (lambda raw: raw.send(8, struct.pack("!H", 1000) + b"\xff"), 1007),
    (lambda raw: raw.send(1, b"x" * 100001), 1009),
    (lambda raw: (raw.send(1, b"x" * 60000, fin=False), raw.send(0, b"x" * 60000)), 1009),
    (lambda raw: raw.send(2, length=b"\xff" + struct.pack("!Q", 1 << 40)), 1009),
    (lambda raw: raw.send(2, length=b"\xff" + struct.pack("!Q", 1 << 63)), (1002, 1009)),
    (lambda raw: raw.send(2, length=b"\xfe\x00\x05"), 1002),
])
def test_frames_that_are_refused(site, what, code):
    with Raw(site) as raw:
        what(raw)
        bits, opcode, payload = raw.frame()
        assert (bits, opcode) == (0x80, 8)
        assert struct.unpack("!H", payload[:2])[0] in (code if isinstance(code, tuple) else (code,)), payload
        payload[2:].decode()
        assert raw.connection.closed()
    assert site.get("/").status == 200


# ---- Closing -----------------------------------------------------------------------------------------------------


def test_the_client_closes(site):
    with Raw(site) as raw:
        raw.send(8, struct.pack("!H", 4321) + "tschüß".encode())
        raw.closed_with(4321)
    site.wait_said("the socket was closed with 4321")


def test_the_client_closes_without_a_code(site):
    with Raw(site) as raw:
        raw.send(8)
        bits, opcode, payload = raw.frame()
        assert (bits, opcode) == (0x80, 8) and payload in (b"", struct.pack("!H", 1000))
        assert raw.connection.closed()
    site.wait_said("the socket was closed with 1005")


def test_the_server_closes(site):
    for said, code in (("close", 4001), ("return", 1000), ("fail", 1011)):
        with Raw(site) as raw:
            raw.send(1, said.encode())
            bits, opcode, payload = raw.frame()
            assert (bits, opcode) == (0x80, 8)
            assert struct.unpack("!H", payload[:2])[0] == code
            if said == "close":
                assert payload[2:] == b"as you wish"
            else:
                assert b"purpose" not in payload  # what failed is for the log
            raw.send(8, payload[:2])
            assert raw.connection.closed()


def test_a_client_that_just_goes(site):
    for _ in range(50):
        raw = Raw(site)
        raw.send(1, b"hello")
        raw.connection.close()
    assert site.get("/").status == 200


def test_what_is_emitted_arrives(site):
    sockets = [client(site, "/wall") for _ in range(5)]
    for ws in sockets:
        assert int(ws.recv()) > 0  # it has subscribed
    assert site.get("/shout", method="POST", body="grüezi".encode()).status == 200
    assert [ws.recv() for ws in sockets] == ["grüezi"] * 5
    for ws in sockets:
        ws.close()
    eventually(lambda: site.get("/").status == 200)
