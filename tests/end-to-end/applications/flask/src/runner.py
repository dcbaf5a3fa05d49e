"""Notes with Flask: templates, sessions, JSON, streams, errors, logging."""
import flask

app = flask.Flask(__name__, template_folder="../templates", static_folder=None)
app.secret_key = "for tests"
notes = []


@app.route("/", methods=["GET", "POST"])
def front():
    if flask.request.method == "POST":
        notes.append(flask.request.form["note"])
        flask.session["count"] = flask.session.get("count", 0) + 1
        flask.flash("Kept.")
        return flask.redirect(flask.url_for("front"))
    return flask.render_template("notes.html", notes=notes, count=flask.session.get("count", 0))


@app.route("/api/notes", methods=["GET", "POST"])
def api():
    if flask.request.method == "POST":
        notes.append(flask.request.get_json()["note"])
    return flask.jsonify(notes=notes)


@app.route("/stream")
def stream():
    @flask.stream_with_context
    def lines():
        for i in range(int(flask.request.args["lines"])):
            yield f"line {i}\n"

    return flask.Response(lines(), mimetype="text/plain")


@app.route("/hello/<name>")
def hello(name):
    app.logger.warning("greeting %s", name)
    return f"Hello {name}, from {flask.request.url}"


@app.route("/wrong")
def wrong():
    raise LookupError("a mistake in the application")


application = app
