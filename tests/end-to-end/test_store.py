"""An application whose handlers keep objects: the transaction of a request, seen from outside, in both databases."""

import json
import threading

import pytest
import websocket

SOURCE = r"""
#include <silver/silver.h>

#define NOTE(F) F(id, integer, SL_PRIMARY_KEY) F(text, text, SL_REQUIRED, SL_UNIQUE, .max = 20) F(likes, integer, SL_DEFAULT("0"))
SL_MODEL(note, NOTE);
SL_EVENT(noted);

static sl_response *list(sl_request *req)
{
    return sl_json(req, 200, sl_rows(sl_find(note, sl_ascending(note_.id))));
}

static sl_response *show(sl_request *req)
{
    const struct note *n = sl_need(note, (int64_t)sl_param_number(req, "id", INT64_MAX, 0));
    return sl_json(req, 200, sl_to_json(note, n));
}

static sl_response *add(sl_request *req)
{
    sl_add(sl_new(note, .text = sl_field(req, "text")));
    sl_emit_on_commit(sl_channel("notes"), noted, NULL);
    return sl_see_other(req, sl_url(req, "list"));
}

static sl_response *fail(sl_request *req)
{
    add(req);
    sl_save();
    sl_fail(SL_HTTP(418), "no");
}

static sl_response *like(sl_request *req)
{
    sl_update(sl_find(note), sl_to(note_.likes, sl_plus(note_.likes, 1)));
    return sl_text(req, 200, "liked\n");
}

static sl_response *one_by_one(sl_request *req)
{
    sl_budget(.statements = 5);
    for (int64_t i = 100; i < 120; i++)
        sl_load(note, i);
    return sl_text(req, 200, "never\n");
}

static void stream(sl_stream *out, void *data)
{
    SL_EACH(n, sl_find(note, sl_ascending(note_.id)))
        sl_write_printf(out, "%s\n", n->text);
}

static sl_response *streamed(sl_request *req)
{
    sl_add(sl_new(note, .text = "streamed"));
    return sl_stream_response(req, 200, "text/plain", stream, NULL);
}

static void live(sl_websocket *ws)
{
    sl_inbox *inbox = sl_subscribe(sl_channel("notes"), noted);
    for (;;)
        SL_SCRATCH()
        {
            sl_send_printf(ws, "%lld", (long long)sl_count(sl_find(note)));
            sl_next(inbox);
        }
}

SL_APPLICATION(app)
{
    sl_models(note_model);
    sl_route(app, "list", "GET /", list);
    sl_route(app, "show", "GET /show", show);
    sl_route(app, "add", "POST /", add);
    sl_route(app, "fail", "POST /fail", fail);
    sl_route(app, "like", "POST /like", like);
    sl_route(app, "one_by_one", "GET /one_by_one", one_by_one);
    sl_route(app, "streamed", "POST /streamed", streamed);
    sl_route(app, "live", "GET /live", live);
}
"""

MANIFEST = """[production]
app_name = {{name}}
runner = src/{{name}}.c
service.{service} =

[slots]
0 = 127.0.0.1:0
"""

FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.fixture
def server(app, serve):
    return serve(app(SOURCE, manifest=MANIFEST.format(service="sqlite")))


def ask(server, path="/"):
    answer = server.get(path)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def texts(server):
    return [note["text"] for note in ask(server)]


def post(server, path="/", text=""):
    return server.get(path, FORM, method="POST", body=f"text={text}".encode())


def test_what_a_handler_adds_is_there_when_the_client_hears_of_it(server):
    assert ask(server) == []
    assert post(server, text="one").status == 303
    assert texts(server) == ["one"]
    note = ask(server)[0]
    assert ask(server, f"/show?id={note['id']}") == {"id": note["id"], "text": "one", "likes": 0}


def test_a_failure_undoes_all_of_it(server):
    assert post(server, "/fail", "two").status == 418
    assert texts(server) == []


def test_wrong_fields_and_missing_rows_are_the_clients_business(server):
    answer = post(server, text="x" * 30)
    assert answer.status == 422 and b"too long: 20 characters at most" in answer.body
    answer = server.get("/show?id=99")
    assert answer.status == 404 and b"there is no note 99" in answer.body
    post(server, text="same")
    answer = post(server, text="same")
    assert answer.status == 409 and b"cannot be stored" in answer.body
    assert texts(server) == ["same"]


@pytest.mark.parametrize("service", ["sqlite", "postgres"])
def test_in_production_a_client_learns_nothing_of_the_inside(app, serve, service):
    server = serve(app(SOURCE, manifest=MANIFEST.format(service=service)), "--production")
    post(server, text="same")
    for accept in ["text/html", "application/json", "text/plain"]:
        answer = server.get("/", FORM, f"Accept: {accept}", method="POST", body=b"text=same")
        page = answer.body.decode()
        assert answer.status == 409 and "there is one with the same text already" in page
        for inside in ["probe.c", "constraint", "note", "stored", "SL_"]:
            assert inside not in page
    server.wait_said(r"POST / gives 409: a new note \(made at src/probe.c:\d+\) cannot be stored")
    server.wait_said("constraint")


def test_a_budget_ends_the_request_and_the_page_shows_the_statements(server):
    answer = server.get("/one_by_one", "Accept: text/html")
    assert answer.status == 500
    page = answer.body.decode()
    assert "more than 5 statements" in page
    assert page.count("SELECT") >= 5 and "src/probe.c:" in page


def test_a_body_is_streamed_after_the_commit(server):
    assert post(server, "/streamed").body == b"streamed\n"
    assert texts(server) == ["streamed"]


def test_a_hundred_at_once_lose_nothing(server):
    threads = [threading.Thread(target=post, args=(server, "/", f"t{i}")) for i in range(100)]
    likers = [threading.Thread(target=post, args=(server, "/like")) for _ in range(20)]
    for thread in threads + likers:
        thread.start()
    for thread in threads + likers:
        thread.join()
    assert sorted(texts(server)) == sorted(f"t{i}" for i in range(100))
    before = sum(note["likes"] for note in ask(server))
    assert post(server, "/like").status == 200
    assert sum(note["likes"] for note in ask(server)) == before + 100


def test_it_is_the_same_with_postgres(app, serve):
    server = serve(app(SOURCE, manifest=MANIFEST.format(service="postgres")))
    test_a_failure_undoes_all_of_it(server)
    test_a_budget_ends_the_request_and_the_page_shows_the_statements(server)
    test_what_a_handler_adds_is_there_when_the_client_hears_of_it(server)
    assert post(server, "/streamed").body == b"one\nstreamed\n"
    assert post(server, text="x" * 30).status == 422
    assert texts(server) == ["one", "streamed"]


def test_events_go_out_when_they_are_true(server):
    socket = websocket.create_connection(server.url.replace("http", "ws") + "/live", timeout=20)
    assert socket.recv() == "0"
    assert post(server, "/fail", "undone").status == 418
    post(server, text="one")
    assert socket.recv() == "1"
    socket.close()


# ---- The page of a failure -------------------------------------------------------------------------------------

EVIL = r"""
#include <silver/silver.h>

#define NOTE(F) F(id, integer, SL_PRIMARY_KEY) F(text, text)
SL_MODEL(note, NOTE);
SL_KEY(held, SL_CAPTURED, .name = "<script>key");

static void *fails(void *evil)
{
    sl_execute(NULL, "UPDATE note SET \"<script>column\" = 1 WHERE text = ?", sl_p((const char *)evil));
    return NULL;
}

static sl_response *attack(sl_request *req)
{
    const char *evil = sl_param(req, "evil");
    sl_error *cause;
    sl_info("%s", evil);
    sl_list(sl_find(note, sl_eq(note_.text, evil)));
    sl_execute(NULL, "UPDATE note SET text = ? WHERE '<script>sql' = '\"><img src=x>'", sl_p(sl_field(req, "evil")));
    sl_try(sl_spawn(fails, (void *)evil), &cause);
    sl_error *error = sl_error_new(SL_EDATABASE, "%s", evil);
    sl_error_hint(error, "%s", evil);
    sl_error_detail(error, evil, strlen(evil));
    sl_fail_error(sl_error_cause(error, sl_error_ref(cause)));
}

SL_APPLICATION(app)
{
    sl_models(note_model);
    sl_route(app, "attack", "POST /attack/{what}", attack);
}
"""


@pytest.mark.parametrize("service", ["sqlite", "postgres"])
def test_nothing_that_a_client_sends_is_markup_on_the_page(app, serve, service):
    server = serve(app(EVIL, manifest=MANIFEST.format(service=service)))
    evil = "%22'%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E%3Cimg%20src=x%20onerror=alert(1)%3E%26"
    raw = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&"
    answer = server.get(f"/attack/{evil}?evil={evil}&{evil}=1", FORM, "Accept: text/html", f"X-Evil: {raw}", f"Cookie: a={evil}; b={raw}",
                        method="POST", body=f"evil={evil}&{evil}={evil}".encode())
    page = answer.body.decode()
    assert answer.status == 500 and page.count("&lt;script&gt;alert(1)") > 8
    assert "&lt;script&gt;column" in page and "&lt;script&gt;sql" in page and "The database: 3 statements" in page
    assert "<script" not in page and "<img" not in page and "onerror" in page
    assert not [value for value in page.split('="')[1:] if "alert" in value.split('"')[0]]  # no attribute either
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")


def test_the_timeline_is_bounded(app, serve):
    many = """
    for (int i = 0; i < 3000; i++)
        sl_add(sl_new(note, .text = sl_printf("%0500d", i)));
    sl_save();
    sl_execute(NULL, "UPDATE note SET text = NULL /* LONG */ WHERE id = ?", sl_p(1));
    sl_fail(SL_EFAILED, "after many");
""".replace("LONG", "x" * 5000)
    source = EVIL.replace("    const char *evil = sl_param", many + "    const char *evil = sl_param")
    server = serve(app(source, manifest=MANIFEST.format(service="sqlite")))
    answer = server.get("/attack/x?evil=1", FORM, "Accept: text/html", method="POST", body=b"evil=1")
    page = answer.body.decode()
    assert answer.status == 500 and "bytes in all" in page and "in all)" in page
    assert len(page) < 2_000_000
