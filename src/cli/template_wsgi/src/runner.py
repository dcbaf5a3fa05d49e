"""@NAME@: a guest book. Its entries are lines of JSON in one file, its pages are files of templates/."""

import json
import os
from pathlib import Path

from little import Application, Refusal, Template

AUTHOR_MAX, TEXT_MAX = 64, 1000

application = Application()
page, signed = Template("index.html"), Template("entry.html")


def book():
    return Path(os.environ["CONFIG_FILES"]) / "entries.jsonl"


def entries():
    """Newest first."""
    if not book().exists():
        return []  # nobody has signed yet
    with book().open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines][::-1]


def complaint_about(author, text):
    """Why this cannot stand in the book, for who wrote it; empty if it can."""
    if not author or not text:
        return "Please give your name and a few words."
    if len(author) > AUTHOR_MAX or len(text) > TEXT_MAX:
        return f"A name may have {AUTHOR_MAX} characters, and an entry {TEXT_MAX}."
    return ""


@application.get("/")
def index(request, author="", text="", complaint=""):
    return page(author=author, text=text, complaint=complaint, entries=[signed(**entry) for entry in entries()])


@application.post("/")
def sign(request):
    author, text = request.form.get("author", "").strip(), request.form.get("text", "").strip()
    complaint = complaint_about(author, text)
    if complaint:
        return 422, index(request, author, text, complaint)
    with book().open("a", encoding="utf-8") as lines:  # at the end, whoever else writes
        lines.write(json.dumps({"author": author, "text": text}) + "\n")
    return 303, "/"


@application.get("/by/{author}")
def by(request, author):
    found = [signed(**entry) for entry in entries() if entry["author"] == author]
    if not found:
        raise Refusal(404, f"{author} has not signed.")
    return Template("author.html")(author=author, entries=found)
