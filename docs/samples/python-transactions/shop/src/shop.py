"""The shop's tables, and what is on its shelves: Storm's part, and plain SQL."""

import silver
from storm.locals import Int, Unicode

TABLES = """
    CREATE TABLE IF NOT EXISTS book (id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, stock INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS "order" (id INTEGER PRIMARY KEY, book_id INTEGER NOT NULL REFERENCES book, buyer TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS journal (id INTEGER PRIMARY KEY, line TEXT NOT NULL);
"""


class Book:
    __storm_table__ = "book"
    id = Int(primary=True)
    title = Unicode()
    stock = Int()


class SoldOut(Exception):
    pass


def book_of(title):
    return silver.storm.store().find(Book, title=title).one()


def take(book):
    """From the shelf."""
    if book.stock == 0:
        raise SoldOut(book.title)
    book.stock -= 1


def put(title, count):
    """On the shelf."""
    book = book_of(title)
    if book is None:
        book = Book()
        book.title, book.stock = title, 0
        silver.storm.store().add(book)
    book.stock += count


def write_down(line):
    """Into the journal."""
    silver.database().execute("INSERT INTO journal (line) VALUES (?)", (line,))
