"""store_peers.py: what bench-store measures, by Python's mappers: Storm, SQLAlchemy and Django's, as Debian packages them.

    store_peers.py DIRECTORY DISK [POSTGRES]

For each line that it reads it does one round of everything and prints a JSON object: what → µs for one, and µs of processor time. The
tables, and the order in which keys are read, are those of bench/store.h; a round is smaller, because it takes longer. The tables in
PostgreSQL are those that bench-store made. A mapper that is not installed is left out."""

import json
import os
import sqlite3
import sys
import time

ROWS, STRIDE, GROUP = 20000, 7919, 100
SOME = 1000  # of what is done one by one
COMMITS = 100
COLUMNS = "(id INTEGER PRIMARY KEY, name TEXT, mail TEXT, number INTEGER, weight REAL)"


def key_at(i):
    return 1 + i * STRIDE % ROWS


def content(i):
    return {"name": f"person number {i:06}", "mail": f"a{i:06}@mail.example", "number": i * 37 % 1000, "weight": i * 0.25}


def row_sum(row):
    return row.id + row.number + int(row.weight * 4) + ord(row.name[19]) + ord(row.mail[6])


def expected(keys):
    return sum(key + key * 37 % 1000 + key + ord(f"{key:06}"[5]) * 2 for key in keys)


KEYS = [key_at(i) for i in range(SOME)]
SUM_OF_KEYS, SUM_OF_ALL = expected(KEYS), expected(range(1, ROWS + 1))


def make_database(path):
    """As bench-store makes its own."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        for table in ("item", "fresh", "edited"):
            database.execute(f"CREATE TABLE {table} {COLUMNS}")
        database.executemany("INSERT INTO item VALUES (:id, :name, :mail, :number, :weight)",
                             ({"id": i, **content(i)} for i in range(1, ROWS + 1)))
        database.execute("INSERT INTO edited SELECT * FROM item")
    database.close()
    return path


class Clock:
    """Takes the time of a block: µs for one, and µs of processor time."""

    def __init__(self, count):
        self.count = count

    def __enter__(self):
        self.begun, self.used = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *failure):
        used, took = time.process_time() - self.used, time.perf_counter() - self.begun
        self.figures = [took / self.count * 1e6, used / self.count * 1e6]


def same(got, wanted):
    if got != wanted:
        raise SystemExit(f"store_peers.py: the rows come to {got}, not to {wanted}")


class Storm:
    name = "Storm"

    def __init__(self, directory, disk, postgres):
        from storm import locals as storm

        class Item:
            __storm_table__ = "item"
            id = storm.Int(primary=True)
            name, mail, number, weight = storm.Unicode(), storm.Unicode(), storm.Int(), storm.Float()

        class Fresh(Item):
            __storm_table__ = "fresh"

        class Edited(Item):
            __storm_table__ = "edited"

        class Entry:
            __storm_table__ = "entry"
            id, item_id = storm.Int(primary=True), storm.Int("item")
            item = storm.Reference(item_id, Item.id)

        self.Item, self.Fresh, self.Edited, self.Entry = Item, Fresh, Edited, Entry

        def opened(url):
            return storm.Store(storm.create_database(url))
        how = "?journal_mode=WAL&synchronous=FULL&foreign_keys=1"
        self.store = opened(f"sqlite:{make_database(f'{directory}/storm.sqlite')}{how}")
        self.disk = opened(f"sqlite:{make_database(f'{disk}/storm.sqlite')}{how}")
        # Its URLs have no place for a directory with a socket: libpq takes that from the environment.
        self.postgres = None
        if postgres:
            os.environ.update(PGHOST=postgres["host"], PGUSER=postgres["user"])
            self.postgres = opened(f"postgres:{postgres['dbname']}")

    @staticmethod
    def end(store):
        store.rollback()
        store.invalidate()

    def get(self):
        with Clock(SOME) as clock:
            total = sum(row_sum(self.store.get(self.Item, key)) for key in KEYS)
        same(total, SUM_OF_KEYS)
        self.end(self.store)
        return clock

    def insert(self):
        self.store.find(self.Fresh).remove()
        with Clock(SOME) as clock:
            for i in range(1, SOME + 1):
                row = self.Fresh()
                for name, value in content(i).items():
                    setattr(row, name, value)
                self.store.add(row)
            self.store.flush()
        same(self.store.find(self.Fresh).count(), SOME)
        self.end(self.store)
        return clock

    def scan(self):
        with Clock(ROWS) as clock:
            total = sum(row_sum(row) for row in self.store.find(self.Item))
        same(total, SUM_OF_ALL)
        self.end(self.store)
        return clock

    def update(self):
        rows = [self.store.get(self.Edited, key) for key in KEYS]
        with Clock(SOME) as clock:
            for row in rows:
                row.number += 1
            self.store.flush()
        self.end(self.store)
        return clock

    def mapped(self):
        kept = [self.store.get(self.Item, key) for key in KEYS]
        with Clock(10 * len(kept)) as clock:
            for _ in range(10):
                for key in KEYS:
                    self.store.get(self.Item, key)
        self.end(self.store)
        return clock

    def durable(self):
        with Clock(COMMITS) as clock:
            for i in range(1, COMMITS + 1):
                row = self.Fresh()
                for name, value in content(i).items():
                    setattr(row, name, value)
                self.disk.add(row)
                self.disk.commit()
        return clock

    def postgres_get(self):
        with Clock(SOME) as clock:
            total = sum(row_sum(self.postgres.get(self.Item, key)) for key in KEYS)
        same(total, SUM_OF_KEYS)
        self.end(self.postgres)
        return clock

    def preload(self):
        total = 0
        self.postgres.execute("SELECT 1")
        with Clock(SOME) as clock:
            for first in range(1, SOME, GROUP):
                entries = list(self.postgres.find(self.Entry, self.Entry.id >= first, self.Entry.id < first + GROUP))
                items = list(self.postgres.find(self.Item, self.Item.id.is_in([entry.item_id for entry in entries])))
                total += sum(row_sum(entry.item) for entry in entries) if items else 0
        same(total, SUM_OF_KEYS)
        self.end(self.postgres)
        return clock


class SQLAlchemy:
    name = "SQLAlchemy"

    def __init__(self, directory, disk, postgres):
        import sqlalchemy as sa
        from sqlalchemy import orm
        base = orm.declarative_base()
        self.orm = orm

        def columns():
            return {"id": sa.Column(sa.Integer, primary_key=True), "name": sa.Column(sa.Text), "mail": sa.Column(sa.Text),
                    "number": sa.Column(sa.Integer), "weight": sa.Column(sa.Float)}
        self.Item, self.Fresh, self.Edited = (type(table.capitalize(), (base,), {"__tablename__": table, **columns()})
                                              for table in ("item", "fresh", "edited"))

        class Entry(base):
            __tablename__ = "entry"
            id = sa.Column(sa.Integer, primary_key=True)
            item_id = sa.Column("item", sa.Integer, sa.ForeignKey("item.id"))
            item = orm.relationship("Item")

        self.Entry = Entry

        def sqlite(folder):
            path = make_database(f"{folder}/sqlalchemy.sqlite")
            engine = sa.create_engine(f"sqlite:///{path}")

            @sa.event.listens_for(engine, "connect")
            def _(connection, _):
                connection.isolation_level = None  # else Python's driver begins no transaction to read
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")

            @sa.event.listens_for(engine, "begin")
            def _(connection):
                connection.exec_driver_sql("BEGIN")
            return engine
        self.memory, self.disk = sqlite(directory), sqlite(disk)
        if postgres:
            self.postgres = sa.create_engine(sa.engine.URL.create(
                "postgresql+psycopg2", username=postgres["user"], database=postgres["dbname"], query={"host": postgres["host"]}))

    def session(self, engine):
        return self.orm.Session(engine)

    def get_from(self, engine):
        with self.session(engine) as session:
            session.connection()
            with Clock(SOME) as clock:
                total = sum(row_sum(session.get(self.Item, key)) for key in KEYS)
            same(total, SUM_OF_KEYS)
        return clock

    def get(self):
        return self.get_from(self.memory)

    def insert(self):
        with self.session(self.memory) as session:
            session.query(self.Fresh).delete()
            with Clock(SOME) as clock:
                for i in range(1, SOME + 1):
                    session.add(self.Fresh(**content(i)))
                session.flush()
            same(session.query(self.Fresh).count(), SOME)
        return clock

    def scan(self):
        with self.session(self.memory) as session:
            session.connection()
            with Clock(ROWS) as clock:
                total = sum(row_sum(row) for row in session.query(self.Item).yield_per(1000))
            same(total, SUM_OF_ALL)
        return clock

    def update(self):
        with self.session(self.memory) as session:
            rows = [session.get(self.Edited, key) for key in KEYS]
            with Clock(SOME) as clock:
                for row in rows:
                    row.number += 1
                session.flush()
        return clock

    def mapped(self):
        with self.session(self.memory) as session:
            kept = [session.get(self.Item, key) for key in KEYS]
            with Clock(10 * len(kept)) as clock:
                for _ in range(10):
                    for key in KEYS:
                        session.get(self.Item, key)
        return clock

    def durable(self):
        with self.session(self.disk) as session:
            with Clock(COMMITS) as clock:
                for i in range(1, COMMITS + 1):
                    session.add(self.Fresh(**content(i)))
                    session.commit()
        return clock

    def postgres_get(self):
        return self.get_from(self.postgres)

    def preload(self):
        total = 0
        with self.session(self.postgres) as session:
            session.connection()
            with Clock(SOME) as clock:
                for first in range(1, SOME, GROUP):
                    entries = session.query(self.Entry).filter(self.Entry.id >= first, self.Entry.id < first + GROUP)
                    total += sum(row_sum(entry.item) for entry in entries.options(self.orm.selectinload(self.Entry.item)))
            same(total, SUM_OF_KEYS)
        return clock


class Django:
    """It has no identity map and no unit of work: each object is saved by itself, and there is no row for `mapped`."""
    name = "Django"

    def __init__(self, directory, disk, postgres):
        import django
        from django.conf import settings
        databases = {name: {"ENGINE": "django.db.backends.sqlite3", "NAME": make_database(f"{folder}/django.sqlite")}
                     for name, folder in (("default", directory), ("disk", disk))}
        if postgres:
            databases["postgres"] = {"ENGINE": "django.db.backends.postgresql", "NAME": postgres["dbname"], "USER": postgres["user"],
                                     "HOST": postgres["host"], "CONN_MAX_AGE": None}
        settings.configure(DATABASES=databases, INSTALLED_APPS=[], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
        django.setup()
        from django.db import connections, models, transaction
        self.transaction = transaction

        def model(table, fields):
            meta = type("Meta", (), {"app_label": "bench", "db_table": table, "managed": False})
            return type(table.capitalize(), (models.Model,), {"__module__": __name__, "Meta": meta, **fields})

        def columns():
            return {"id": models.BigAutoField(primary_key=True), "name": models.TextField(), "mail": models.TextField(),
                    "number": models.BigIntegerField(), "weight": models.FloatField()}
        self.Item, self.Fresh, self.Edited = (model(table, columns()) for table in ("item", "fresh", "edited"))
        self.Entry = model("entry", {"id": models.BigAutoField(primary_key=True),
                                     "item": models.ForeignKey(self.Item, models.CASCADE, db_column="item")})
        for name in ("default", "disk"):
            with connections[name].cursor() as cursor:
                cursor.execute("PRAGMA synchronous = FULL")

    def get_from(self, database):
        with self.transaction.atomic(database):
            found = self.Item.objects.using(database)
            with Clock(SOME) as clock:
                total = sum(row_sum(found.get(pk=key)) for key in KEYS)
        same(total, SUM_OF_KEYS)
        return clock

    def get(self):
        return self.get_from("default")

    def insert(self):
        with self.transaction.atomic():
            self.Fresh.objects.all().delete()
            with Clock(SOME) as clock:
                for i in range(1, SOME + 1):
                    self.Fresh(**content(i)).save(force_insert=True)
            same(self.Fresh.objects.count(), SOME)
        return clock

    def scan(self):
        with self.transaction.atomic(), Clock(ROWS) as clock:
            total = sum(row_sum(row) for row in self.Item.objects.iterator())
        same(total, SUM_OF_ALL)
        return clock

    def update(self):
        with self.transaction.atomic():
            rows = [self.Edited.objects.get(pk=key) for key in KEYS]
            with Clock(SOME) as clock:
                for row in rows:
                    row.number += 1
                    row.save(update_fields=["number"])
        return clock

    def durable(self):
        with Clock(COMMITS) as clock:
            for i in range(1, COMMITS + 1):
                self.Fresh(**content(i)).save(using="disk", force_insert=True)
        return clock

    def postgres_get(self):
        return self.get_from("postgres")

    def preload(self):
        total = 0
        with self.transaction.atomic("postgres"), Clock(SOME) as clock:
            for first in range(1, SOME, GROUP):
                entries = self.Entry.objects.using("postgres").filter(id__gte=first, id__lt=first + GROUP)
                total += sum(row_sum(entry.item) for entry in entries.prefetch_related("item"))
        same(total, SUM_OF_KEYS)
        return clock


PARTS = ["get", "insert", "scan", "update", "mapped", "durable"]


def main():
    directory, disk = sys.argv[1:3]
    # "host=… user=… dbname=…", as bench/run says it
    postgres = dict(part.split("=", 1) for part in sys.argv[3].split()) if len(sys.argv) > 3 else None
    mappers, parts = None, PARTS + (["postgres_get", "preload"] if postgres else [])
    for _ in sys.stdin:
        if mappers is None:  # now the tables are there
            mappers = []
            for mapper in (Storm, SQLAlchemy, Django):
                try:
                    mappers.append(mapper(directory, disk, postgres))
                except ImportError as missing:
                    print(f"store_peers.py: {mapper.name} is left out: {missing}", file=sys.stderr)
        print(json.dumps({f"{part.replace('_', ' ')}, {mapper.name}": getattr(mapper, part)().figures
                          for part in parts for mapper in mappers if hasattr(mapper, part)}), flush=True)


if __name__ == "__main__":
    main()
