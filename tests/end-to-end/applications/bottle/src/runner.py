"""A guest book with Bottle: routes, forms, cookies, uploads, files, errors."""
import io
import pathlib

import bottle

HERE = pathlib.Path(__file__).resolve().parent.parent
application = bottle.Bottle()
entries = []


@application.get("/")
def front():
    return bottle.template(
        """<!doctype html><title>Guest book</title><h1>Guest book</h1>
        <ul>{{!"".join("<li>" + bottle.html_escape(entry) + "</li>" for entry in entries)}}</ul>
        <form method=post action=/sign><input name=words><button>Sign</button></form>""",
        entries=entries, bottle=bottle)


@application.post("/sign")
def sign():
    entries.append(bottle.request.forms.getunicode("words"))
    bottle.response.set_cookie("signed", "yes", secret="not so secret")
    bottle.redirect("/")


@application.get("/signed")
def signed():
    return {"signed": bottle.request.get_cookie("signed", secret="not so secret")}


@application.post("/upload")
def upload():
    sent = bottle.request.files.get("file")
    return {"name": sent.raw_filename, "size": len(sent.file.read()), "note": bottle.request.forms.get("note")}


@application.get("/source")
def source():
    return bottle.static_file("runner.py", root=HERE / "src", mimetype="text/x-python")


@application.get("/count/<number:int>")
def count(number):
    bottle.response.content_type = "text/plain"
    return (f"{i}\n" for i in range(number))


@application.get("/file")
def wrapped():
    wrapper = bottle.request.environ["wsgi.file_wrapper"]
    return wrapper(io.BytesIO(b"wrapped " * 1000))


@application.error(404)
def missing(error):
    return "nothing called " + bottle.html_escape(bottle.request.path)
