"""Files of static/: served before any handler, and never one from elsewhere."""

import os
import subprocess

import pytest

import probe
from conftest import eventually, lay_out

APP_JS = "console.log('a small script');\n" * 100


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = lay_out(tmp_path_factory.mktemp("base") / "app", probe.SOURCE, files={
        **probe.FILES,
        "static/index.html": "the front page\n",
        "static/docs/index.html": "the documents\n",
        "static/docs/a b/index.html": "deeper\n",
        "static/empty/.keep": "",
        "static/a b%c.txt": "an odd name\n",
        "static/app.js": APP_JS,
        "static/picture.avif": b"\x00\x01\x02" * 1000,
        "static/.env": "SECRET=1\n",
        "static/.git/config": "secret\n",
        "static/.well-known/security.txt": "Contact: mailto:a@example.org\n",
        "static/rooms/shadow": "a file goes before a handler\n",
        "static/small": b"x" * 10240,
        "secret.txt": "the secret\n",
    })
    (directory.parent / "secret.txt").write_text("the secret\n")
    (directory / "static" / "relative").symlink_to("../secret.txt")
    (directory / "static" / "absolute").symlink_to(directory / "secret.txt")
    (directory / "static" / "up").symlink_to("..")
    (directory / "static" / "root").symlink_to("/")
    (directory / "static" / "inside").symlink_to("docs/index.html")
    os.mkfifo(directory / "static" / "pipe")
    return directory


@pytest.fixture(scope="module")
def site(serve_module, directory):
    return serve_module(directory)


def test_a_file(site):
    response = site.get("/hello.txt")
    assert response.status == 200 and response.body == b"hello, static\n"
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Accept-Ranges"] == "bytes"
    assert response["ETag"].startswith('"') and response["Last-Modified"].endswith(" GMT")
    assert response["Cache-Control"] == "no-cache"
    assert site.get("/hello.txt", f"If-None-Match: {response['ETag']}").status == 304


@pytest.mark.parametrize("path, body", [
    ("/a%20b%25c.txt", b"an odd name\n"),
    ("/small", b"x" * 10240),
    ("/long.txt", probe.LONG.encode()),
    ("/picture.avif", b"\x00\x01\x02" * 1000),
    ("/.well-known/security.txt", b"Contact: mailto:a@example.org\n"),
    ("/inside", b"the documents\n"),
    ("/rooms/shadow", b"a file goes before a handler\n"),
    ("/", b"the front page\n"),
    ("/docs/", b"the documents\n"),
    ("/docs/./a%20b/../index.html", b"the documents\n"),
])
def test_what_is_there(site, path, body):
    for _ in range(2):
        assert site.get(path).body == body


def test_a_directory_without_its_slash(site):
    response = site.get("/docs?x=1")
    assert response.status in (301, 308)
    assert response["Location"] == "/docs/?x=1"
    assert site.get("/docs/a%20b")["Location"] == "/docs/a%20b/"
    assert b"documents" in site.curl("/docs", "-L")
    assert site.get("/empty").status == site.get("/empty/").status == 404
    assert not (site.get("//docs")["Location"] or "").startswith("//")


OUTSIDE = [
    "/../secret.txt", "/../app/secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt",
    "/docs/../../secret.txt", "/docs/..%2f..%2fsecret.txt", "/docs%2f..%2f..%2fsecret.txt", "/..%5csecret.txt",
    "/.%2e/secret.txt", "/%252e%252e/secret.txt", "/..;/secret.txt", "/./../secret.txt", "//etc/passwd",
    "/%2fetc/passwd", "/relative", "/absolute", "/up/secret.txt", "/root/etc/passwd", "/hello.txt%00.png",
    "/hello.txt/", "/hello.txt%2f", "/docs%2findex.html", "/%c0%ae%c0%ae/secret.txt",
    "/.env", "/.git/config", "/docs/../.env", "/%2eenv", "/pipe", "/../../../../../../../../etc/passwd",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_else_is_reached(site, path):
    response = site.get(path)
    assert response.status in (400, 404), response
    assert b"secret" not in response.body.lower().replace(path.encode().lower(), b"").replace(b"secret.txt", b"")
    assert b"root:" not in response.body


def test_other_methods_are_the_handlers_affair(site):
    assert site.get("/rooms/shadow", method="POST").body == b"room shadow"
    assert site.get("/hello.txt", method="POST").status in (404, 405)
    assert site.get("/hello.txt", method="HEAD")["Content-Length"] == "14"


def test_a_small_text_is_compressed(site):
    for coding in ("gzip", "br", "zstd"):
        response = site.get("/app.js", f"Accept-Encoding: {coding}")
        assert response["Content-Encoding"] == coding
        assert len(response.body) < len(APP_JS) / 5
    assert site.curl("/app.js", "--compressed").decode() == APP_JS
    response = site.get("/app.js", "Accept-Encoding: gzip", "Range: bytes=0-9")
    assert response.status == 206 and response["Content-Encoding"] is None and response.body == APP_JS.encode()[:10]
    assert site.get("/picture.avif", "Accept-Encoding: gzip")["Content-Encoding"] is None


def test_files_that_were_compressed_before(site, directory):
    static = directory / "static"
    (static / "made.css").write_text("body { color: black }\n")
    (static / "made.css.br").write_bytes(b"made by hand: br")
    (static / "made.css.gz").write_bytes(b"made by hand: gz")
    (static / "made.css.zst").write_bytes(b"made by hand: zst, but too old")
    now = (static / "made.css").stat().st_mtime
    os.utime(static / "made.css.zst", (now - 60, now - 60))
    assert site.get("/made.css", "Accept-Encoding: br, gzip").body == b"made by hand: br"
    response = site.get("/made.css", "Accept-Encoding: gzip")
    assert response.body == b"made by hand: gz"
    assert response["Content-Encoding"] == "gzip" and response["Content-Type"] == "text/css; charset=utf-8"
    assert "accept-encoding" in response["Vary"].lower()
    assert site.get("/made.css", "Accept-Encoding: zstd")["Content-Encoding"] is None
    assert site.get("/made.css")["Vary"] is not None


def test_a_file_that_is_replaced_while_it_is_sent(site, directory):
    """The old one is sent to its end, and whoever asks afterwards gets the new one."""
    target = directory / "static" / "large.bin"
    target.write_bytes(b"old!" * 5_000_000)
    with site.connect() as slow:
        slow.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        slow._more()
        beside = directory / "static" / "large.new"
        beside.write_bytes(b"new!" * 100)
        beside.rename(target)
        eventually(lambda: site.get("/large.bin").body == b"new!" * 100, "the new file")
        assert slow.response().body == b"old!" * 5_000_000


def test_files_that_come_change_and_go(site, directory):
    target = directory / "static" / "coming.txt"
    assert site.get("/coming.txt").status == 404
    target.write_text("one")
    eventually(lambda: site.get("/coming.txt").body == b"one", "a new file")
    target.write_text("two")
    eventually(lambda: site.get("/coming.txt").body == b"two", "its new contents")
    target.unlink()
    eventually(lambda: site.get("/coming.txt").status == 404, "it to be gone")


def test_many_readers_of_one_large_file(site, tmp_path):
    clients = [subprocess.Popen(["curl", "-sS", "--noproxy", "*", "-o", tmp_path / str(i), site.url + "/long.txt"])
               for i in range(20)]
    assert [client.wait(timeout=30) for client in clients] == [0] * 20
    for i in range(20):
        assert (tmp_path / str(i)).read_text() == probe.LONG
