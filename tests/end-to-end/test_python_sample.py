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
