"""Django and Storm in the transaction of a request, on SQLite and PostgreSQL: they commit together or not at all."""

import http.cookiejar
import json
import os
import pathlib
import re
import shutil
import subprocess
import textwrap
import urllib.parse
import urllib.request

import pytest

from conftest import eventually, lay_out

APPLICATIONS = pathlib.Path(__file__).resolve().parent / "applications"


# ---- Mappers -------------------------------------------------------------------------------------------------------

MAPPERS = """
    import os, signal
    import django
    from django.conf import settings

    import silver

    settings.configure(
        SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DEFAULT_AUTO_FIELD="django.db.models.AutoField", USE_TZ=True,
        DATABASES={"default": {"ENGINE": "silver.django.@engine@"}}, DEBUG=False)
    django.setup()

    from django.db import IntegrityError, connection, models, transaction
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path
    from storm.locals import Int, Unicode

    class Note(models.Model):
        text = models.TextField(unique=True)
        when = models.DateTimeField(auto_now_add=True)
        data = models.JSONField(default=dict)
        class Meta:
            app_label, db_table = "probe", "note"

    class Tag:
        __storm_table__ = "tag"
        id = Int(primary=True)
        text = Unicode()

    def tag(text):
        made = Tag()
        made.text = text
        store = silver.storm.store("@engine@")
        store.add(made)
        return made

    def plain(text):
        mark = "%s" if "@engine@" == "postgres" else "?"
        silver.database("@engine@").cursor().execute("INSERT INTO plain (text) VALUES (" + mark + ")", (text,))

    def set_up(serial):
        with silver.transaction():
            cursor = silver.database("@engine@").cursor()
            cursor.execute("CREATE TABLE IF NOT EXISTS tag (id " + serial + " PRIMARY KEY, text TEXT NOT NULL)")
            cursor.execute("CREATE TABLE IF NOT EXISTS plain (text TEXT NOT NULL)")
        if "note" not in connection.introspection.table_names():
            with connection.schema_editor() as editor:
                editor.create_model(Note)

    set_up("serial" if "@engine@" == "postgres" else "INTEGER")

    def all_three(name):
        plain(name + " plain")
        Note.objects.create(text=name, data={"name": name})
        return tag(name + " tag")

    def everything():
        cursor = silver.database("@engine@").cursor()
        cursor.execute("SELECT text FROM plain UNION ALL SELECT text FROM note UNION ALL SELECT text FROM tag")
        return sorted(text for (text,) in cursor)

    # -- views

    def write(request):
        all_three(request.GET["name"])
        if "fail" in request.GET:
            raise RuntimeError("after all three wrote")
        if "storm" in request.GET:
            silver.storm.store("@engine@").rollback()
        if "kill" in request.GET:
            silver.storm.store("@engine@").flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return HttpResponse("written", status=int(request.GET.get("status", "200")))

    def look(request):
        return JsonResponse({"all": everything()})

    def wipe(request):
        for table in "plain", "note", "tag":
            connection.cursor().execute("DELETE FROM " + table)
        return HttpResponse("empty")

    def see_each_other(request):
        made = all_three("seen")
        silver.storm.store("@engine@").flush()
        assert made.id is not None
        Note.objects.filter(text="seen").update(text="changed")
        assert everything() == ["changed", "seen plain", "seen tag"], everything()
        note = Note.objects.get(text="changed")
        assert note.data == {"name": "seen"} and note.when.tzinfo is not None
        cursor = silver.database("@engine@").cursor()
        cursor.execute("UPDATE tag SET text = 'by sql'")
        store = silver.storm.store("@engine@")
        store.invalidate()
        assert made.text == "by sql" and store.find(Tag, text="by sql").one() is made
        connection.cursor().execute("DELETE FROM plain")
        return HttpResponse("undone", status=400)

    def savepoints(request):
        all_three("outer")
        told = []
        transaction.on_commit(lambda: plain("committed"))
        transaction.on_commit(lambda: told.append(1))
        try:
            with transaction.atomic():
                all_three("inner")
                transaction.on_commit(lambda: plain("never"))
                Note.objects.create(text="outer")
        except IntegrityError:
            pass
        with transaction.atomic():
            with transaction.atomic(savepoint=False):
                all_three("second")
        try:
            with silver.transaction.savepoint():
                all_three("third")
                raise KeyError
        except KeyError:
            pass
        sid = transaction.savepoint()
        all_three("fourth")
        transaction.savepoint_rollback(sid)
        transaction.savepoint_commit(sid)
        assert not told
        store = silver.storm.store("@engine@")
        assert sorted(store.find(Tag).values(Tag.text)) == ["outer tag", "second tag"]
        assert connection.in_atomic_block and not connection.get_autocommit()
        return JsonResponse({"all": everything()})

    def swallowed(request):
        all_three("a")
        try:
            with transaction.atomic(savepoint=False):
                Note.objects.create(text="a")
        except IntegrityError:
            pass
        return HttpResponse("all is well")

    def not_here(request):
        said = []
        def refused(function, *arguments, **keywords):
            try:
                function(*arguments, **keywords)
            except Exception as error:
                said.append(type(error).__name__)
        refused(transaction.set_autocommit, False)
        refused(transaction.commit)
        refused(transaction.rollback)
        def durable():
            with transaction.atomic(durable=True):
                pass
        refused(durable)
        store = silver.storm.store("@engine@")
        all_three("kept")
        store.commit()
        connection.close()
        assert everything() == ["kept", "kept plain", "kept tag"]
        return JsonResponse({"said": said})

    def stream(request):
        Note.objects.bulk_create(Note(text="%05d" % i) for i in range(5000))
        return StreamingHttpResponse((note.text + " " for note in Note.objects.order_by("text").iterator()))

    def stored(request):
        made = tag("kept")
        silver.storm.store("@engine@").flush()
        def lines():
            yield made.text + " "
            try:
                made.text
            except Exception as error:
                yield type(error).__name__ + " "
            yield silver.storm.store("@engine@").find(Tag).one().text
        return StreamingHttpResponse(lines())

    urlpatterns = [path(each.__name__, each) for each in (
        write, look, wipe, see_each_other, savepoints, swallowed, not_here, stream, stored)]

    from django.core.@kind@ import get_@kind@_application
    application = get_@kind@_application()
"""

MANIFEST = "[production]\napp_name = {{name}}\nversion = 1\nrunner = src/runner.py\n{}\n[slots]\n0 = 127.0.0.1:0\n"


def mappers(directory, engine, kind="wsgi", source=MAPPERS):
    source = textwrap.dedent(source).replace("@engine@", engine).replace("@kind@", kind)
    manifest = MANIFEST.format(f"service.{engine} =\n")
    directory = lay_out(directory, "", manifest=manifest, files={"src/runner.py": source})
    (directory / "src/probe.c").unlink()
    return directory


@pytest.fixture(scope="module")
def sites(serve_module, tmp_path_factory):
    """One for each database and interface, for all tests."""
    made = {}

    def site(what):
        engine, kind = what.split("-")
        if engine == "postgres" and not os.path.isdir("/usr/lib/postgresql"):
            pytest.skip("PostgreSQL is not installed")
        if what not in made:
            made[what] = serve_module(mappers(tmp_path_factory.mktemp(what) / "app", engine, kind), "--production")
        return made[what]

    return site


@pytest.fixture(params=["sqlite-wsgi", "sqlite-asgi", "postgres-wsgi"])
def site(request, sites):
    site = sites(request.param)
    assert site.get("/wipe").body == b"empty"
    return site


def everything(site):
    return json.loads(site.get("/look").body)["all"]


def test_mappers_commit_together_or_not_at_all(site):
    assert site.get("/write?name=a").body == b"written"
    there = ["a", "a plain", "a tag"]
    assert everything(site) == there
    for query, status in ("name=b&fail=1", 500), ("name=b&status=404", 404), ("name=b&storm=1", 500), ("name=a", 500):
        assert site.get("/write?" + query).status == status
        assert everything(site) == there
    assert site.get("/write?name=b&kill=1").status == 502
    assert eventually(lambda: site.get("/look").status == 200 and everything(site)) == there
    assert site.get("/write?name=b").status == 200
    assert everything(site) == ["a", "a plain", "a tag", "b", "b plain", "b tag"]
    site.wait_said("after all three wrote")


def test_mappers_see_what_the_others_do(site):
    assert site.get("/see_each_other").body == b"undone" and everything(site) == []


def test_savepoints_of_all(site):
    inside = ["outer", "outer plain", "outer tag", "second", "second plain", "second tag"]
    got = site.get("/savepoints")
    assert got.status == 200 and json.loads(got.body)["all"] == inside
    assert everything(site) == sorted([*inside, "committed"])


def test_what_django_has_doomed_is_not_committed(site):
    assert site.get("/swallowed").status == 500 and everything(site) == []


def test_nobody_ends_it_for_the_others(site):
    got = site.get("/not_here")
    assert got.status == 200, got
    assert json.loads(got.body)["said"] == ["TransactionManagementError"] * 3 + ["RuntimeError"]
    assert everything(site) == ["kept", "kept plain", "kept tag"]


@pytest.mark.parametrize("site", ["sqlite-wsgi", "postgres-wsgi"], indirect=True)  # in ASGI Django refuses it by itself
def test_a_stream_reads_on_after_the_commit(site):
    assert site.get("/stream").body.split() == [b"%05d" % i for i in range(5000)]
    assert len(everything(site)) == 5000
    first, second, third = site.get("/stored").body.decode().split()
    assert (first, third) == ("kept", "kept") and second.endswith("Error")


def test_storm_at_the_same_table(serve, tmp_path):
    """A row that Django makes is Storm's object, and the other way round."""
    source = MAPPERS.replace('"tag"', '"note"')
    extra = '''
    def same(request):
        note = Note.objects.create(text="by django")
        store = silver.storm.store()
        found = store.get(Tag, note.id)
        assert found.text == "by django"
        found.text = "by storm"
        store.flush()
        note.refresh_from_db()
        return HttpResponse(note.text)

    urlpatterns.append(path("same", same))
'''
    source = source.replace("    from django.core.@kind@", extra + "    from django.core.@kind@")
    assert serve(mappers(tmp_path / "app", "sqlite", source=source), "--production").get("/same").body == b"by storm"


# ---- A whole application of Django, with its admin -----------------------------------------------------------------


@pytest.mark.parametrize("kind, engine", [("django", "sqlite"), ("django_asgi", "sqlite"), ("django", "postgres")])
def test_django_with_its_admin(kind, engine, silver, environment, serve, tmp_path):
    if engine == "postgres" and not os.path.isdir("/usr/lib/postgresql"):
        pytest.skip("PostgreSQL is not installed")
    directory = tmp_path / "app"
    shutil.copytree(APPLICATIONS / kind, directory)
    settings = directory / "lib/python/library/settings.py"
    text = settings.read_text().replace("django.db.backends.sqlite3", "silver.django.sqlite")
    settings.write_text(text.replace("django.db.backends.postgresql", "silver.django.postgres"))
    manifest = directory / "app.ini"
    manifest.write_text(manifest.read_text().replace("service.sqlite", f"service.{engine}"))

    def manage(*arguments, **more):
        done = subprocess.run([silver, "run", str(directory), "manage.py", *arguments], env={**environment, **more},
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    manage("migrate", "--verbosity", "0")
    manage("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.org",
           DJANGO_SUPERUSER_PASSWORD="correct horse")
    server = serve(directory)
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))

    def post(path, **fields):
        page = opener.open(server.url + path, timeout=30).read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        request = urllib.request.Request(server.url + path, data, {"Referer": server.url + path})
        return opener.open(request, timeout=30).read().decode()

    assert "Site administration" in post("/admin/login/?next=/admin/", username="ada", password="correct horse")
    assert "was added successfully" in post("/admin/library/book/add/", title="The Sea", author="J. Banville")
    assert json.loads(server.get("/books.json").body) == {"books": [{"title": "The Sea", "author": "J. Banville"}]}
    assert "The Sea" in manage("dumpdata", "library")


def test_what_tests_of_django_do(silver, environment, tmp_path):
    """A test database of its own, with plain Django's transactions; also within one of ours."""
    directory = mappers(tmp_path / "app", "sqlite")
    script = textwrap.dedent("""
        import sys
        import runner
        from django.db import connection
        from django.test import TestCase, TransactionTestCase
        from django.test.utils import get_runner, setup_test_environment
        import silver

        class Plain(TestCase):
            def test_it(self):
                with connection.cursor() as cursor:
                    cursor.execute("CREATE TABLE x (a)")
                    assert connection.settings_dict["NAME"] != silver.config("sqlite_path")
                with silver.transaction():
                    with connection.cursor() as cursor:
                        cursor.execute("INSERT INTO x VALUES (1)")
                    assert not silver.database().execute("SELECT 1 FROM sqlite_master WHERE name = 'x'").fetchone()

        from django.test.runner import DiscoverRunner
        class Runner(DiscoverRunner):
            def build_suite(self, *arguments, **keywords):
                import unittest
                return unittest.defaultTestLoader.loadTestsFromTestCase(Plain)

        sys.exit(Runner(verbosity=0).run_tests([]))
        """)
    (directory / "bin").mkdir()
    (directory / "bin/check.py").write_text(script)
    done = subprocess.run([silver, "run", str(directory), "check"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "OK" in done.stderr, done.stdout + done.stderr
