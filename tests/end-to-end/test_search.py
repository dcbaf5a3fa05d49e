"""The chat's search: a page, a service in child processes, an index that knows all that was acknowledged."""

import contextlib
import os
import re
import signal
import sqlite3
import urllib.parse
from html import unescape
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chat_helpers import (
    Chat, instances, kill_all, kill_instance, request, say, visiting, wait_for,
)


@pytest.fixture
def chat(serve, tmp_path):
    return Chat(serve, tmp_path / "chat")


@pytest.fixture(scope="module")
def served(serve_module, tmp_path_factory):
    """One slot for the tests that only look, and what was said there."""
    slot = Chat(serve_module, tmp_path_factory.mktemp("search") / "chat").serve()
    for room in ("Kitchen", "The Library"):
        assert request(slot.url + "/rooms", {"room": room})[0] == 303
    say(slot, "Ada", "Fish soup is ready", "Kitchen")
    say(slot, "Grace Hopper", "The soup is cold, the fish is not", "Kitchen")
    say(slot, "Zoë", "<img src=x onerror=alert(1)> a fishy \"story\" & more", "The Library")
    say(slot, "ada", "Where is the café?", "The Library")
    return slot


def ask(slot, query, **more):
    return request(slot.url + "/search?" + urllib.parse.urlencode({"q": query, **more}))


def found(slot, query, **more):
    """The texts of the hits, in order, without their marks."""
    status, _, text = ask(slot, query, **more)
    assert status == 200, text
    hits = re.findall(r'<span class="hit-text" dir="auto">(.*?)</span>', text, re.S)
    return [unescape(hit.replace("<mark>", "").replace("</mark>", "")) for hit in hits]


def children_of(pid):
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def workers(server):
    """The processes that carry out services."""
    return [child for instance in instances(server) for child in children_of(instance)]


# ---- What is found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query, hits", [
    ("soup", 2), ("SOUP fish", 2), ('"fish soup"', 1), ("fis*", 3), ("soup -cold", 1), ("cafe", 1), ("nothing", 0),
    ("author:ada", 2), ('author:"grace hopper"', 1), ("room:kitchen", 2), ('room:"the library" fis*', 1),
    ("soup -author:Ada", 1), ("before:2000", 0), ("after:2000 soup", 2),
])
def test_the_query_language(served, query, hits):
    assert len(found(served, query)) == hits
    _, _, text = ask(served, query)
    assert ("Nothing was found" if not hits else "One message was found" if hits == 1 else f"{hits} messages were found") in text


@pytest.mark.parametrize("query, answer", [
    ('"', "no letter and no digit"), ("-soup", "Say also what to look for"), ("before:yesterday", "is no date"),
    ("author:", "comes a name"), ("!!!", "no letter and no digit"), ("x" * 501, "too long"), ("a " * 33, "too much at once"),
    ("-before:2020", "write after: instead"),
])
def test_what_makes_no_sense_is_answered_politely(served, query, answer):
    status, _, text = ask(served, query)
    assert status == 200
    alert = re.search(r'role="alert">(.*?)</p>', text)
    assert alert and answer in unescape(alert[1])


@pytest.mark.parametrize("query", [
    "NEAR(a b)", "body:soup", "soup AND", "OR", "NOT soup", '"soup', "soup*)", "(((", "{body} : soup", "^soup", "a + b", "'; --", "\\",
    "%_", "*", '""""', "-" * 50, "\x01\x02soup\x03", "🌤", "\u202esoup", '"a" "b" "c"*' * 10, "author:'\" room:%",
])
def test_no_query_is_an_error(served, query):
    status, _, text = ask(served, query)
    assert status == 200, text
    assert 'class="results"' in text


def test_wrong_pages_and_bytes_are_refused_as_everywhere(served):
    assert ask(served, "soup", page="x")[0] == 400
    assert request(served.url + "/search?q=%ff")[0] == 400
    assert found(served, "soup", page=7) == []


def test_nothing_asked_explains_how(served):
    for path in ("/search", "/search?q=", "/search?q=%20"):
        status, _, text = request(served.url + path)
        assert status == 200 and "How to search" in text and "role=\"alert\"" not in text


def test_what_was_said_is_text(browser, served):
    status, headers, text = ask(served, "story")
    assert "<img" not in text and "&lt;img src=x onerror=alert(1)&gt;" in text and "<mark>story</mark>" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    with visiting(browser, served, path="/search?q=" + urllib.parse.quote('"><script>alert(1)</script> story')) as visitor:
        assert visitor.page.locator("#q").input_value() == '"><script>alert(1)</script> story'
    with visiting(browser, served, path="/search?q=story") as visitor:
        expect(visitor.page.locator("mark")).to_have_text(["story"])
        assert visitor.page.locator(".hit img").count() == 0


def test_results_come_in_pages(chat):
    slot = chat.serve()
    with contextlib.closing(sqlite3.connect(chat.database)) as db, db:
        db.executemany("INSERT INTO message (room, author, nonce, body, sent) VALUES ('lobby', 'Ada', ?, ?, ?)",
                       [(str(i), f"message {i}", 1700000000000000 + i) for i in range(1, 51)])
    pages = [found(slot, "message", page=page) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [20, 20, 10, 0]
    assert sum(pages, []) == [f"message {i}" for i in range(50, 0, -1)]
    assert "More matches" in ask(slot, "message", page=2)[2] and "Better matches" in ask(slot, "message", page=2)[2]
    assert "More matches" not in ask(slot, "message", page=3)[2]


# ---- In a browser --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False])
def test_from_the_form_to_the_message(browser, chat, scripts):
    slot = chat.serve()
    for i in range(60):
        say(slot, "Ada", f"word {i}")
    with visiting(browser, slot, "Grace", path="/", java_script_enabled=scripts, viewport={"width": 1200, "height": 800}) as grace:
        page = grace.page
        page.get_by_role("searchbox", name="Search all rooms").fill('"word 17"')
        page.get_by_role("button", name="Search").click()
        page.wait_for_url("**/search?q=*")
        expect(page.get_by_role("heading", name="Search", exact=True)).to_be_visible()
        expect(page.locator(".hit-text")).to_have_text(["word 17"])
        page.locator(".hit").click()
        page.wait_for_url("**/rooms/lobby?before=*#m18")
        expect(page.locator("#m18 .body")).to_have_text("word 17")
        expect(page.locator("#m18 .body")).to_be_in_viewport()
        grace.go("/rooms/lobby")
        page.locator(".sidebar #q").fill("word -17")
        page.locator(".sidebar #q").press("Enter")
        expect(page.locator(".hit")).to_have_count(20)
        page.get_by_role("link", name="More matches").click()
        page.get_by_role("link", name="Better matches").wait_for()
        expect(page.locator(".hit")).to_have_count(20)
        expect(page.locator("#q")).to_have_value("word -17")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_looks_right(browser, served, scheme, width):
    from test_chat import BOXES, too_pale
    for path in ("/search", "/search?q=fis*", "/search?q=%22"):
        with visiting(browser, served, "Ada", path=path, color_scheme=scheme, viewport={"width": width, "height": 800}) as ada:
            page = ada.page
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.locator("h1").count() == 1
            texts = ".quiet, .hit-text, .hit-room, .author, .byline time, mark, h1, h2, kbd, .wrong, dd, .button-quiet"
            assert too_pale(page, texts, "color", 4.5) == []
            assert too_pale(page, BOXES, "borderTopColor", 3) == []
            small = page.evaluate("""() => [...document.querySelectorAll('button, .hit, .button-quiet, input')]
                .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 36).map(e => e.outerHTML)""")
            assert small == []
            page.keyboard.press("Tab")
            expect(page.locator(".skip")).to_be_focused()
            page.keyboard.press("Enter")
            expect(page.locator("#results")).to_be_focused()


def test_on_a_telephone_a_room_leads_to_the_search(browser, served):
    with visiting(browser, served, "Ada", room="Kitchen", viewport={"width": 360, "height": 640}) as ada:
        ada.page.get_by_role("link", name="Search").click()
        ada.page.wait_for_url("**/search")
        ada.page.get_by_role("searchbox").fill("soup")
        ada.page.keyboard.press("Enter")
        expect(ada.page.locator(".hit")).to_have_count(2)


# ---- What was acknowledged is found --------------------------------------------------------------------------


def test_all_instances_find_what_was_said_in_any(chat):
    zero, one = chat.serve(0), chat.serve(1)
    for i in range(5):
        text = say((zero, one)[i % 2], "Ada", f"number{i} everywhere")
        assert found(zero, f"number{i}") == found(one, f"number{i}") == [text]
    assert len(found(one, "everywhere")) == 5


def test_an_acknowledged_message_is_found_after_kill_9_of_everything(chat):
    slot = chat.serve()
    for i in range(3):
        kept = [say(slot, "Ada", f"round{i} kept{n}") for n in range(3)]
        found(slot, "kept0")  # so that there is a child with the index open, and now it is behind
        kept.append(say(slot, "Ada", f"round{i} last"))
        processes = workers(slot)
        assert processes
        kill_all(slot)
        wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in processes), "the children's end")
        slot = chat.serve()
        assert sorted(found(slot, f"round{i}")) == sorted(kept)
    assert len(found(slot, "author:Ada")) == 12


def test_the_index_learns_of_messages_by_itself(chat):
    slot = chat.serve()
    say(slot, "Ada", "nobody searches")
    index = chat.directory / "data" / "search.sqlite"

    def indexed():
        if not index.exists():
            return False
        with contextlib.closing(sqlite3.connect(index)) as db:
            known = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'progress'").fetchone()[0]
            return known and db.execute("SELECT last FROM progress").fetchone()[0] == 1

    wait_for(indexed, "the message in the index")


def test_a_killed_child_is_replaced(chat):
    slot = chat.serve()
    say(slot, "Ada", "before")
    assert found(slot, "before") == ["before"]
    for pid in workers(slot):
        os.kill(pid, signal.SIGKILL)
    say(slot, "Ada", "after")
    assert found(slot, "before") == ["before"] and found(slot, "after") == ["after"]
    kill_instance(slot)
    wait_for(lambda: ask_again(slot), "the next instance")
    assert found(slot, "after") == ["after"]


def ask_again(slot):
    try:
        return ask(slot, "after")[0] == 200
    except OSError:
        return False


def test_a_damaged_or_missing_index_is_made_anew(chat):
    slot = chat.serve()
    say(slot, "Ada", "still there")
    index = chat.directory / "data" / "search.sqlite"
    assert found(slot, "still") == ["still there"] and index.exists()
    slot.stop()
    index.write_bytes(b"no database " * 1000)
    slot = chat.serve()
    assert found(slot, "still") == ["still there"]
    slot.stop()
    for file in index.parent.glob("search.sqlite*"):
        file.unlink()
    assert found(chat.serve(), "still") == ["still there"]


def test_an_index_from_before_is_made_anew(chat):
    """Of a chat whose times were milliseconds, in its database and in the marks of the index."""
    slot = chat.serve()
    say(slot, "Ada", "of old", nonce="n")
    assert found(slot, "old") == ["of old"]
    slot.stop()
    with contextlib.closing(sqlite3.connect(chat.database)) as db:
        db.executescript("UPDATE message SET sent = 1600000000456; DROP TABLE sl_patch; PRAGMA user_version = 1")
    with contextlib.closing(sqlite3.connect(chat.directory / "data" / "search.sqlite")) as db, db:
        db.execute("UPDATE progress SET mark = 'Ada n 1600000000456'")
        db.execute("UPDATE document SET sent = 1600000000456000")
    slot = chat.serve()
    assert found(slot, "old after:2019 before:2021") == ["of old"]
    say(slot, "Ada", "of now")
    assert found(slot, "author:Ada") == ["of now", "of old"]


def test_reindex_makes_the_index_anew_while_it_is_used(chat, command):
    slot = chat.serve()
    for i in range(5):
        say(slot, "Ada", f"word{i} said")
    assert len(found(slot, "said")) == 5
    index = chat.directory / "data" / "search.sqlite"
    with contextlib.closing(sqlite3.connect(index)) as db, db:
        db.execute("UPDATE document SET body = 'spoilt' WHERE id = 3")
    assert found(slot, "word2") == [] and found(slot, "spoilt") == ["spoilt"]
    done = command("run", chat.directory, "reindex")
    assert done.returncode == 0, done.stderr
    assert "5 messages" in done.stdout
    assert found(slot, "word2") == ["word2 said"] and found(slot, "spoilt") == []
    say(slot, "Ada", "word5 said")
    assert len(found(slot, "said")) == 6
    assert sorted(file.name for file in index.parent.glob("search.sqlite.new*")) == ["search.sqlite.new.lock"]
    assert command("run", chat.directory, "reindex", "x").returncode == 2


def test_the_chat_works_without_its_search(browser, chat):
    manifest = chat.directory / "app.ini"
    manifest.write_text("".join(line for line in manifest.read_text().splitlines(True) if "plugins" not in line))
    slot = chat.serve()
    say(slot, "Ada", "hello")
    assert request(slot.url + "/search?q=hello")[0] == 404
    for path in ("/", "/rooms/lobby"):
        assert "search" not in request(slot.url + path)[2]


def test_stopping_leaves_nothing_behind(chat):
    slot = chat.serve()
    say(slot, "Ada", "hello")
    assert found(slot, "hello") == ["hello"]
    processes = workers(slot)
    assert processes and slot.stop() == 0
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in processes)
