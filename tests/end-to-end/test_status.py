"""`silver status`: what runs of an application, and what it does."""

import json
import os
import re
import signal
import socket

from conftest import eventually
from test_plugins import echo, with_echo
from test_serve import free_ports, with_slots


def status(command, directory, wanted=0):
    done = command("status", "--json", directory)
    assert done.returncode == wanted, done
    return json.loads(done.stdout)


def test_not_running(app, command, serve):
    directory = app()
    assert status(command, directory, 3) == {"application": "probe", "directory": str(directory), "running": False,
                                             "slots": []}
    done = command("status", directory)
    assert done.returncode == 3 and done.stdout == "probe: not running\n"
    serve(directory).stop()
    assert command("status", directory).returncode == 3
    server = serve(directory)
    server.tell(signal.SIGKILL)
    server.wait()
    assert command("status", directory).returncode == 3
    assert command("status", directory / "nowhere").returncode == 1


def test_what_it_says(app, command, serve):
    directory = app(**with_echo())
    server = serve(directory, "--instances", "2")
    for _ in range(4):
        said = echo(server)
    answer = status(command, directory)
    assert answer["running"] and answer["application"] == "probe"
    slot, = answer["slots"]
    assert slot["slot"] == 0 and slot["pid"] == server.pid and slot["url"] == server.url + "/"
    assert slot["wanted"] == 2 and slot["production"] is False and slot["answers"] is True
    assert [each["instance"] for each in slot["instances"]] == [0, 1]
    for each in slot["instances"]:
        assert each["state"] == "serving" and each["answers"] and each["memory"] > 1 << 20
        assert each["plugins"] == ["echo"] and each["services"][0]["name"] == "echo"
    assert sum(each["requests"] for each in slot["instances"]) == 4
    assert sum(each["services"][0]["calls"]["succeeded"] for each in slot["instances"]) == 4
    children = {child["pid"] for each in slot["instances"] for child in each["services"][0]["children"]}
    assert said["child"] in children
    text = command("status", directory).stdout
    assert text.startswith(f"probe: running\nslot 0: {server.url}/, process {server.pid} for ")
    assert re.search(rf"^  instance 0: process {slot['instances'][0]['pid']} serving for ", text, re.M), text
    assert re.search(r"^    service echo: \d calls", text, re.M)
    assert re.search(rf"^      process {said['child']} ready for ", text, re.M)


def test_every_slot(app, command, serve):
    ports = free_ports(2)
    directory = app(manifest=with_slots(*ports))
    servers = [serve(directory, listen=None), serve(directory, "--production", listen=None)]
    slots = status(command, directory)["slots"]
    assert [(slot["slot"], slot["pid"], slot["production"]) for slot in slots] == [
        (0, servers[0].pid, False), (1, servers[1].pid, True)]
    servers[0].stop()
    assert [slot["slot"] for slot in status(command, directory)["slots"]] == [1]


def test_an_instance_that_does_not_answer(app, command, serve):
    directory = app()
    server = serve(directory)
    pid = status(command, directory)["slots"][0]["instances"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        instance = status(command, directory)["slots"][0]["instances"][0]
        assert instance["answers"] is False and instance["pid"] == pid and "requests" not in instance
        assert "does not answer" in command("status", directory).stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    assert server.get().status == 200
    assert status(command, directory)["slots"][0]["instances"][0]["answers"] is True


def test_a_broken_application(app, command, serve):
    directory = app(source="this does not compile")
    serve(directory)
    instance, = status(command, directory)["slots"][0]["instances"]
    assert instance["state"] == "broken" and instance["answers"]


def test_many_ask_at_once(app, serve, environment):
    server = serve(app())
    paths = [os.path.join(top, name) for top, _, names in os.walk(environment["XDG_RUNTIME_DIR"])
             for name in names if name.endswith(".socket") and "/slots" in top]
    answers = []
    for path in paths:  # those of other tests have ended
        try:
            asking = [socket.socket(socket.AF_UNIX) for _ in range(12)]
            for each in asking:
                each.connect(path)
        except ConnectionRefusedError:
            continue
        for each in asking:
            with each, each.makefile() as answer:
                answers.append(json.load(answer)["pid"])
    assert answers.count(server.pid) == 12
    # Who comes and says nothing, or goes at once, holds up nobody.
    for path in paths:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect_ex(path)
    assert eventually(lambda: server.get().status == 200)
    assert server.stop() == 0
