"""Plug-ins that app.ini names: built, loaded, reloaded, checked, and their services' children."""

import json
import os
import pathlib
import re
import signal
import socket

import pytest

from conftest import HELLO, eventually

MANIFEST = """[production]
app_name = {name}
runner = src/{name}.c
plugins = PLUGINS

[slots]
0 = 127.0.0.1:0
"""

SERVICE = """
#pragma once
#include <silver/silver.h>
#define ECHO_ASKED(F) F(words, text, SL_REQUIRED) F(kill, boolean)
#define ECHO_SAID(F) F(words, text) F(pid, integer)
SL_RECORD(echo_asked, ECHO_ASKED);
SL_RECORD(echo_said, ECHO_SAID);
#define ECHO(M) M(say, echo_asked, echo_said)
SL_SERVICE(echo, 1, ECHO);
"""

PLUGIN = """
#include "echo.h"
#include <signal.h>
#include <unistd.h>

static void say(const struct echo_asked *asked, struct echo_said *said)
{
    if (asked->kill)
        raise(SIGKILL);
    said->words = sl_printf("GREETING %s", asked->words);
    said->pid = getpid();
}

static sl_response *page(sl_request *req)
{
    const struct echo_said *said = sl_await(sl_call(echo, say, sl_param(req, "q"), sl_param(req, "kill") != NULL));
    return sl_json_pack(req, 200, "{s:s, s:I, s:I}", "words", said->words, "child", (json_int_t)said->pid, "instance",
                        (json_int_t)getpid());
}

static void start(sl_loaded *plugin) { sl_info("%s starts", sl_plugin_name(plugin)); }
static void stop(sl_loaded *plugin) { sl_info("%s stops", sl_plugin_name(plugin)); }

static const struct echo_methods methods = {.say = say};
SL_PLUGIN(echo, SL_OFFERS(echo, &methods), SL_ROUTE("echo", "GET /echo", page), SL_STARTS(start), SL_STOPS(stop));
"""


def manifest(*plugins):
    return MANIFEST.replace("PLUGINS", " ".join(plugins))


def with_echo(**more):
    files = {"plugins/echo/echo.h": SERVICE, "plugins/echo/echo.c": PLUGIN.replace("GREETING", "hello"), **more}
    return {"manifest": manifest("echo"), "files": files}


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def echo(server, query="q=x"):
    response = server.get(f"/echo?{query}")
    assert response.status == 200, response
    return json.loads(response.body)


def test_a_folder_and_a_file(app, serve):
    single = 'SL_PLUGIN(single, SL_ROUTE("single", "GET /single", page));'
    page = '#include <silver/silver.h>\nstatic sl_response *page(sl_request *req) { return sl_text(req, 200, "one"); }\n'
    parts = with_echo(**{"plugins/single.c": page + single})
    parts["manifest"] = manifest("echo,", "single")
    server = serve(app(**parts))
    assert server.get().body == b"hello\n"
    assert server.get("/single").body == b"one"
    said = echo(server)
    assert said["words"] == "hello x" and said["child"] != said["instance"]
    server.wait_said("echo starts")
    assert server.stop() == 0
    assert "echo stops" in server.said()
    assert not alive(said["child"])


def test_the_application_calls_a_plug_ins_service(app, serve):
    source = """
#include "../plugins/echo/echo.h"
static sl_response *hello(sl_request *req)
{
    const struct echo_said *said = sl_await(sl_call(echo, say, "from the application"));
    return sl_text(req, 200, "%s", said->words);
}
SL_APPLICATION(app) { sl_route(app, "hello", "GET /", hello); }
"""
    server = serve(app(source=source, **with_echo()))
    assert server.get().body == b"hello from the application"


def test_children_die_with_the_instance(app, serve):
    server = serve(app(**with_echo()))
    said = echo(server)
    os.kill(said["instance"], signal.SIGKILL)
    eventually(lambda: not alive(said["child"]), "the child's end")
    again = eventually(lambda: server.get("/echo?q=y").status == 200 and echo(server), "the next instance")
    assert again["instance"] != said["instance"]
    server.tell(signal.SIGKILL)
    server.wait()
    eventually(lambda: not alive(again["instance"]) and not alive(again["child"]), "their end")


def test_a_child_that_dies_fails_its_call(app, serve):
    server = serve(app(**with_echo()))
    response = server.get("/echo?q=x&kill=1")
    assert response.status == 500 and b"SL_ECRASHED" in response.body and b"signal 9" in response.body
    assert echo(server)["words"] == "hello x"


def test_a_change_is_loaded(app, serve):
    directory = app(**with_echo())
    server = serve(directory)
    assert echo(server)["words"] == "hello x"
    (directory / "plugins/echo/echo.c").write_text(PLUGIN.replace("GREETING", "good day"))
    eventually(lambda: echo(server)["words"] == "good day x", "the change")
    (directory / "plugins/echo/echo.c").write_text(PLUGIN.replace("said->words", "siad->words"))
    response = eventually(lambda: (r := server.get("/", "Accept: text/html")).status == 500 and r, "the error's page")
    assert b"plugins/echo/echo.c" in response.body and b"siad" in response.body
    (directory / "plugins/echo/echo.c").write_text(PLUGIN.replace("GREETING", "good night"))
    eventually(lambda: server.get("/echo?q=x").body.startswith(b'{"words":"good night'), "the mended one")


def test_the_first_plug_in_comes_later(app, serve):
    directory = app(manifest=manifest().replace("plugins =\n", ""))
    server = serve(directory)
    assert server.get("/echo").status == 404
    folder = directory / "plugins/echo"
    folder.mkdir(parents=True)
    (folder / "echo.h").write_text(SERVICE)
    (folder / "echo.c").write_text(PLUGIN.replace("GREETING", "hello"))
    (directory / "app.ini").write_text(manifest("echo").format(name="probe"))
    eventually(lambda: server.get("/echo?q=x").status == 200, "the plug-in")
    (folder / "echo.c").write_text(PLUGIN.replace("GREETING", "good day"))
    eventually(lambda: echo(server)["words"] == "good day x", "its change")


def test_a_duplicate_route_names_both_places(app, serve):
    source = HELLO.replace('"GET /"', '"GET /echo"')
    server = serve(app(source=source, **with_echo()))
    response = server.get("/")
    assert response.status == 500
    assert re.search(rb"src/probe\.c:\d+", response.body) and re.search(rb"plugins/echo/echo\.c:\d+", response.body)


def test_one_that_does_not_start_keeps_the_application_from_it(app, serve):
    broken = '#include <silver/silver.h>\nstatic void start(sl_loaded *p) { sl_fail(SL_EFAILED, "no fish today"); }\n' \
             "SL_PLUGIN(broken, SL_STARTS(start));"
    directory = app(manifest=manifest("broken"), files={"plugins/broken.c": broken})
    server = serve(directory, "--production", ready=False)
    assert server.wait() == 1 and "no fish today" in server.said()
    server = serve(directory)
    response = server.get()
    assert response.status == 500 and b"no fish today" in response.body


def test_metrics(app, serve):
    parts = with_echo()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    parts["manifest"] += f"\n[metrics]\nlisten = 127.0.0.1:{port}\n"
    server = serve(app(**parts))
    echo(server)
    server.port = port
    text = server.get("/metrics").body.decode()
    assert re.search(r'silver_service_\w+\{service="echo"[^}]*\} 1\b', text), text


def test_in_python(app, serve):
    source = """
#include <silver/silver.h>
static sl_response *hello(sl_request *req)
{
    json_t *said = sl_await(sl_call_json("tools", "shout", json_pack("{s:s}", "words", "fish"), NULL));
    return sl_json(req, 200, json_incref(said));
}
SL_APPLICATION(app) { sl_route(app, "hello", "GET /", hello); }
"""
    tools = "import carried\n\n\ndef shout(words):\n    return carried.up(words)\n"
    directory = app(source=source, manifest=manifest("tools"), files={
        "plugins/tools.py": tools, "lib/python/carried.py": "def up(words):\n    return words.upper()\n"})
    server = serve(directory)
    response = server.get()
    assert response.status == 200 and json.loads(response.body) == "FISH", response
    (directory / "plugins/tools.py").write_text(tools.replace("carried.up(words)", "carried.up(words) + '!'"))
    eventually(lambda: server.get().body == b'"FISH!"', "the change")


def test_with_an_application_in_python(app, serve):
    runner = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"python " + environ["PATH_INFO"].encode()]
"""
    parts = with_echo(**{"src/probe.py": runner})
    parts["manifest"] = parts["manifest"].replace("{name}.c", "{name}.py")
    server = serve(app(**parts))
    assert server.get("/other").body == b"python /other"
    assert echo(server)["words"] == "hello x"
    assert server.get("/echo", method="POST", body=b"x").body == b"python /echo"


def test_check(app, command):
    directory = app(**with_echo())
    assert command("check", directory).returncode == 0
    (directory / "plugins/echo/echo.c").write_text(PLUGIN.replace("GREETING", "hello").replace("raise(", "riase("))
    checked = command("check", directory)
    assert checked.returncode == 1 and re.search(r"plugins/echo/echo\.c:\d+:\d+: SL0130: .*riase", checked.stdout)
    (directory / "plugins/echo/echo.c").write_text("int nothing;\n")
    checked = command("check", directory)
    assert checked.returncode == 1 and "plugins/echo: SL0130: the plug-in has no descriptor" in checked.stdout
    assert "SL_PLUGIN(echo" in checked.stdout


def test_check_finds_python_that_cannot_be_read(app, command):
    directory = app(manifest=manifest("tools"), files={"plugins/tools.py": "def shout(words:\n    pass\n"})
    checked = command("check", "--json", directory)
    complaint, = json.loads(checked.stdout)["complaints"]
    assert checked.returncode == 1 and complaint["file"] == "plugins/tools.py" and complaint["line"] == 1


@pytest.mark.parametrize("names, files, said", [
    (["eco"], {"plugins/echo.c": ""}, "there is no plug-in eco"),
    (["echo"], {"plugins/echo.c": "", "plugins/echo.py": ""}, "the plug-in echo is there twice: plugins/echo.c and plugins/echo.py"),
    (["echo", "echo"], {"plugins/echo.c": ""}, "the plug-in echo is named twice"),
    (["../echo"], {}, "`../echo` is not a name"),
    (["a.b"], {}, "`a.b` is not the name of a plug-in"),
])
def test_names_that_are_wrong(app, command, names, files, said):
    checked = command("check", app(manifest=manifest(*names), files=files))
    assert checked.returncode == 1 and said in checked.stdout and "app.ini:4: SL01" in checked.stdout
    if names == ["eco"]:
        assert "did you mean `echo`?" in checked.stdout
