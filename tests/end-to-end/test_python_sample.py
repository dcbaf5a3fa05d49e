"""The application of docs/python.md does what is said of it."""

import hashlib
import hmac
import json
import pathlib
import shutil

import pytest

SAMPLE = pathlib.Path(__file__).parents[2] / "docs" / "samples" / "python"


@pytest.fixture
def site(serve, tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "words")
    return serve(tmp_path / "words", env={"CONFIG_SECRET": "for the test"})


def test_it_counts_words(site):
    assert site.get("/").body == b"hello 127.0.0.1\n"
    answer = site.get("/say", method="POST", body=b"a rose is a rose")
    assert json.loads(answer.body) == {"total": 5, "most": [["a", 2], ["rose", 2], ["is", 1]]}
    assert answer["x-signature"] == hmac.new(b"for the test", answer.body, hashlib.sha256).hexdigest()
    assert site.get("/nothing").status == 404
    site.wait_said("5 words from 127.0.0.1")


def test_who_listens_hears(site):
    with site.connect() as connection:
        connection.send("GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        while b": listening" not in connection.pending:
            assert connection._more()
        site.get("/say", method="POST", body=b"hear hear")
        while b"data: " not in connection.pending:
            assert connection._more()
        assert b'event: counted\ndata: {"total": 2, "most": [["hear", 2]]}' in connection.pending


C = """
#include <silver/silver.h>

static sl_response *count(sl_request *req)
{
    return sl_json(req, 200, sl_await(sl_call_json("words", "count", json_pack("{s:s}", "text", sl_param(req, "q")), NULL)));
}

static sl_response *wrong(sl_request *req)
{
    sl_await(sl_call_json("words", "count", json_pack("{s:i}", "number", 1), NULL));
    return sl_text(req, 200, "never");
}

SL_APPLICATION(app)
{
    sl_route(app, "count", "GET /count", count);
    sl_route(app, "wrong", "GET /wrong", wrong);
}
"""


def test_an_application_in_c_calls_a_service_in_python(app, serve):
    manifest = "[production]\napp_name = {name}\nrunner = src/{name}.c\nplugins = words\n\n[slots]\n0 = 127.0.0.1:0\n"
    site = serve(app(source=C, manifest=manifest, files={"plugins/words.py": (SAMPLE / "plugins/words.py").read_text()}))
    assert json.loads(site.get("/count?q=one+two+two").body) == {"total": 3, "most": [["two", 2], ["one", 1]]}
    page = site.get("/wrong", "Accept: text/html")
    assert page.status == 500 and b"unexpected keyword argument" in page.body
