"""`silver run`: an application's commands, its plug-ins', and the scripts of bin/."""

import re
import signal
import subprocess

import pytest

from test_plugins import PLUGIN, SERVICE, manifest

SOURCE = """
#include <silver/silver.h>
#include "../plugins/echo/echo.h"
#include <stdio.h>
#include <unistd.h>

static void nothing(void *data) { printf("cleaned up\\n"); fflush(stdout); }

static int words(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("[%s]", argv[i]);
    printf(" in %s\\n", sl_app_directory(sl_request_app(NULL)));
    return argc == 1 ? 0 : 40 + argc;
}

static int asks(int argc, char **argv)
{
    const struct echo_said *said = sl_await(sl_call(echo, say, argv[1]));
    printf("%s\\n", said->words);
    return 0;
}

static int fails(int argc, char **argv) { sl_fail_error(sl_error_cause(sl_error_new(SL_EFAILED, "there is no fish"), sl_error_new(SL_EIO, "no water"))); }

static int sleeps(int argc, char **argv)
{
    sl_defer(nothing, NULL);
    printf("asleep\\n");
    fflush(stdout);
    sl_await(sl_sleep(60000));
    return 0;
}

SL_APPLICATION(app)
{
    sl_command(app, "words", words, "prints its words");
    sl_command(app, "asks", asks, "asks a service");
    sl_command(app, "fails", fails, "fails");
    sl_command(app, "sleeps", sleeps, "sleeps for long");
}
"""

WITH_COMMAND = PLUGIN.replace("GREETING", "hello").replace(
    "SL_PLUGIN(echo,", """
#include <stdio.h>
static int count(int argc, char **argv) { printf("%d\\n", argc - 1); return 0; }
SL_PLUGIN(echo, SL_COMMAND("count", count, "counts its words"),""")


@pytest.fixture
def directory(app):
    directory = app(source=SOURCE, manifest=manifest("echo"), files={
        "plugins/echo/echo.h": SERVICE, "plugins/echo/echo.c": WITH_COMMAND, "bin/shell": "#!/bin/sh\nexit 3\n"})
    (directory / "bin/shell").chmod(0o755)
    return directory


def script(directory, name, text):
    path = directory / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_the_list(directory, command):
    listed = command("run", directory)
    assert listed.returncode == 0
    for name, summary in [("words", "prints its words"), ("count", "counts its words"), ("shell", "the script bin/shell")]:
        assert re.search(rf"^  {name} +{summary}$", listed.stdout, re.M), listed.stdout


def test_commands(directory, command):
    done = command("run", directory, "words")
    assert done.returncode == 0 and done.stdout == f"[words] in {directory}\n"
    done = command("run", directory, "words", "--help", "-x", "--", "")
    assert done.returncode == 45 and done.stdout.startswith("[words][--help][-x][--][] ")
    assert command("run", directory, "count", "a", "b").stdout == "2\n"
    assert command("run", directory, "asks", "fish").stdout == "hello fish\n"
    # Within the directory it is the current one that counts.
    assert command("run", ".", "count", cwd=directory).stdout == "0\n"


def test_failures(directory, command):
    done = command("run", directory, "fails")
    assert done.returncode == 1 and "silver run: there is no fish" in done.stderr
    # Where, and what led to it.
    assert re.search(r"\n  from fails \(src/probe\.c:\d+\), SL_EFAILED\n", done.stderr), done.stderr
    assert "\ncaused by: no water\n  from fails (src/probe.c:" in done.stderr
    done = command("run", directory, "wrods")
    assert done.returncode == 2 and 'did you mean "words"?' in done.stderr
    done = command("run", directory, "nothing-like-it")
    assert done.returncode == 2 and "lists what there is" in done.stderr
    (directory / "src/probe.c").write_text(SOURCE.replace("int argc, char **argv", "int argc", 1))
    done = command("run", directory, "words")
    assert done.returncode == 1 and "src/probe.c:" in done.stderr
    done = command("run", directory / "missing", "words")
    assert done.returncode == 1 and "no such directory" in done.stderr


def test_the_same_name_twice(directory, command):
    (directory / "src/probe.c").write_text(SOURCE.replace('"asks"', '"count"'))
    done = command("run", directory, "words")
    assert done.returncode == 1 and 'the command "count" is there already: a plug-in has it' in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_it_clean_up(silver, environment, directory, number):
    process = subprocess.Popen([silver, "run", directory, "sleeps"], stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout.readline() == "asleep\n"
    process.send_signal(number)
    assert process.communicate(timeout=20)[0] == "cleaned up\n"
    assert process.returncode == -number


def test_what_it_emits_reaches_who_serves(app, serve, command):
    source = """
#include <silver/silver.h>
SL_EVENT(announced);
static void *hear(void *data)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("news"), announced);
    sl_info("listening");
    for (json_t *text; (text = sl_next(inbox)); )
        sl_info("heard %s", json_string_value(text));
    return NULL;
}
static int announce(int argc, char **argv)
{
    sl_emit(sl_channel("news"), announced, json_string(argv[1]));
    return 0;
}
SL_APPLICATION(app)
{
    sl_command(app, "announce", announce, "tells the others");
    sl_background(hear, NULL);
}
"""
    directory = app(source=source)
    server = serve(directory)
    server.wait_said("listening")
    assert command("run", directory, "announce", "fish").returncode == 0
    server.wait_said("heard fish")


def test_scripts(directory, command):
    assert command("run", directory, "shell").returncode == 3
    script(directory, "show", '#!/bin/sh\necho "$PWD $OLDPWD $CONFIG_SQLITE_PATH $*"\n')
    (directory / "app.ini").write_text((directory / "app.ini").read_text().replace("plugins", "service.sqlite =\nplugins"))
    done = command("run", directory, "show", "--help", "x", cwd="/")
    assert done.stdout == f"{directory} / {directory}/data/probe.sqlite --help x\n"
    script(directory, "dies", "#!/bin/sh\nkill -KILL $$\n")
    assert command("run", directory, "dies").returncode == -signal.SIGKILL
    (directory / "bin/show").chmod(0o644)
    done = command("run", directory, "show")
    assert done.returncode == 127 and "chmod +x" in done.stderr
    assert command("run", directory, "../bin/shell").returncode == 2


def test_a_script_is_found_without_building(directory, command):
    (directory / "src/probe.c").write_text("this does not compile")
    assert command("run", directory, "shell").returncode == 3


def test_python_scripts(app, command):
    runner = "def application(environ, start_response):\n    raise NotImplementedError\n\n\nNAME = 'the runner'\n"
    directory = app(manifest="[production]\napp_name = {name}\nrunner = src/{name}.py\nservice.sqlite =\n", files={
        "src/probe.py": runner, "lib/python/carried.py": "NAME = 'carried'\n",
        "lib/python/more.pth": "# a comment\nelsewhere\n", "lib/python/elsewhere/placed.py": "NAME = 'placed'\n",
        "bin/manage.py": "import sys\nimport carried, placed, probe, silver\n"
                         "print(sys.argv[1:], carried.NAME, placed.NAME, probe.NAME, silver.config('sqlite_path'))\n"
                         "sys.exit(5)\n"})
    expected = f"['migrate', '--fake'] carried placed the runner {directory}/data/probe.sqlite\n"
    for name in ("manage.py", "manage"):
        done = command("run", directory, name, "migrate", "--fake")
        assert done.returncode == 5 and done.stdout == expected, done.stderr


def test_a_script_runs_in_the_virtualenv(app, command, tmp_path):
    directory = app(files={"bin/which": "#!/usr/bin/env python3\nimport sys\nprint(sys.prefix)\n"})
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", directory / "venv"], check=True)
    assert command("run", directory, "which").stdout == f"{directory}/venv\n"


def test_commands_of_plug_ins_in_a_python_application(app, command):
    plugin = '#include <silver/silver.h>\n#include <stdio.h>\n' \
             'static int count(int argc, char **argv) { printf("%d\\n", argc - 1); return 0; }\n' \
             'SL_PLUGIN(counter, SL_COMMAND("count", count, "counts"));'
    directory = app(manifest=manifest("counter").replace(".c", ".py"), files={
        "src/probe.py": "raise SystemExit('the application is not needed here')\n", "plugins/counter.c": plugin})
    done = command("run", directory, "count", "a")
    assert done.returncode == 0 and done.stdout == "1\n", done.stderr
