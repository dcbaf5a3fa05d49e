"""`silver init`: what it lays out is an application that works."""

import os
import re
import subprocess

import pytest


@pytest.fixture
def laid_out(command, tmp_path):
    directory = tmp_path / "greeter"
    done = command("init", directory)
    assert done.returncode == 0, done.stderr
    return directory, done.stdout


def test_what_is_there(laid_out, silver):
    directory, said = laid_out
    for name in ("app.ini", "README.md", "src", "templates", "static", "tests"):
        assert (directory / name).exists(), name
    assert list((directory / "src").glob("*.c"))
    assert len((directory / "README.md").read_text().splitlines()) <= 15
    assert f"\n    {silver} serve {directory}\n" in said  # what to type next: the command as it was called
    assert "address that it prints" in said and "8080" not in said


def test_its_own_test(laid_out, silver, environment, tmp_path):
    directory, _ = laid_out
    words = ["/usr/bin/python3", directory / "tests" / "test_application.py"]
    done = subprocess.run(words, env={**environment, "SILVER": silver}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(words, env={**environment, "SILVER": str(tmp_path / "none")}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "put silver into PATH or set SILVER" in done.stderr


def test_it_is_well_and_it_runs(laid_out, command, serve):
    directory, _ = laid_out
    done = command("check", directory)
    assert done.returncode == 0, done.stdout
    server = serve(directory)
    response = server.get("/")
    assert response.status == 200 and response["Content-Type"].startswith("text/html")
    references = re.findall(rb'(?:href|src)="(/[^"]+)"', response.body)
    for reference in references:
        assert server.get(reference.decode()).status == 200, reference
    assert server.stop() == 0


def test_the_current_directory(command, tmp_path):
    directory = tmp_path / "here"
    directory.mkdir()
    done = command("init", ".", cwd=directory)
    assert done.returncode == 0, done.stderr
    assert (directory / "app.ini").exists()


@pytest.mark.parametrize("name", ["a file", ".hidden"])
def test_a_directory_that_is_not_empty(command, tmp_path, name):
    (tmp_path / name).write_text("mine")
    done = command("init", tmp_path)
    assert done.returncode == 1
    assert "not empty" in done.stderr and name in done.stderr
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_place_that_is_a_file(command, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = command("init", tmp_path / "file")
    assert done.returncode == 1 and str(tmp_path / "file") in done.stderr
    done = command("init", tmp_path / "file" / "below")
    assert done.returncode == 1
    assert (tmp_path / "file").read_text() == "mine"
