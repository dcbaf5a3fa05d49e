"""A PostgreSQL server of the test's own, on a Unix socket in a directory of its own. It is root's only by way of another user:
PostgreSQL refuses to run as root."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

PLACE = pathlib.Path(os.environ.get("SILVER_POSTGRESQL", "/usr/lib/postgresql"))
USERS = ("postgres", "nobody")


def programs():
    versions = [path for path in PLACE.glob("*/bin/postgres") if path.parts[-3].isdigit()]
    if not versions:
        raise SystemExit(f"no PostgreSQL in {PLACE}; tools/install-deps test installs it")
    return max(versions, key=lambda path: int(path.parts[-3])).parent


def user_that_may():
    if os.getuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


class Server:
    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="silver-differential-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        user = user_that_may()
        self.options = {}
        if user:
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self.options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        place = programs()
        data = self.directory + "/data"
        self.run(place / "initdb", "-D", data, "-U", "silver", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        self.process = subprocess.Popen(
            [place / "postgres", "-D", data, "-k", self.directory, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off",
             "-c", "synchronous_commit=off", "-c", "shared_buffers=16MB", "-c", "max_wal_size=64MB"],
            cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.directory + "/log", "wb"), **self.options)
        self.run(place / "pg_isready", "-h", self.directory, "-t", "20", "-q", tries=200)
        return self

    def run(self, program, *arguments, tries=1):
        for attempt in range(tries):
            done = subprocess.run([program, *arguments], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self.options)
            if done.returncode == 0:
                return
            if attempt + 1 < tries:
                try:
                    self.process.wait(0.05)
                    break
                except subprocess.TimeoutExpired:
                    pass
        raise SystemExit(f"{program} failed: {done.stdout}")

    def url(self, name):
        """As Storm and libsilver take it."""
        return f"postgres://silver@{urllib.parse.quote(self.directory, safe='')}/{name}"

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)
