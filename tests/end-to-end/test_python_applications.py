"""Applications as people write them, with the frameworks that people use, unchanged: applications/ beside this file.

Each is copied, served by `silver serve`, and visited as its users would visit it."""

import http.cookiejar
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from playwright.sync_api import expect

from conftest import eventually

APPLICATIONS = pathlib.Path(__file__).resolve().parent / "applications"


def copy(name, directory):
    shutil.copytree(APPLICATIONS / name, directory)
    return directory


class Visitor:
    """Somebody with cookies who follows redirects."""

    def __init__(self, server):
        self.url = server.url
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(self, path, data=None, **headers):
        if isinstance(data, dict):
            data = urllib.parse.urlencode(data).encode()
        request = urllib.request.Request(self.url + path, data, {name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with self.opener.open(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()


@pytest.fixture(scope="module")
def served(serve_module, tmp_path_factory):
    """served("flask"): its server, one for all tests of this file."""
    servers = {}

    def served(name):
        if name not in servers:
            servers[name] = serve_module(copy(name, tmp_path_factory.mktemp(name) / "app"))
        return servers[name]

    return served


# ---- Bottle ----------------------------------------------------------------------------------------------------


def test_bottle_guest_book_in_a_browser(served, browser):
    page = browser.new_context().new_page()
    page.goto(served("bottle").url + "/")
    for words in ("Here I was", "Grüße <b>from</b> me"):
        page.fill("input[name=words]", words)
        page.click("button")
        expect(page.locator("li").last).to_have_text(words)
    page.goto(served("bottle").url + "/signed")
    assert json.loads(page.inner_text("body")) == {"signed": "yes"}


def test_bottle_upload(served):
    content = os.urandom(200_000)
    boundary = b"frontier"
    body = (b'--frontier\r\nContent-Disposition: form-data; name="note"\r\n\r\nmine\r\n--frontier\r\nContent-Disposition: form-data; '
            b'name="file"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n' + content + b"\r\n--frontier--\r\n")
    status, _, text = Visitor(served("bottle")).get(
        "/upload", body, Content_Type="multipart/form-data; boundary=" + boundary.decode())
    assert status == 200 and json.loads(text) == {"name": "a.bin", "size": 200_000, "note": "mine"}


def test_bottle_files_streams_errors(served):
    visitor = Visitor(served("bottle"))
    status, headers, text = visitor.get("/source")
    assert status == 200 and text == (APPLICATIONS / "bottle/src/runner.py").read_text()
    assert headers["Content-Length"] == str(len(text.encode())) and headers["Last-Modified"]
    status, _, _ = visitor.get("/source", If_Modified_Since=headers["Last-Modified"])
    assert status == 304
    status, headers, text = visitor.get("/source", Range="bytes=0-9")
    assert status == 206 and len(text) == 10
    assert visitor.get("/count/50000")[2] == "".join(f"{i}\n" for i in range(50000))
    assert visitor.get("/file")[2] == "wrapped " * 1000
    status, _, text = visitor.get("/no/such/%3Cpage%3E")
    assert status == 404 and text == "nothing called /no/such/&lt;page&gt;"


# ---- WebOb -----------------------------------------------------------------------------------------------------


def test_webob(served):
    visitor = Visitor(served("webob"))
    assert visitor.get("/echo", b"some bytes", Content_Type="text/plain")[2] == "some bytes"
    said = json.loads(visitor.get("/environ?a=1&b=%C3%A9", Accept="text/html")[2])
    assert said["query"] == {"a": "1", "b": "é"} and said["script"] == "" and said["path"] == "/environ"
    assert said["url"] == served("webob").url + "/environ?a=1&b=%C3%A9"
    assert visitor.get("/ranged", Range="bytes=2-4")[::2] == (206, "234")
    assert visitor.get("/ranged", If_None_Match='"digits"')[0] == 304
    assert visitor.get("/streamed")[2] == "".join(f"{i} " for i in range(1000))
    status, _, text = visitor.get("/nothing")
    assert status == 404 and "no such page: /nothing" in text


# ---- Flask -----------------------------------------------------------------------------------------------------


def test_flask_notes_in_a_browser(served, browser):
    page = browser.new_context().new_page()
    page.goto(served("flask").url + "/")
    page.fill("input[name=note]", "buy fish & <chips>")
    page.click("button")
    expect(page.locator(".flash")).to_have_text("Kept.")
    expect(page.locator("li").last).to_have_text("buy fish & <chips>")
    expect(page.locator("h1")).to_have_text("Notes (1 of yours)")


def test_flask_json_streams_log(served):
    server = served("flask")
    visitor = Visitor(server)
    status, _, text = visitor.get("/api/notes", json.dumps({"note": "by script"}).encode(), Content_Type="application/json")
    assert status == 200 and "by script" in json.loads(text)["notes"]
    assert visitor.get("/stream?lines=3000")[2] == "".join(f"line {i}\n" for i in range(3000))
    assert visitor.get("/hello/Ada%20B")[2] == f"Hello Ada B, from {server.url}/hello/Ada%20B"
    server.wait_said(r"WARNING.*greeting Ada B")
    status, _, text = visitor.get("/wrong")
    assert status == 500
    server.wait_said(r"LookupError: a mistake in the application")


# ---- Django ----------------------------------------------------------------------------------------------------


def link_admin_media(directory):
    """As the walk has it: the admin's own files, by a link in static/."""
    import importlib.util

    django = pathlib.Path(importlib.util.find_spec("django").origin).parent
    media = directory / "lib/python/admin_media"
    shutil.copytree(django / "contrib/admin/static", media)
    (directory / "static").mkdir()
    (directory / "static/admin-media").symlink_to("../lib/python/admin_media")


def manage(silver, environment, directory, *arguments, **more):
    done = subprocess.run([silver, "run", str(directory), "manage.py", *arguments], env={**environment, **more},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def set_up_library(silver, environment, directory):
    link_admin_media(directory)
    manage(silver, environment, directory, "migrate", "--verbosity", "0")
    manage(silver, environment, directory, "createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.org",
           DJANGO_SUPERUSER_PASSWORD="correct horse")


def walk_admin(server, browser, title="The Sea"):
    """Logs in, adds a book, sees it in the list and on the site."""
    page = browser.new_context().new_page()
    failed = []
    page.on("response", lambda response: failed.append(response.url) if response.status >= 400 else None)
    page.goto(server.url + "/admin/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", "correct horse")
    page.click("input[type=submit]")
    expect(page.locator("#user-tools")).to_contain_text("ada")
    page.click("text=Books")
    page.click(".addlink >> nth=-1")
    page.fill("#id_title", title)
    page.fill("#id_author", "J. Banville")
    page.click("input[name=_save]")
    expect(page.locator(".messagelist .success")).to_contain_text(title)
    # The admin's own style is there: it came through the link in static/.
    colour = page.evaluate("getComputedStyle(document.querySelector('#header')).backgroundColor")
    assert colour not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")
    page.goto(server.url + "/")
    expect(page.locator("li")).to_contain_text([f"{title} by J. Banville"])
    assert not failed


@pytest.mark.parametrize("kind", ["django", "django_asgi"])
def test_django_with_admin_static_files_and_a_database(kind, silver, environment, serve, tmp_path, browser):
    directory = copy(kind, tmp_path / "app")
    set_up_library(silver, environment, directory)
    server = serve(directory)
    walk_admin(server, browser)
    visitor = Visitor(server)
    assert json.loads(visitor.get("/books.json")[2]) == {"books": [{"title": "The Sea", "author": "J. Banville"}]}
    assert visitor.get("/stream")[2] == "".join(f"{i}\n" for i in range(10000))
    assert visitor.get("/admin/../app.ini")[0] == 404
    assert visitor.get("/nothing")[0] == 404


def test_the_walk_of_a_django_application(silver, environment, serve, tmp_path, browser):
    """init, lib/python, app.ini, service.postgres, static/admin-media: from nothing to the admin of a site."""
    directory = tmp_path / "library"
    done = subprocess.run([silver, "init", "--runner", "wsgi", str(directory)], env=environment, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    shutil.copytree(APPLICATIONS / "django/lib/python/library", directory / "lib/python/library")
    shutil.copy(APPLICATIONS / "django/src/runner.py", directory / "src/runner.py")
    (directory / "bin").mkdir(exist_ok=True)
    shutil.copy(APPLICATIONS / "django/bin/manage.py", directory / "bin/manage.py")
    import importlib.util

    for package in ("django", "asgiref", "sqlparse", "pytz", "psycopg2"):  # as `pip install --target lib/python` would
        found = importlib.util.find_spec(package)
        if found and found.origin:
            origin = pathlib.Path(found.origin).parent
            if not (directory / "lib/python" / package).exists():
                shutil.copytree(origin, directory / "lib/python" / package, symlinks=False)
    manifest = directory / "app.ini"
    text = manifest.read_text()
    manifest.write_text(re.sub(r"(?m)^(runner\s*=.*)$", r"\1\nservice.postgres =\nservice.secret =", text, count=1))
    (directory / "static").mkdir(exist_ok=True)
    (directory / "static/admin-media").symlink_to("../lib/python/django/contrib/admin/static")

    manage(silver, environment, directory, "migrate", "--verbosity", "0")
    manage(silver, environment, directory, "createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.org",
           DJANGO_SUPERUSER_PASSWORD="correct horse")
    server = serve(directory)
    walk_admin(server, browser, "Doctor Copernicus")
    assert not (directory / "data").exists() or not list((directory / "data").glob("*.sqlite"))


# ---- Starlette ---------------------------------------------------------------------------------------------------


def test_starlette_talk_in_two_browsers(served, browser):
    first, second = browser.new_context().new_page(), browser.new_context().new_page()
    for page in (first, second):
        page.goto(served("starlette").url + "/")
        page.wait_for_selector("body[data-open=yes]")
    first.fill("#words", "Hello over there, ñandú")
    first.click("button")
    for page in (first, second):
        expect(page.locator("#said li")).to_have_text(["Hello over there, ñandú"])


def test_starlette_pages(served):
    server = served("starlette")
    visitor = Visitor(server)
    said = json.loads(visitor.get("/echo?a=%26", b"some words")[2])
    assert said == {"body": "some words", "query": {"a": "&"}, "client": "127.0.0.1", "started": True}
    assert visitor.get("/stream?lines=5000")[2] == "".join(f"line {i}\n" for i in range(5000))
    status, headers, text = visitor.get("/source")
    assert status == 200 and text == (APPLICATIONS / "starlette/src/runner.py").read_text() and headers["ETag"]
    assert json.loads(visitor.get("/background")[2]) == {"background": 0}
    eventually(lambda: json.loads(visitor.get("/background")[2])["background"] > 0, "the work after the response")
    assert visitor.get("/wrong")[0] == 500
    server.wait_said(r"LookupError: a mistake in the application")
    assert visitor.get("/nothing")[0] == 404
