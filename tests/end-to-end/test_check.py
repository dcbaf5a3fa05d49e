"""`silver check`: each complaint says where and what to do."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import HELLO

GOOD = "[production]\napp_name = probe\nversion = 1\nrunner = src/probe.c\n\n[slots]\n0 = 127.0.0.1:8080\n"


def test_all_is_well(command, app):
    done = command("check", app())
    assert done.returncode == 0
    assert done.stdout == "probe: all is well\n"
    assert done.stderr == ""


def test_well_with_warnings(command, app):
    one = 'static void unused(void)\n{\n}\n'
    told = command("check", app(HELLO + one)).stdout
    assert told.startswith("probe: well, with 1 warning\n") and "src/probe.c:" in told
    told = command("check", app(HELLO + one + one.replace("unused", "useless"), directory="more")).stdout
    assert told.startswith("probe: well, with 2 warnings\n")


@pytest.mark.parametrize("argument", ["5", "&one"])  # as the newer compilers have it by themselves
def test_an_argument_of_the_wrong_type_does_not_compile(command, app, argument):
    wrong = f"const char *name(int one);\nconst char *name(int one)\n{{\n    return sl_strdup({argument});\n}}\n"
    done = command("check", app(HELLO + wrong))
    assert done.returncode == 1 and re.search(r"^src/probe.c:\d+:\d+: SL0130: .*sl_strdup", done.stdout, re.M)


@pytest.fixture
def another(silver, tmp_path):
    """A build of our own: the command, its library and the headers."""
    build = tmp_path / "another" / "build"
    build.mkdir(parents=True)
    for file in pathlib.Path(silver).parent.glob("*"):
        if file.is_file() and (file.name == "silver" or file.name.startswith("libsilver.so")):
            shutil.copy(file, build)
    include = pathlib.Path(silver).parent.parent / "include"
    if not include.is_dir():
        pytest.skip("an installed command")
    shutil.copytree(include, tmp_path / "another" / "include")
    return build.parent


@pytest.mark.parametrize("header", ["core", "model", "store"])
def test_what_other_headers_made_is_made_anew(another, environment, app, tmp_path, header):
    """A structure in them may be another: what was compiled for the old one would crash."""
    directory = app()

    def objects():
        done = subprocess.run([another / "build" / "silver", "check", directory], capture_output=True, text=True, timeout=60,
                              env={**environment, "XDG_CACHE_HOME": str(tmp_path / "cache")})
        assert done.stdout == "probe: all is well\n", done.stderr
        return {file.name for file in (tmp_path / "cache").rglob("*.o")}

    before = objects()
    assert objects() == before
    with open(another / "include" / "silver" / f"{header}.h", "a") as file:
        file.write("/* another */\n")
    assert objects() > before


@pytest.mark.parametrize("source", ["int nothing;\n", "void sl_application(void);\nvoid *f(void) { return sl_application; }\n",
                                    "static void sl_application(void) {}\nvoid *f(void) { return sl_application; }\n"])
def test_no_entry(command, app, source):
    done = command("check", app(source))
    assert done.returncode == 1
    assert "src/probe.c:" in done.stdout and ("SL_APPLICATION" in done.stdout or "undefined reference" in done.stdout)
    assert "all is well" not in done.stdout


def test_the_current_directory_is_the_default(command, app):
    assert command("check", cwd=app()).returncode == 0


@pytest.mark.parametrize("manifest, line, said", [
    (GOOD.replace("version", "versoin"), 3, ["versoin", "version"]),
    (GOOD + "0 = 127.0.0.1:8081\n", 8, ["slot 0", "twice"]),
    (GOOD + "1 = 127.0.0.1:8080\n", 8, ["slot 1", "slot 0"]),
    (GOOD + "1 = nowhere\n", 8, ["nowhere"]),
    (GOOD + "one = 127.0.0.1:8081\n", 8, ["one"]),
    (GOOD.replace("version = 1\n", "version = 1\nversion = 2\n"), 4, ["version", "twice"]),
    (GOOD + "[limits]\nbody_size = plenty\n", 9, ["body_size", "plenty"]),
    (GOOD + "[limits]\nbody_size = 0\n", 9, ["body_size"]),
    (GOOD + "[limits]\nbody_size = -1\n", 9, ["body_size"]),
    (GOOD + "[limits]\nbodysize = 1\n", 9, ["bodysize", "body_size"]),
    (GOOD + "[limit]\n", 8, ["[limit]"]),
    (GOOD + "[log]\naccess = loud\n", 9, ["loud", "combined"]),
    (GOOD + "[log\n", 8, ["]"]),
    (GOOD + "what is this\n", 8, []),
    ("app_name = probe\n" + GOOD, 1, ["app_name"]),
    (GOOD.replace("app_name = probe\n", ""), 1, ["app_name"]),
    (GOOD.replace("src/probe.c", "probe.txt"), 4, ["runner", "probe.txt"]),
    (GOOD.replace("src/probe.c", "../probe.c"), 4, ["runner"]),
    (GOOD.replace("app_name = probe", "app_name = a b"), 2, ["app_name"]),
], ids=lambda value: None if isinstance(value, (int, list)) else re.sub(r"\W+", "_", value[-30:]).strip("_"))
def test_a_manifest_with_a_mistake(command, app, manifest, line, said):
    directory = app()
    (directory / "app.ini").write_text(manifest)
    done = command("check", directory)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert re.search(rf"app\.ini:{line}\b", told), told
    for words in said:
        assert words in told


def test_everything_is_told_at_once(command, app):
    directory = app()
    (directory / "app.ini").write_text(GOOD.replace("version", "versoin") + "[limits]\nbody_size = plenty\n")
    told = command("check", directory).stdout
    assert re.search(r"app\.ini:3\b", told) and re.search(r"app\.ini:9\b", told)


def test_no_manifest_and_no_directory(command, tmp_path):
    done = command("check", tmp_path)
    assert done.returncode == 1 and "app.ini" in done.stdout + done.stderr
    done = command("check", tmp_path / "nothing")
    assert done.returncode == 1 and str(tmp_path / "nothing") in done.stdout + done.stderr


def test_a_file_in_the_directorys_place(command, app):
    directory = app()
    told = command("check", directory / "app.ini").stdout
    assert f"{directory}/app.ini: SL0121: is a file" in told and f"it is in: {directory}/\n" in told
    told = command("serve", directory / "src" / "probe.c").stderr
    assert f"{directory}/src/probe.c: SL0121: is a file" in told and "init" not in told
    (directory / "app.ini").unlink()
    (directory / "app.ini").mkdir()
    told = command("check", directory).stdout
    assert f"{directory}/app.ini: SL0101: cannot be read: Is a directory\n" in told


def test_a_source_that_is_not_there(command, app):
    directory = app()
    (directory / "app.ini").write_text(GOOD)
    (directory / "src/probe.c").unlink()
    done = command("check", directory)
    assert done.returncode == 1
    assert "src/probe.c" in done.stdout
    assert f"{directory}/app.ini:4: SL0120: " in done.stdout


def test_what_the_build_needs_is_not_there(command, app):
    directory = app()
    (directory / "app.ini").write_text(GOOD)
    told = command("check", directory, env={"CC": "nocc -O3"}).stdout
    assert told.startswith(f"{directory}/app.ini:4: SL0131: there is no `nocc`")
    assert "CC says `nocc -O3`" in told and "apt install" not in told
    (directory / "app.ini").write_text(GOOD.replace("[slots]", "libraries = jansson no-such-thing\n[slots]"))
    told = command("check", directory).stdout
    assert f"{directory}/app.ini:6: SL0131: pkg-config does not know the library `no-such-thing`" in told


def test_a_source_that_does_not_compile(command, app):
    source = HELLO.replace('"hello\\n"', "helo_is_not_declared")
    line = 1 + source[:source.index("helo_is_not_declared")].count("\n")
    done = command("check", app(source))
    assert done.returncode == 1
    assert re.search(rf"src/probe\.c:{line}\b", done.stdout), done.stdout
    assert "helo_is_not_declared" in done.stdout


def test_a_file_where_a_directory_belongs(command, app):
    directory = app()
    (directory / "static").write_text("not a directory")
    done = command("check", directory)
    assert done.returncode == 1 and "static" in done.stdout


def test_complaints_for_programs(command, app):
    good = command("check", app(), "--json")
    assert good.returncode == 0 and json.loads(good.stdout)["ok"] is True
    directory = app(directory="other")
    (directory / "app.ini").write_text(GOOD.replace("version", "versoin"))
    bad = command("check", directory, "--json")
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert told["ok"] is False
    assert [complaint["line"] for complaint in told["complaints"]] == [3]
    assert told["complaints"][0]["file"].endswith("app.ini") and told["complaints"][0]["hint"]


def test_checking_changes_nothing(command, app):
    directory = app()
    before = sorted(str(path) for path in directory.rglob("*"))
    assert command("check", directory).returncode == 0
    assert sorted(str(path) for path in directory.rglob("*")) == before


@pytest.mark.parametrize("text, line, column, said", [
    ("<p>{{ room }\n", 1, 12, "was expected"),
    ("<ul>\n  {% for room in rooms %}\n</ul>\n", 2, 3, 'this "for" has no {% end %}'),
    ("<p>\n{% fro room in rooms %}{% end %}", 2, 4, 'no tag "fro"'),
    ("{% if a %}{% for b in c %}{% block d %}\n{% include \"gone.html\" %}{% end %}{% end %}{% end %}", 2, 1, '"gone.html" cannot be read'),
    ("{% extends \"gone.html\" %}", 1, 1, '"gone.html" cannot be read'),
], ids=["print", "end", "tag", "include", "extends"])
def test_a_template_with_a_mistake(command, app, text, line, column, said):
    directory = app(files={"templates/base.html": "fine: {% include \"sub/wrong.html\" %}", "templates/sub/wrong.html": text,
                           "templates/sub/.wrong.html.swp": text, "templates/wrong.html~": text})
    done = command("check", directory)
    assert done.returncode == 1
    assert f"templates/sub/wrong.html:{line}:{column}: SL0140: " in done.stdout and said in done.stdout
    assert done.stdout.count("SL0140") == 1
    complaint, = json.loads(command("check", directory, "--json").stdout)["complaints"]
    assert (complaint["number"], complaint["file"]) == ("SL0140", "templates/sub/wrong.html")
    assert (complaint["line"], complaint["column"]) == (line, column) and said in complaint["message"]


def test_a_template_that_cannot_be_read(command, app):
    told = command("check", app(files={"templates/page.html": b"\xff"})).stdout
    assert "templates/page.html: SL0140: " in told and "not UTF-8" in told


def test_templates_that_are_right(command, app):
    files = {"templates/base.html": "{% block a %}{% end %}", "templates/sub/page.html": "{% extends \"base.html\" %}{% block a %}b{% end %}"}
    assert command("check", app(files=files)).returncode == 0


# ---- Patches and models ------------------------------------------------------------------------------------------

KEEPS = """
#include <silver/silver.h>
#define NOTE(F) F(id, integer, SL_PRIMARY_KEY) F(text, text, SL_REQUIRED)
SL_MODEL(note, NOTE, .store = "sqlite");
static void in_c(void) {}
SL_APPLICATION(app) { sl_models(note_model); PATCHES }
"""
STORES = "service.sqlite =\nservice.sqlite.old-notes =\n"


def keeping(app, *services, patches="", **files):
    manifest = f"[production]\napp_name = {{name}}\nrunner = src/{{name}}.c\n{''.join(services)}[slots]\n0 = 127.0.0.1:0\n"
    return app(source=KEEPS.replace("PATCHES", patches), manifest=manifest,
               files={f"schema/{name.replace('__', '-').replace('_sql', '.sql')}": text for name, text in files.items()})


def complaints(command, directory):
    told = json.loads(command("check", directory, "--json").stdout)["complaints"]
    return [(one["number"], one["file"], one["line"], one["message"]) for one in told]


def test_patches_are_checked_without_a_database(command, app):
    directory = keeping(app, STORES, **{
        "001__a_sql": "-- store: sqlite\nSELECT 1;\n\nCOMMIT;", "002__b_sql": "SELECT 'it", "002__c_sql": "-- store: nope\n",
        "004__d_sql": "-- store: old-notes\nSELECT 1", "5__e_sql": ""})
    assert complaints(command, directory) == [
        ("SL0150", "schema/5-e.sql", 0, "is not called NNN-what-it-does.sql")]
    (directory / "schema/5-e.sql").rename(directory / "schema/005-e.postgres.sql")
    (directory / "schema/005-e.postgres.sql").write_text("-- store: old-notes\n")
    told = complaints(command, directory)
    assert {number for number, *_ in told} == {"SL0150"}
    said = [(file, line) for _, file, line, _ in told]
    assert ("schema/001-a.sql", 4) in said and ("schema/002-b.sql", 1) in said
    text = "\n".join(f"{file} {message}" for _, file, _, message in told)
    assert "schema/002-b.sql and schema/002-c.sql have one number" in text
    assert "schema there is no patch 3, but schema/004-d.sql" in text
    assert "schema/002-b.sql does not say for which store it is" in text
    assert "schema/005-e.postgres.sql has no file beside it for the store old-notes" in text
    assert not (directory / "data").exists()


def test_patches_in_c_may_fill_the_gaps(command, app):
    files = {"001__a_sql": "SELECT 1", "003__b_sql": "SELECT 1"}
    assert complaints(command, keeping(app, "service.sqlite =\n", patches='sl_patch(2, "c", in_c);', **files)) == []
    directory = keeping(app, "service.sqlite =\n", **{**files, "004__c_sql": "-- caf\udce9".encode("utf-8", "surrogateescape")})
    assert complaints(command, directory) == [("SL0150", "schema/004-c.sql", 0, "is not UTF-8 text")]


def test_models_without_a_database(command, app):
    (number, file, _, message), = complaints(command, keeping(app))
    assert (number, file) == ("SL0151", "src/probe.c") and message == "the application keeps models, and has no database"
    directory = app(files={"schema/001-a.sql": "SELECT 1"}, directory="other")
    assert complaints(command, directory) == [("SL0150", "schema/001-a.sql", 0, "is a patch, and the application has no database")]


def test_what_is_right_about_patches(command, app):
    directory = keeping(app, STORES, **{"001__a_sql": "-- store: sqlite\nSELECT 1;", "002__b_sql": "-- store: old-notes\nSELECT 1;"})
    done = command("check", directory)
    assert done.returncode == 0, done.stdout
