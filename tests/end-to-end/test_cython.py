"""docs/cython.md: a C library whose callbacks are served by Python, built as the page says, alone and in an application."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

SAMPLE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "samples" / "cython"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cython") / "words"
    shutil.copytree(SAMPLE, directory, ignore=shutil.ignore_patterns("build", "lib", "__pycache__"))
    done = subprocess.run(["make"], cwd=directory, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return directory


def run_python(directory, *arguments):
    environment = {**os.environ, "PYTHONPATH": f"{directory}/lib/python"}
    return subprocess.run(["/usr/bin/python3", *arguments], cwd=directory, env=environment, capture_output=True, text=True,
                          timeout=30)


def test_callbacks_are_methods(built):
    done = run_python(built, "example.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (SAMPLE / "example.out").read_text()


def test_mistakes_of_a_callback_and_of_the_caller(built):
    source = """
from scanning import Scanner, Stop
class Strict(Scanner):
    def on_word(self, word, line):
        if word == "stop": raise Stop
        raise KeyError(word, line)
strict = Strict()
assert strict.scan("1 2 3") is True
assert strict.scan("stop here") is False
try:
    strict.scan(b"\\n\\nhere")
except KeyError as error:
    assert error.args == ("here", 3)
else:
    raise SystemExit("not raised")
assert Scanner().scan("nobody listens 1") is True
try:
    strict.scan(None)
except TypeError:
    print("refused")
"""
    done = run_python(built, "-c", source)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_in_an_application(built, serve):
    server = serve(built)
    response = server.get("/", method="POST", body="To be or not to be 40 2".encode())
    assert response.status == 200
    assert json.loads(response.body) == {"words": {"to": 2, "be": 2, "or": 1}, "sum": 42.0, "whole": True}
