"""apps/chat with real browsers: what people see, and what may break under them without their losing a word."""

import http.client
import itertools
import json
import sqlite3
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import websocket
from playwright.sync_api import expect

from chat_helpers import (
    PATIENCE, ROOT, Chat, kill_all, kill_instance, kill_instance_for_good, request, revive, say,
    visiting, wait_for,
)


@pytest.fixture
def chat(serve, tmp_path):
    return Chat(serve, tmp_path / "chat")


@pytest.fixture(scope="module")
def served(serve_module, tmp_path_factory):
    """One slot for the tests that need no more, with a room for each."""
    return Chat(serve_module, tmp_path_factory.mktemp("served") / "chat").serve()


room_numbers = itertools.count(1)


@pytest.fixture
def room(served):
    name = f"Room {next(room_numbers)}"
    status, _, text = request(served.url + "/rooms", {"room": name})
    assert status == 303, text
    return name


# ---- Live ------------------------------------------------------------------------------------------------


def test_two_browsers_on_two_slots_see_each_other(browser, chat):
    with visiting(browser, chat.serve(0), "Ada") as ada, visiting(browser, chat.serve(1), "Grace") as grace:
        ada.wait_live(), grace.wait_live()
        grace.wait_message(ada.say("Hello from slot 0"))
        ada.wait_message(grace.say("And from slot 1"))
        assert ada.texts() == grace.texts() == ["Hello from slot 0", "And from slot 1"]
        expect(ada.page.locator(".mine .body")).to_have_text(["Hello from slot 0"])
        expect(ada.page.locator(".message:not(.mine) .author")).to_have_text(["Grace"])


def test_a_killed_instance_loses_and_doubles_nothing(browser, chat):
    zero, one = chat.serve(0), chat.serve(1)
    with visiting(browser, zero, "Ada") as ada, visiting(browser, one, "Grace") as grace:
        ada.wait_live(), grace.wait_live()
        grace.wait_message(ada.say("before"))

        kill_instance_for_good(zero)
        ada.page.wait_for_selector("#connection.lost")
        said = [grace.say(f"while you were away {i}") for i in range(3)]
        for text in said:
            grace.wait_message(text)
        ada.say("can you hear me?")
        ada.page.wait_for_selector(".pending")
        assert ada.texts() == ["before", "can you hear me?"]
        revive(zero)

        ada.wait_live()
        for visitor in (ada, grace):
            visitor.wait_message("can you hear me?")
            visitor.wait_message(said[-1])
        assert grace.texts() == ["before", *said, "can you hear me?"]
        assert ada.texts() == grace.texts()
        ada.wait_message(grace.say("live again"))
        assert ada.page.locator(".pending").count() == 0


def test_many_words_over_many_deaths(browser, chat):
    """Two people talk on while the instance of one is killed again and again."""
    zero, one = chat.serve(0), chat.serve(1)
    with visiting(browser, zero, "Ada") as ada, visiting(browser, one, "Grace") as grace:
        ada.wait_live(), grace.wait_live()
        said = []
        for i in range(12):
            said += [ada.say(f"Ada {i}"), grace.say(f"Grace {i}")]
            if i % 4 == 1:
                kill_instance(zero)
        for visitor in (ada, grace):
            for text in said:
                visitor.wait_message(text)
        assert sorted(ada.texts()) == sorted(grace.texts()) == sorted(said)
        assert ada.texts() == grace.texts()
        for author in ("Ada", "Grace"):
            assert [t for t in ada.texts() if t.startswith(author)] == [f"{author} {i}" for i in range(12)]


def text_of(message):
    return "".join(piece["text"] for piece in message["pieces"])


def texts(slot, room="lobby"):
    """The last 50 messages of a room."""
    _, _, text = request(f"{slot.url}/rooms/{room}/messages", Accept="application/json")
    return [text_of(message) for message in json.loads(text)["messages"]]


def stored(chat):
    """All that was said, in the order of its numbers."""
    with closing(sqlite3.connect(chat.database)) as db:
        return [body for (body,) in db.execute("SELECT body FROM message ORDER BY id")]


def test_what_was_acknowledged_survives_the_death_of_all(chat):
    slot = chat.serve()
    for i in range(20):
        say(slot, "Ada", f"kept {i}")
    kill_all(slot)
    assert texts(chat.serve()) == [f"kept {i}" for i in range(20)]


def hear(slot, count):
    """What a listener is told, from the beginning on: the numbers and the texts of so many messages."""
    with closing(websocket.create_connection(slot.url.replace("http", "ws") + "/rooms/lobby/live", timeout=PATIENCE,
                                             origin=slot.url, http_no_proxy=["*"])) as live:
        heard = []
        while len(heard) < count:
            message = json.loads(live.recv())
            if message:
                heard.append((message["id"], text_of(message)))
        return heard


def test_many_speak_at_once_on_two_slots(chat):
    """Whoever listens, and wherever, hears all of it, once, in one order: that of the numbers."""
    slots = [chat.serve(0), chat.serve(1)]
    speakers, words = 16, 25

    def speak(speaker):
        return [say(slots[speaker % 2], f"Speaker {speaker}", f"{speaker}: {i}") for i in range(words)]

    with ThreadPoolExecutor(speakers + 4) as pool:
        listening = [pool.submit(hear, slot, speakers * words) for slot in slots * 2]
        said = list(pool.map(speak, range(speakers)))
        heard = [listener.result() for listener in listening]
    assert all(one == heard[0] for one in heard)
    assert heard[0] == sorted(heard[0])
    assert [text for _, text in heard[0]] == stored(chat)
    for speaker, own in enumerate(said):
        assert [text for _, text in heard[0] if text.startswith(f"{speaker}: ")] == own


def test_what_many_were_acknowledged_survives_the_death_of_all(chat):
    """Killed while many messages share a commit, each sent by two at once: what was acknowledged to one of them is there, once,
    and what was not can be sent again."""
    slot = chat.serve()
    said = [[f"{speaker}: {i}" for i in range(200)] for speaker in range(8)]
    acknowledged = []

    def speak(words):
        try:
            for body in words:
                acknowledged.append(say(slot, "Ada", body, nonce=body))
        except (OSError, http.client.HTTPException):
            pass  # the instance is dead

    with ThreadPoolExecutor(2 * len(said)) as pool:
        speaking = [pool.submit(speak, words) for words in said * 2]
        wait_for(lambda: len(acknowledged) > 200, "the talk")
        kill_all(slot)
        for speaker in speaking:
            speaker.result()
    assert len(acknowledged) < 2 * sum(map(len, said))
    slot = chat.serve()
    assert set(acknowledged) <= set(stored(chat))
    again = [body for words in said for body in words[:40]]
    for body in again:
        say(slot, "Ada", body, nonce=body)
    assert set(again) <= set(stored(chat))
    assert len(stored(chat)) == len(set(stored(chat)))


def test_another_history_loads_the_page_again(browser, chat):
    slot = chat.serve()
    for i in range(3):
        say(slot, "Ada", f"old {i}")
    with visiting(browser, slot, "Grace") as grace:
        grace.wait_live()
        kill_instance_for_good(slot)
        grace.page.wait_for_selector("#connection.lost")
        for file in chat.database.parent.glob("chat.sqlite*"):
            file.unlink()
        revive(slot)
        expect(grace.page.locator(".message")).to_have_count(0)
        grace.wait_live()
        grace.wait_message(grace.say("new"))
        assert grace.texts() == ["new"]


def test_names_are_asked_once(browser, served, room):
    with visiting(browser, served, room=room) as visitor:
        visitor.wait_live()
        visitor.say("who am I?")
        expect(visitor.page.locator("#wrong")).to_have_text("Please say what you are called.")
        expect(visitor.page.locator("#name")).to_be_focused()
        visitor.page.fill("#name", "  Zoë   Ångström ")
        visitor.say("who am I?")
        visitor.wait_message("who am I?")
        expect(visitor.page.locator("#as-name")).to_have_text("Zoë Ångström")
        assert visitor.page.locator("#name").count() == 0
        visitor.page.reload()
        expect(visitor.page.locator("#as-name")).to_have_text("Zoë Ångström")
        visitor.page.click("text=change")
        visitor.page.fill("#name", "Zoë")
        visitor.page.press("#name", "Enter")
        expect(visitor.page.locator("#as-name")).to_have_text("Zoë")
        expect(visitor.page.locator("h1")).to_contain_text(room)


def test_each_day_begins_once(browser, chat):
    slot = chat.serve()
    with visiting(browser, slot, "Ada") as ada:
        ada.wait_live()
        days = ada.page.locator(".day")
        ada.wait_message(ada.say("The first words here"))
        assert days.count() == 1
        assert ada.page.locator(".messages > :first-child").get_attribute("class") == "day"
    with sqlite3.connect(chat.database) as database:
        database.execute("UPDATE message SET sent = sent - 7 * 86400000000")
    with visiting(browser, slot, "Ada") as ada:
        ada.wait_live()
        days = ada.page.locator(".day")
        ada.wait_message(ada.say("The first words of another day"))
        assert days.count() == 2
        ada.wait_message(ada.say("And more"))
        ada.wait_message(say(slot, "Grace", "And from others"))
        assert days.count() == 2
        assert ada.page.locator(".messages > *").evaluate_all("all => all.map(e => e.classList[0])") == [
            "day", "message", "day", "message", "message", "message"]


def test_older_messages_come_on_asking(browser, served, room):
    for i in range(120):
        say(served, "Ada", f"message {i}", room)
    with visiting(browser, served, "Grace", room=room) as grace:
        grace.wait_live()
        assert grace.texts() == [f"message {i}" for i in range(70, 120)]
        older = grace.page.locator("#older a")
        older.evaluate("link => link.click()")
        grace.wait_message("message 20")
        older.evaluate("link => link.click()")
        grace.wait_message("message 0")
        assert grace.texts() == [f"message {i}" for i in range(120)]
        expect(grace.page.locator("#older")).to_be_hidden()


def test_who_reads_further_up_is_left_there(browser, served, room):
    for i in range(40):
        say(served, "Ada", f"message {i}", room)
    with visiting(browser, served, "Grace", room=room) as grace:
        grace.wait_live()
        log, pill = grace.page.locator("#log"), grace.page.locator("#pill")
        assert log.evaluate("log => log.scrollTop") == 0
        log.evaluate("log => log.scrollTop = -800")
        place = grace.page.locator(".message").nth(20)
        before = place.bounding_box()["y"]
        say(served, "Ada", "one more", room)
        expect(pill).to_have_text("1 new message")
        say(served, "Ada", "and another", room)
        expect(pill).to_have_text("2 new messages")
        assert abs(place.bounding_box()["y"] - before) < 2
        pill.click()
        expect(pill).to_be_hidden()
        assert log.evaluate("log => log.scrollTop") == 0
        say(served, "Ada", "in sight", room)
        grace.wait_message("in sight")
        expect(grace.page.locator(".body", has_text="in sight")).to_be_in_viewport()
        expect(pill).to_be_hidden()


# ---- Without scripts -------------------------------------------------------------------------------------


def test_everything_works_without_scripts(browser, served):
    with visiting(browser, served, path="/", java_script_enabled=False) as visitor:
        page = visitor.page
        page.fill("#new-room", "a/b")
        page.click("text=Make it")
        expect(page.locator("#room-wrong")).to_contain_text("letters, digits")
        expect(page.locator("#new-room")).to_have_value("a/b")
        page.fill("#new-room", "No scripts here")
        page.click("text=Make it")
        expect(page.locator("h1")).to_contain_text("No scripts here")

        page.fill("#body", "First line\nsecond <line>")
        page.click(".send")
        expect(page.locator("#name-wrong")).to_have_text("Please say what you are called.")
        expect(page.locator("#body")).to_have_value("First line\nsecond <line>")
        page.fill("#name", "Noor")
        page.click(".send")
        expect(page.locator(".message .body")).to_have_text(["First line\nsecond <line>"])
        assert page.url.endswith("/rooms/No%20scripts%20here")
        expect(page.locator("#body")).to_have_value("")

        page.fill("#body", "x" * 4001)
        page.click(".send")
        expect(page.locator("#body-wrong")).to_contain_text("this one has 4001")
        expect(page.locator("#body")).to_have_value("x" * 4001)
        for i in range(55):
            say(served, "Ada", f"message {i}", "No scripts here")
        page.reload()
        expect(page.locator(".message .body").last).to_be_in_viewport()
        page.click("text=Older messages")
        expect(page.locator(".message .body").first).to_have_text("First line\nsecond <line>")
        page.click("text=Back to the newest messages")
        expect(page.locator(".message .body").last).to_have_text("message 54")


def test_a_form_sent_twice_counts_once_and_a_used_form_counts_anew(served, room):
    def post(body, nonce="n1", name="Ada", where=room):
        status, _, text = request(f"{served.url}/rooms/{where.replace(' ', '%20')}", {"body": body, "nonce": nonce},
                                  name=name, Accept="application/json")
        assert status == 200
        return json.loads(text)

    first = post("one")
    assert post("one") == first
    assert post(" one\r\n", where=room.upper()) == first
    others = [post("two"), post("one", nonce="n2"), post("one", name="Grace"), post("one", where="lobby"),
              post("one", nonce=""), post("one", nonce=""), post("one", nonce="x" * 65), post("one", nonce="x" * 65)]
    numbers = [message["id"] for message in [first, *others]]
    assert numbers == sorted(set(numbers))


# ---- What strangers try ----------------------------------------------------------------------------------


def test_markup_stays_text(browser, served, room):
    nasty = '<img src=x onerror=alert(1)><script>alert(2)</script>"\'&amp; {{ me }} {% end %}'
    link = 'see https://example.org/?a=1&b="onmouseover=alert(3) and javascript:alert(4) (http://example.org/x).'
    say(served, "<b>Eve</b>", nasty, room)
    say(served, "<b>Eve</b>", link, room)
    for scripts in (True, False):
        with visiting(browser, served, "Ada", room=room, java_script_enabled=scripts) as ada:
            assert ada.texts()[:2] == [nasty, link]
            if scripts:
                ada.wait_live()
                say(served, "<b>Eve</b>", nasty + " live", room)
                say(served, "<b>Eve</b>", link + " live", room)
                ada.wait_message(link + " live")
                assert ada.texts() == [nasty, link, nasty + " live", link + " live"]
            assert ada.page.locator(".author").first.inner_text() == "<b>Eve</b>"
            assert ada.page.locator("#messages img, #messages script, #messages b b").count() == 0
            found = ada.page.locator(".message .body a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
            assert found[:2] == ["https://example.org/?a=1&b=", "http://example.org/x"]
            assert set(found) == set(found[:2])
            rel = ada.page.locator(".message .body a").first.get_attribute("rel")
            assert "noopener" in rel and "noreferrer" in rel


def test_pages_carry_their_guards(served):
    status, headers, text = request(served.url + "/rooms/lobby")
    policy = headers["Content-Security-Policy"]
    assert status == 200
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert " style=" not in text and " onclick" not in text and "<script>" not in text


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site", "Origin": "http://other.127.0.0.1"},
])
def test_forms_of_other_sites_are_refused(served, headers):
    for path, fields in (("/rooms/lobby", {"body": "forged"}), ("/rooms", {"room": "forged"}), ("/name", {"name": "forged"})):
        assert request(served.url + path, fields, name="Ada", **headers)[0] == 403
    assert "forged" not in request(served.url + "/rooms/lobby/messages")[2]
    assert request(served.url + "/rooms/forged")[0] == 404


@pytest.mark.parametrize("name, wrong", [
    ("", "what you are called"), ("x" * 33, "32 characters"), ("Ada\u200b", "nobody can see"), ("\u202eadA", "nobody can see"),
])
def test_names_that_are_refused(served, name, wrong):
    status, _, text = request(served.url + "/name", {"name": name})
    assert status == 422 and wrong in text


@pytest.mark.parametrize("name", ["", "..", "a/b", "a?b", "-", "x" * 49, "<b>", "\u202eroom"])
def test_rooms_that_are_refused(served, name):
    assert request(served.url + "/rooms", {"room": name})[0] == 422


def test_rooms_are_the_same_in_any_case(served):
    assert request(served.url + "/rooms", {"room": "Küche & Co".replace("& ", "")})[0] == 303
    assert request(served.url + "/rooms", {"room": "kÜCHE CO".replace("Ü", "ü")})[0] == 303
    assert request(served.url + "/rooms/K%C3%BCCHE%20cO")[0] == 200
    assert request(served.url + "/")[2].count('class="room-name">K') == 1


def test_there_is_an_end_to_rooms(chat):
    """1000 of them, also where several instances are asked at once; those that are there can always be gone to."""
    slots = [chat.serve(0), chat.serve(1)]
    with closing(sqlite3.connect(chat.database)) as db, db:
        db.executemany("INSERT INTO room VALUES (?, 0)", [(f"room {i}",) for i in range(994)])
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda i: request(slots[i % 2].url + "/rooms", {"room": f"more {i}"}), range(10)))
    assert sorted(status for status, _, _ in answers) == [303] * 5 + [503] * 5
    assert all("There are 1000 rooms already" in text for status, _, text in answers if status == 503)
    assert request(slots[0].url + "/rooms", {"room": "ROOM 7"})[0] == 303
    with closing(sqlite3.connect(chat.database)) as db:
        assert db.execute("SELECT count(*) FROM room").fetchone() == (1000,)


@pytest.mark.parametrize("before", ["x", "-1", "1e9", "99999999999999999999", ""])
def test_wrong_numbers_are_refused(served, before):
    assert request(served.url + f"/rooms/lobby/messages?before={before}")[0] == 400


def test_text_that_is_not_utf8_is_refused(served):
    for data in (b"body=%ff%fe", b"body=\xff"):
        asked = urllib.request.Request(served.url + "/rooms/lobby", data, {"Cookie": "name=Ada"})
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(asked)
        assert raised.value.code == 400


# ---- For everybody ---------------------------------------------------------------------------------------


def test_the_keyboard_is_enough(browser, served, room):
    with visiting(browser, served, "Ada", room=room) as ada:
        ada.wait_live()
        keyboard = ada.page.keyboard
        for _ in range(40):  # backwards, past the messages and the rooms, to where the page begins
            if ada.page.locator(".skip:focus").count():
                break
            keyboard.press("Shift+Tab")
        expect(ada.page.locator(".skip")).to_be_focused()
        expect(ada.page.locator(".skip")).to_be_in_viewport()
        keyboard.press("Enter")
        expect(ada.page.locator("#body")).to_be_focused()
        keyboard.type("one")
        keyboard.press("Shift+Enter")
        keyboard.type("two")
        assert ada.texts() == []
        keyboard.press("Enter")
        ada.wait_message("one\ntwo")
        expect(ada.page.locator("#body")).to_be_focused()
        expect(ada.page.locator("#body")).to_have_value("")
        keyboard.press("Shift+Tab")
        expect(ada.page.locator("#log")).to_be_focused()


def test_one_can_begin_to_type(browser, served, room):
    with visiting(browser, served, room=room) as visitor:
        expect(visitor.page.locator("#name")).to_be_focused()
        visitor.go(f"/name?room={room}")
        expect(visitor.page.locator("#name")).to_be_focused()
        visitor.page.keyboard.type("Ada")
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.locator("#body")).to_be_focused()
        visitor.page.keyboard.type("hello")
        visitor.page.keyboard.press("Enter")
        visitor.wait_message("hello")
    with visiting(browser, served, "Ada", room=room, has_touch=True, is_mobile=True) as visitor:
        visitor.wait_live()
        expect(visitor.page.locator("#body")).not_to_be_focused()


def test_what_a_screen_reader_finds(browser, served, room):
    say(served, "Grace", "hello", room)
    with visiting(browser, served, room=room) as visitor:
        page = visitor.wait_live().page
        for role, name in (("navigation", "Rooms"), ("main", None), ("log", f"Messages in {room}"), ("heading", room),
                           ("textbox", "Your name"), ("textbox", f"Message to {room}"), ("button", "Send"), ("status", None)):
            found = page.get_by_role(role, name=name) if name else page.get_by_role(role)
            expect(found.first).to_be_attached()
        assert page.locator("h1").count() == 1
        assert page.locator("#log").get_attribute("aria-live") == "polite"
        assert page.locator("html").get_attribute("lang") == "en"
    for path in ("/", "/name", f"/rooms/{room}"):
        with visiting(browser, served, path=path) as visitor:
            nameless = visitor.page.evaluate("""() => [...document.querySelectorAll('a, button, input:not([type=hidden]), textarea')]
                .filter(e => !e.hidden && !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label')))
                .map(e => e.outerHTML)""")
            assert nameless == []
            ids = visitor.page.evaluate("() => [...document.querySelectorAll('[id]')].map(e => e.id)")
            assert len(ids) == len(set(ids))


# What `query` finds: its contrast with the ground, of its text or of what `property` colours.
CONTRAST = """([query, property]) => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const paint = (...colours) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const ground = (e) => { const all = []; for (; e; e = e.parentElement) all.unshift(getComputedStyle(e).backgroundColor); return all; };
    return [...document.querySelectorAll(query)]
        .filter(e => e.checkVisibility())
        .map(e => {
            const back = paint(...ground(e)), front = paint(...ground(e), getComputedStyle(e)[property]);
            const [a, b] = [light(back), light(front)].sort((x, y) => y - x);
            return [e.className || e.tagName, (a + .05) / (b + .05)];
        });
}"""
TEXTS = (".author, .byline time, .message:not(.mine) .body, .room-name, .room-last, .room-time, .tile, .avatar, .quiet, .connection, "
         "h1, .day span, .send, a.button-quiet")
BOXES = "input:not([type=hidden]), textarea"


def too_pale(page, query, property, least):
    found = page.evaluate(CONTRAST, [query, property])
    assert found
    return [(what, round(contrast, 2)) for what, contrast in found if contrast < least]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(360, 640), (1440, 900)])
def test_it_looks_right(browser, served, room, scheme, width, height):
    for i in range(14):
        say(served, f"Person {i}", f"message {i} " + "word " * (3 * i), room)
    say(served, "Person 1", "x" * 400, room)
    with visiting(browser, served, "Ada", room=room, color_scheme=scheme, viewport={"width": width, "height": height}) as ada:
        page = ada.wait_live().page
        ada.wait_message(ada.say("mine"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        assert page.locator(".sidebar").is_visible() == (width > 900)
        assert page.locator(".back").is_visible() == (width < 900)
        expect(page.locator("#body")).to_be_in_viewport(ratio=1)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 23)"
        assert dark == (scheme == "dark")
        assert too_pale(page, TEXTS, "color", 4.5) == []
        page.evaluate("document.activeElement.blur()")
        assert too_pale(page, BOXES, "borderTopColor", 3) == []
        small = page.evaluate("""() => [...document.querySelectorAll('button, .back, .rooms a, input:not([type=hidden]), textarea')]
            .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 36).map(e => e.outerHTML)""")
        assert small == []
        for path in ("/", "/name"):
            ada.go(path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.evaluate("document.activeElement.blur()")
            assert too_pale(page, BOXES, "borderTopColor", 3) == []


# ---- What breaks -----------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_named(chat):
    chat.database.parent.mkdir()
    chat.database.write_bytes(b"This is not a database. " * 200)
    slot = chat.serve(ready=False)
    wait_for(lambda: f"cannot open {chat.database}: file is not a database" in slot.said(), "the complaint")
    wait_for(lambda: "name another file" in slot.said(), "the advice")
    assert chat.database.read_bytes().startswith(b"This is not a database. ")


def test_a_path_that_cannot_be_opened_is_named(chat):
    chat.database.mkdir(parents=True)
    slot = chat.serve(ready=False)
    wait_for(lambda: f"cannot open {chat.database}: it is a directory" in slot.said(), "the complaint")


def test_a_database_of_a_newer_version_is_left_alone(chat):
    slot = chat.serve()
    slot.stop()
    with closing(sqlite3.connect(chat.database)) as db, db:
        db.execute("INSERT INTO sl_patch VALUES (9, 'of-tomorrow', '', 0)")
        before = list(db.iterdump())
    slot = chat.serve(ready=False)
    wait_for(lambda: "patch 9 (of-tomorrow) was applied" in slot.said() and "or a newer one" in slot.said(), "the complaint")
    slot.stop()
    with closing(sqlite3.connect(chat.database)) as db:
        assert list(db.iterdump()) == before


def test_a_database_from_before_goes_on(chat):
    """Of a version whose times were milliseconds, and which knew of no patches."""
    chat.database.parent.mkdir()
    with closing(sqlite3.connect(chat.database)) as db:
        db.executescript("""
            PRAGMA journal_mode = WAL;
            CREATE TABLE room (name TEXT PRIMARY KEY COLLATE NOCASE, made INTEGER NOT NULL) STRICT;
            CREATE TABLE message (
              id INTEGER PRIMARY KEY AUTOINCREMENT,
              room TEXT NOT NULL, author TEXT NOT NULL, nonce TEXT NOT NULL, body TEXT NOT NULL, sent INTEGER NOT NULL,
              UNIQUE (room, author, nonce)) STRICT;
            CREATE INDEX message_of_room ON message (room, id);
            INSERT INTO room VALUES ('lobby', 0), ('Kitchen', 1700000000123);
            INSERT INTO message VALUES (7, 'lobby', 'Ada', 'n', 'of old', 1600000000456);
            PRAGMA user_version = 1;
        """)
    for _ in range(2):  # once only
        slot = chat.serve()
        _, _, text = request(slot.url + "/rooms/lobby/messages")
        message = json.loads(text)["messages"][0]
        assert (message["id"], message["sent"], text_of(message)) == (7, 1600000000, "of old")
        assert request(slot.url + "/rooms/KITCHEN")[0] == 200
        say(slot, "Ada", "of old", nonce="n")
        slot.stop()
    say(chat.serve(), "Ada", "of now")
    with closing(sqlite3.connect(chat.database)) as db:
        assert db.execute("SELECT id, sent FROM message WHERE body = 'of old'").fetchall() == [(7, 1600000000456000)]
        assert db.execute("SELECT made FROM room WHERE name = 'kitchen'").fetchone() == (1700000000123000,)
        now, newer = db.execute("SELECT unixepoch() - sent / 1000000, id > 7 FROM message WHERE body = 'of now'").fetchone()
        assert 0 <= now < 600 and newer
        assert db.execute("PRAGMA user_version").fetchone()[0] > 1  # that version leaves it alone from now on


def test_what_cannot_be_stored_is_not_acknowledged(chat):
    """While another program holds the database a message waits; if that lasts, it is refused and not half stored."""
    slot = chat.serve()
    say(slot, "Ada", "before")
    blocker = sqlite3.connect(chat.database, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    status, _, _ = request(slot.url + "/rooms/lobby", {"body": "during", "nonce": "n"}, name="Ada")
    assert status == 500
    wait_for(lambda: "database is locked" in slot.said() and "fuser -v" in slot.said(), "the error and the advice")
    assert texts(slot) == ["before"]  # reading goes on, and so does what needs no database
    assert request(slot.url + "/name", {"name": "Ada", "room": "lobby"})[0] == 303
    blocker.execute("ROLLBACK")
    blocker.close()
    say(slot, "Ada", "during", nonce="n")
    assert texts(slot) == ["before", "during"]


def test_the_text_by_itself(silver, tmp_path):
    """apps/chat/tests/text.c, compiled as `silver` compiles an application and linked with the library beside it."""
    library = Path(silver).resolve().parent
    flags = subprocess.check_output(["pkg-config", "--cflags", "--libs", "jansson"], text=True).split()
    sources = [ROOT / "apps/chat" / name for name in ("tests/text.c", "src/text.c")]
    program = tmp_path / "text"
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-fexceptions", "-Wall", "-Wextra", "-Werror", "-g", "-O1",
                    "-I", ROOT / "include", *sources, "-o", program, f"-L{library}", f"-Wl,-rpath,{library}", "-lsilver",
                    *flags], check=True)
    done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


# ---- No room -----------------------------------------------------------------------------------------------------


def test_a_full_database_takes_no_more_and_says_so(browser, chat):
    manifest = chat.directory / "app.ini"
    text = manifest.read_text()
    assert "sqlite_mb = 1024\n" in text
    manifest.write_text(text.replace("sqlite_mb = 1024\n", "sqlite_mb = 1\n"))
    slot = chat.serve(0, "--production")
    url, long = slot.url + "/rooms/lobby", "\U0001f41f" * 4000
    with visiting(browser, slot, "Ada") as ada:
        ada.wait_live()
        ada.wait_message(ada.say("while there is room"))
        for number in range(200):
            status, _, text = request(url, {"body": f"{number} {long}"[:4000]}, name="Grace")
            if status != 303:
                break
        assert status == 507 and "there is no room for more just now" in text
        for accept in ["application/json", "text/html"]:
            status, _, text = request(url, {"body": long}, name="Grace", Accept=accept)
            assert status == 507 and "there is no room for more just now" in text
        # It goes on with what it has.
        assert request(url + "?before=2")[0] == 200
        ada.say(long)
        expect(ada.page.locator("#wrong")).to_have_text("There is no room for more messages just now.")
        expect(ada.page.locator("#body")).to_have_value(long)
        expect(ada.page.locator(".pending")).to_have_count(0)
    assert chat.database.stat().st_size <= 1 << 20
    with closing(sqlite3.connect(chat.database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM message").fetchone()[0] == number + 1
