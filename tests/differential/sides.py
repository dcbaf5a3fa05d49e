"""The two programs that carry out sequences, and their databases: copies of one."""

import datetime
import decimal
import json
import os
import pathlib
import select
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

import world

HERE = pathlib.Path(__file__).resolve().parent
STORM = [sys.executable, str(HERE / "storm_side.py")]
PATIENCE = 60  # seconds for one sequence


class Program:
    """A side's process, which is started again when it has died."""

    def __init__(self, name, command):
        self.name, self.command, self.process = name, command, None
        self.log = tempfile.TemporaryFile()

    def start(self):
        self.log.seek(0)
        self.log.truncate()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.pending = b""

    def send(self, url, sequence):
        """All of a sequence: the program reads it to its end before it does anything."""
        if self.process is None:
            self.start()
        lines = [{"open": url, "database": sequence["database"]}, *sequence["ops"], {"end": True}]
        self.wanted = len(sequence["ops"])
        try:
            self.process.stdin.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `receive` finds out why

    def receive(self):
        """Its results, in order; what it did not answer is {"dead": its last words}."""
        results, deadline = [], time.monotonic() + PATIENCE
        while len(results) < self.wanted:
            line = self.line(deadline)
            if line is None:
                words = self.end()
                results += [{"dead": words}] * (self.wanted - len(results))
            else:
                results.append(json.loads(line))
        return results

    def line(self, deadline):
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self.pending:
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            more = os.read(descriptor, 1 << 16) if ready else b""
            if not more:
                return None
            self.pending += more
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def end(self):
        """Ends it, and gives its last words."""
        process, self.process = self.process, None
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            process.wait(2)
            how = f"ended with status {process.returncode}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            how = f"gave no answer within {PATIENCE} s"
        process.stdout.close()
        self.log.seek(0)
        words = self.log.read().decode(errors="replace")[-6000:]
        return f"{self.name} {how}\n{words}"

    def close(self):
        """Whether it ended well; it looks for leaks then."""
        if self.process is None:
            return None
        words = self.end()
        return None if "status 0" in words.partition("\n")[0] else words


# ---- Databases -------------------------------------------------------------------------------------------------------


def inserts(sequence, mark):
    for model, row in world.rows_in_order(sequence["initial"]):
        names = ", ".join(f'"{name}"' for name in row)
        values = tuple(world.decoded(world.COLUMNS[model][name].kind, value) for name, value in row.items())
        yield f'INSERT INTO "{model}" ({names}) VALUES ({", ".join([mark] * len(row))})', values


def plain(value):
    """As both drivers would give it, for comparing."""
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (datetime.date, decimal.Decimal)):
        return str(value)
    return value


class SQLite:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="silver-differential-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.empty = self.path("empty")
        connection = sqlite3.connect(self.empty)
        for statement in world.schema("sqlite"):
            connection.execute(statement)
        connection.commit()
        connection.close()

    def path(self, name):
        return f"{self.directory}/{name}.sqlite"

    def prepare(self, sequence, names):
        for name in names:
            for suffix in ("", "-wal", "-shm", "-journal"):
                pathlib.Path(self.path(name) + suffix).unlink(missing_ok=True)
        shutil.copyfile(self.empty, self.path(names[0]))
        connection = sqlite3.connect(self.path(names[0]))
        connection.execute("PRAGMA foreign_keys = ON")
        for statement, values in inserts(sequence, "?"):
            connection.execute(statement, values)
        connection.commit()
        connection.close()
        for name in names[1:]:
            shutil.copyfile(self.path(names[0]), self.path(name))

    def url(self, name):
        return "sqlite:" + self.path(name)

    def dump(self, name):
        connection = sqlite3.connect(self.path(name))
        tables = {}
        for model, columns in world.MODELS.items():
            wanted = ", ".join(f'typeof("{c.name}"), "{c.name}"' for c in columns)
            keys = ", ".join(f'"{key}"' for key in world.KEYS[model])
            tables[model] = [[plain(value) for value in row] for row in connection.execute(f'SELECT {wanted} FROM "{model}" ORDER BY {keys}')]
        connection.close()
        return tables

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class Postgres:
    def __init__(self, server, number=0):
        import psycopg2

        self.server, self.number = server, number
        self.connections = {}
        self.connect = lambda name: psycopg2.connect(host=server.directory, user="silver", dbname=name)

    def name(self, name):
        return f"{name}{self.number}"

    def connection(self, name):
        if name not in self.connections:
            administrator = self.connect("postgres")
            administrator.autocommit = True
            administrator.cursor().execute(f'CREATE DATABASE "{self.name(name)}"')
            administrator.close()
            self.connections[name] = self.connect(self.name(name))
            cursor = self.connections[name].cursor()
            for statement in world.schema("postgres"):
                cursor.execute(statement)
            self.connections[name].commit()
        return self.connections[name]

    def prepare(self, sequence, names):
        for name in names:
            connection = self.connection(name)
            connection.rollback()  # what a sequence that could not be prepared has left
            cursor = connection.cursor()
            cursor.execute("TRUNCATE " + ", ".join(f'"{model}"' for model in world.MODELS))
            for statement, values in inserts(sequence, "%s"):
                cursor.execute(statement, values)
            for statement in world.given_key_statements():
                cursor.execute(statement)
            connection.commit()

    def url(self, name):
        return self.server.url(self.name(name))

    def dump(self, name):
        cursor = self.connection(name).cursor()
        tables = {}
        for model, columns in world.MODELS.items():
            wanted = ", ".join(f'"{c.name}"' for c in columns)
            cursor.execute(f'SELECT {wanted} FROM "{model}" ORDER BY ' + ", ".join(f'"{key}"' for key in world.KEYS[model]))
            tables[model] = [[plain(value) for value in row] for row in cursor.fetchall()]
        self.connection(name).rollback()
        return tables

    def close(self):
        for connection in self.connections.values():
            connection.close()
