"""The command itself: what it says, what it refuses, what it lays out, and that an installed one needs nothing beside itself."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
SILVER = os.environ.get("SILVER", str(PROJECT / "build" / "silver"))


def silver(*words, command=SILVER, **options):
    return subprocess.run([command, *words], capture_output=True, text=True, timeout=60, **options)


def commands():
    return re.findall(r"^  (\w+) {2,}\S", silver("help").stdout, re.MULTILINE)


def test_help_is_there_for_each_command():
    names = commands()
    assert {"init", "serve", "check", "help", "version", "completion"} <= set(names)
    for name in names:
        long, short = silver("help", name), silver(name, "--help")
        assert long.returncode == short.returncode == 0
        assert long.stdout == short.stdout
        assert long.stdout.startswith(f"Usage: silver {name}")
        assert "\033" not in long.stdout


def test_version():
    assert re.fullmatch(r"silver \d+\.\d+\.\d+\n", silver("version").stdout)
    assert silver("--version").stdout == silver("version").stdout


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "Usage: silver COMMAND"),
        (["srve"], "did you mean `silver serve`?"),
        (["--nonsense"], 'there is no option "--nonsense"'),
        (["serve", "--litsen", ":0"], "did you mean --listen?"),
        (["serve", "--slot", "first"], "--slot wants a whole number"),
        (["serve", "a", "b"], 'one word too many: "b"'),
        (["init"], "DIR is missing"),
        (["help", "srve"], "did you mean serve?"),
        (["completion", "fish"], "only for bash and zsh"),
    ],
)
def test_a_command_line_that_is_not_understood(words, said):
    done = silver(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_full_disk_is_one_clear_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([SILVER, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "silver: cannot write to the standard output: No space left on device\n"


def test_each_command_has_a_manual_page():
    pages = pathlib.Path(SILVER).parent / "packaging"
    assert {page.name for page in pages.glob("*.1")} == {"silver.1", *(f"silver-{name}.1" for name in commands())}


def complete(*words):
    script = """source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _silver
                printf '%s\\n' "${COMPREPLY[@]}" """
    return subprocess.run(["bash", "-c", script, SILVER, *words], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completion(tmp_path):
    assert complete("silver", "ser") == ["serve"]
    assert complete("silver", "serve", "--l") == ["--listen", "--logfile"]
    assert complete("silver", "help", "ch") == ["check"]
    assert complete("silver", "completion", "") == ["bash", "zsh"]
    (tmp_path / "application").mkdir()
    (tmp_path / "file").write_text("")
    assert complete("silver", "serve", f"{tmp_path}/") == [f"{tmp_path}/application"]
    assert complete("silver", "serve", "--pidfile", f"{tmp_path}/f") == [f"{tmp_path}/file"]


def run_its_tests(directory, command, environment=None):
    return subprocess.run(
        [sys.executable, "tests/test_application.py"],
        cwd=directory,
        env={**os.environ, "SILVER": command, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_init_lays_out_works(tmp_path):
    made = silver("init", "hello", cwd=tmp_path)
    assert made.returncode == 0
    assert "silver serve hello" in made.stdout
    checked = silver("check", "--json", str(tmp_path / "hello"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["complaints"] == []
    tested = run_its_tests(tmp_path / "hello", SILVER)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_init_refuses_a_directory_that_is_not_empty(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    done = silver("init", str(tmp_path))
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_installed_command_needs_nothing_beside_itself(tmp_path):
    environment = {**os.environ, "DESTDIR": str(tmp_path / "root")}
    subprocess.run(
        ["meson", "install", "-C", str(pathlib.Path(SILVER).parent), "--no-rebuild"],
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (command,) = (tmp_path / "root").rglob("bin/silver")
    prefix = command.parents[1]
    for path in ["include/silver/silver.h", "share/man/man1/silver-serve.1", "share/bash-completion/completions/silver"]:
        assert (prefix / path).is_file()
    (package,) = prefix.rglob("pkgconfig/silver.pc")
    (unit,) = prefix.rglob("silver@.service")
    built_for = re.search(r"^prefix=(.*)$", package.read_text(), re.MULTILINE)[1]
    assert f"\nExecStart={built_for}/bin/silver serve " in unit.read_text()
    library = package.parents[1]
    # The place is not the one it was built for, so the loader has to be told where its library is.
    loader = {"LD_LIBRARY_PATH": str(library), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    made = silver("init", "hello", command=str(command), cwd=tmp_path, env={**os.environ, **loader})
    assert made.returncode == 0, made.stderr
    tested = run_its_tests(tmp_path / "hello", str(command), loader)
    assert tested.returncode == 0, tested.stdout + tested.stderr
