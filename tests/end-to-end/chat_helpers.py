"""What the tests of the chat share: a copy of the application that is served, and browsers that visit it.

A copy has a database, slots and logs of its own, so tests do not see each other. Its slots listen on ports that the
system chooses; the supervisor keeps such a port over the death of an instance.
"""

import os
import shutil
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30  # seconds that anything may take on a busy machine; nothing waits longer than it must


def wait_for(condition, what):
    """Waits until condition() is true and gives its value."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE} s in vain for {what}")
        time.sleep(0.02)


class Chat:
    """A copy of the application. `serve` is the fixture of that name, or serve_module."""

    def __init__(self, serve, directory):
        self._serve = serve
        self.directory = directory
        self.database = directory / "data" / "chat.sqlite"
        shutil.copytree(ROOT / "apps/chat", directory, ignore=shutil.ignore_patterns("data", "log*"))

    def serve(self, slot=0, *options, ready=True):
        return self._serve(self.directory, "--slot", str(slot), *options, ready=ready, listen="127.0.0.1:0")


def instances(server):
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def kill_instance(server):
    for pid in instances(server):
        os.kill(pid, signal.SIGKILL)


def kill_instance_for_good(server):
    """Kills the instance, which stays dead until `revive`."""
    os.kill(server.pid, signal.SIGSTOP)
    kill_instance(server)


def revive(server):
    os.kill(server.pid, signal.SIGCONT)


def kill_all(server):
    """As if the power went: nothing gets the chance to tidy up."""
    kill_instance_for_good(server)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


def request(url, fields=None, name=None, **headers):
    """Sends a request without a browser: status, headers, text. Fields make it a posted form."""
    data = None if fields is None else urllib.parse.urlencode(fields).encode()
    asked = urllib.request.Request(url, data)
    for key, value in headers.items():
        asked.add_header(key.replace("_", "-"), value)
    if name:
        asked.add_header("Cookie", "name=" + urllib.parse.quote(name, safe=""))
    try:
        with urllib.request.build_opener(NoRedirect).open(asked, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read().decode()


def say(slot, author, body, room="lobby", nonce=""):
    """Says something without a browser."""
    status, _, text = request(f"{slot.url}/rooms/{urllib.parse.quote(room)}", {"body": body, "nonce": nonce}, name=author)
    assert status == 303, text
    return body


class Visitor:
    """A page of the chat in a browser with cookies of its own."""

    def __init__(self, browser, slot, name=None, room="lobby", path=None, **options):
        self.slot = slot
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE * 1000)
        self.page = self.context.new_page()
        self.troubles = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self.troubles.append(message.text)
                     if "Content Security Policy" in message.text else None)
        self.page.on("dialog", lambda dialog: (self.troubles.append("dialog: " + dialog.message), dialog.dismiss()))
        if name:
            self.context.add_cookies([{"name": "name", "value": urllib.parse.quote(name, safe=""), "url": slot.url}])
        self.go(path or f"/rooms/{urllib.parse.quote(room)}")

    def go(self, path):
        self.page.goto(self.slot.url + path)
        return self

    def wait_live(self):
        self.page.wait_for_selector("#connection.live")
        return self

    def say(self, text):
        self.page.fill("#body", text)
        self.page.press("#body", "Enter")
        return text

    def wait_message(self, text):
        """Waits until a message is on the page and stored."""
        self.page.locator(".message:not(.pending) .body", has_text=text).first.wait_for(state="attached")

    def texts(self):
        return self.page.locator(".message .body").all_inner_texts()

    def close(self):
        assert self.troubles == []
        self.context.close()


@contextmanager
def visiting(browser, slot, name=None, **options):
    visitor = Visitor(browser, slot, name, **options)
    try:
        yield visitor
    except BaseException:
        visitor.context.close()
        raise
    visitor.close()
