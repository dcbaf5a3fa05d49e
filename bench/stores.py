"""stores.py: the part `store` of bench/run: objects in SQLite and PostgreSQL beside the drivers in C and Python's mappers."""

import contextlib
import glob
import json
import os
import pwd
import shutil
import statistics
import subprocess
import tempfile

import measure

BENCH = os.path.dirname(os.path.abspath(__file__))
ROUNDS_OF_OURS = 3  # while Python's mappers, which take a hundred times as long, do one

# Title → what is measured, who does it (the first is what the others are measured by), unit of the figures
BY_PROCESSOR = {
    "SQLite: a row by its key, in one transaction": ("get", ["raw C", "silver", "Storm", "SQLAlchemy", "Django"]),
    "SQLite: a row inserted, in one transaction": ("insert", ["raw C", "silver", "Storm", "SQLAlchemy", "Django"]),
    "SQLite: all rows read, for each": ("scan", ["raw C", "silver", "Storm", "SQLAlchemy", "Django"]),
    "SQLite: a column of a row changed, in one transaction": ("update", ["raw C", "silver", "Storm", "SQLAlchemy", "Django"]),
    "An object that the transaction has already": ("mapped", ["silver", "Storm", "SQLAlchemy"]),
}
BY_RATE = {
    "SQLite on the disk: a transaction of one row (ours: 100 tasks)": ("durable", ["raw C", "silver", "Storm", "SQLAlchemy", "Django"]),
    "PostgreSQL: a row by its key, on one connection (ours: 100 tasks)": ("postgres get", ["libpq", "silver", "Storm", "SQLAlchemy",
                                                                                     "Django"]),
    "PostgreSQL: 100 rows and what they refer to, for each": ("preload", ["libpq pipelined", "libpq ANY", "silver", "Storm",
                                                                         "SQLAlchemy", "Django"]),
}


def programs_of_postgres():
    """The newest that Debian has installed, or None."""
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    return os.path.dirname(max(found, key=lambda path: int(path.split("/")[4]))) if found else None


def somebody():
    """PostgreSQL refuses to be root: then it is Debian's user for it, or nobody."""
    if os.getuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise measure.Failed("PostgreSQL does not run as root, and there is no user postgres or nobody")


@contextlib.contextmanager
def own_postgres():
    """A server of our own on a Unix socket, with an empty database: gives its URL."""
    programs, user = programs_of_postgres(), somebody()
    directory = tempfile.mkdtemp(prefix="silver-bench-postgres-")
    if user:
        os.chown(directory, user["user"], user["group"])
    data, server = os.path.join(directory, "data"), None
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": directory, **user}

    def run(program, *options):
        done = subprocess.run([os.path.join(programs, program), *options], check=False, **quiet)
        if done.returncode != 0:
            raise measure.Failed(f"{program} of PostgreSQL ended with status {done.returncode}: {done.stdout.strip()}")
    try:
        run("initdb", "-D", data, "-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C", "--no-sync")
        options = f"-k {directory} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "start", "-w", "-D", data, "-l", os.path.join(directory, "log"), "-o", options)
        server = True
        run("createdb", "-h", directory, "-U", "bench", "bench")
        yield f"host={directory} user=bench dbname=bench"
    finally:
        if server:
            run("pg_ctl", "stop", "-m", "immediate", "-D", data)
        shutil.rmtree(directory, ignore_errors=True)


class Stores:
    def __init__(self, build, report, rounds):
        self.build, self.report, self.rounds = build, report, rounds

    def programs(self, stack, memory, disk):
        where = [memory, disk]
        if programs_of_postgres():
            where.append(stack.enter_context(own_postgres()))
        else:
            self.report.note("PostgreSQL is not installed (Debian package postgresql): only SQLite is measured")
        return [[os.path.join(self.build, "bench/bench-store"), *where], ["/usr/bin/python3", os.path.join(BENCH, "store_peers.py"), *where]]

    def measure(self):
        """Name → samples of µs, of µs of processor time and, for ours, of allocations."""
        samples = {}
        with contextlib.ExitStack() as stack:
            memory = stack.enter_context(tempfile.TemporaryDirectory(prefix="silver-bench-", dir="/dev/shm"))
            disk = stack.enter_context(tempfile.TemporaryDirectory(prefix="store-", dir=os.path.join(self.build, "bench")))
            started = [stack.enter_context(subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                       for program in self.programs(stack, memory, disk)]
            for number in range(self.rounds + 1):
                for process, times in zip(started, (ROUNDS_OF_OURS, 1)):
                    for _ in range(times):
                        figures = self.round_of(process)
                        for name, values in figures.items() if number else ():  # the first round warms up
                            samples.setdefault(name, []).append(values)
            for process in started:
                process.stdin.close()
        return samples

    @staticmethod
    def round_of(process):
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise measure.Failed(f"{os.path.basename(process.args[0])} ended")
        return json.loads(line)

    @staticmethod
    def ratio(figures, ours, theirs, kind):
        """The median of the rounds' ratios, where both have the same rounds."""
        a, b = figures[ours][kind], figures[theirs][kind]
        if len(a) != len(b):
            return statistics.median(a) / statistics.median(b)
        return statistics.median(x / y for x, y in zip(a, b))

    def table(self, title, what, names, by_rate):
        kind = "wall" if by_rate else "processor"
        there = {name: self.figures[f"{what}, {name}"] for name in names if f"{what}, {name}" in self.figures}
        first = names[0]
        if first not in there:
            return
        speed = "× as many" if by_rate else f"× {first}"
        self.report.say(f"\n{title}\n  {'':34}{'µs CPU':>17}{'least – most':>20}{speed:>11}{'a second':>13}")
        for name, f in there.items():
            f["ratio"] = self.ratio(there, first, name, kind) if by_rate else self.ratio(there, name, first, kind)
            median, rate = statistics.median(f["processor"]), 1e6 / statistics.median(f["wall"])
            spread = f"{min(f['processor']):.3f} – {max(f['processor']):.3f}"
            self.report.say(f"  {name:34}{median:17.3f}{spread:>20}{f['ratio']:11.2f}{rate:13,.0f}")

    def allocations(self, what):
        """Ours for a row, without those that SQLite makes for the same in raw C."""
        ours, theirs = (self.figures.get(f"{what}, {who}", {"allocations": [0]})["allocations"] for who in ("silver", "raw C"))
        return max(0, statistics.median(ours) - statistics.median(theirs))

    def targets(self):
        figures, target = self.figures, self.report.target
        for what, wanted in (("get", 1.15), ("insert", 1.05), ("scan", 1.2), ("update", 1.15)):
            ratio = figures[f"{what}, silver"]["ratio"]
            target(f"SQLite, {what}", ratio, "× raw C", ratio <= wanted, f"at most {wanted} ×")
        rate = 1 / statistics.median(figures["mapped, silver"]["processor"])
        target("objects that the transaction has", rate, "M a second", rate >= 20, "at least 20 M")
        for what in ("get", "insert", "scan", "update", "mapped"):
            count = self.allocations(what)
            # A block of an arena is for a thousand rows.
            target(f"allocations beside SQLite's own, {what}", count, "a row", count < 0.01,
                   "0, but for the blocks that a thousand rows share")
        for what, name, wanted in (("durable", "durable transactions on the disk against one commit each", 5),
                                   ("postgres get", "PostgreSQL, get, against libpq", 2),
                                   ("preload", "PostgreSQL, 100 referred to, against gets in a pipeline", 2)):
            if f"{what}, silver" in figures:
                ratio = figures[f"{what}, silver"]["ratio"]
                target(name, ratio, "× as many", ratio >= wanted, f"at least {wanted} ×")

    def run(self):
        self.figures = {name: {"wall": [v[0] for v in values], "processor": [v[1] for v in values],
                               "allocations": [v[2] for v in values if len(v) > 2]}
                        for name, values in self.measure().items()}
        for tables, by_rate in ((BY_PROCESSOR, False), (BY_RATE, True)):
            for title, (what, names) in tables.items():
                self.table(title, what, names, by_rate)
        self.report.figures["store"] = self.figures
        self.report.say()
        self.targets()
