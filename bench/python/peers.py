"""The servers of Python applications that are compared: each started the same way, on a port of the loopback, on one processor.

Each has two processes that handle requests. Ours are the instance, which speaks HTTP, and one worker; Apache with a daemon process
is divided like that too. The others have two workers, each of which does everything. A process that runs a WSGI application
has one thread for it, unless the measurement asks for a number of threads, which then is that of all processes together."""

import os
import shutil
import subprocess
import sys
import time

import measure
import servers

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"hello": 13, "10k": 10240, "sleep": 13}
PATHS = {"hello": "/", "10k": "/10k", "sleep": "/sleep"}
GRANIAN = "granian==2.8.7"
MANIFEST = """[production]
app_name = bench
version = 1
runner = src/{module}.py

[workers]
processes = 1
threads = {threads}

[slots]
0 = 127.0.0.1:{port}

[log]
access = off
"""


class Peer(servers.Server):
    def start(self, core):
        """Some say where they listen before they do: the first connection counts."""
        took = super().start(core)
        end = time.monotonic() + 20
        while True:
            try:
                measure.connect(self).close()
                return took
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise measure.Failed(f"{self.name} does not start: {''.join(self.output).strip() or error}") from error
                time.sleep(0.01)

    def check(self):
        """Each kind of request is answered with as much as the application gives."""
        for kind, path in PATHS.items():
            with measure.connect(self) as connection:
                size = measure.ask(connection, path)
            if size != SIZES[kind]:
                raise measure.Failed(f"{self.name} answers {path} with {size} bytes, not {SIZES[kind]}")


class Yard:
    """Where they are set up. `threads`: of each server in all; 0: one in each process that runs the application."""

    def __init__(self, directory, build):
        self.directory, self.build = directory, build
        os.chmod(directory, 0o755)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.environment["PYTHONDONTWRITEBYTECODE"] = "1"

    def folder(self, name, port):
        path = os.path.join(self.directory, f"{name}-{port}")
        os.mkdir(path)
        return path

    def peer(self, name, note, argv, port, **more):
        return Peer(name, note, argv, port, PATHS, {**self.environment, **more})

    def silver(self, interface, threads):
        port = servers.free_port()
        directory = self.folder("silver", port)
        os.mkdir(os.path.join(directory, "src"))
        shutil.copy(os.path.join(HERE, f"{interface}_app.py"), os.path.join(directory, "src"))
        servers.write(os.path.join(directory, "app.ini"),
                      MANIFEST.format(module=f"{interface}_app", threads=threads or 1, port=port))
        return self.peer("silver", "ours", [os.path.join(self.build, "silver"), "serve", directory, "--production"], port,
                         XDG_CACHE_HOME=os.path.join(self.directory, "cache"))

    # ---- WSGI

    def uwsgi(self, threads):
        port = servers.free_port()
        return self.peer("uWSGI", "http-socket", [
            servers.installed("uwsgi"), "--plugin", "python3", "--http-socket", f"127.0.0.1:{port}", "--listen", "128",
            "--master", "--processes", "2", "--threads", str(threads // 2 or 1), "--enable-threads", "--disable-logging",
            "--die-on-term", "--chdir", HERE, "--module", "wsgi_app"], port)

    def gunicorn(self, threads):
        port = servers.free_port()
        return self.peer("gunicorn", "gthread", [
            servers.installed("gunicorn"), "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--workers", "2",
            "--threads", str(threads // 2 or 1), "--backlog", "4096", "--chdir", HERE, "wsgi_app"], port)

    def mod_wsgi(self, threads):
        port = servers.free_port()
        directory = self.folder("apache", port)
        user = "User nobody\nGroup nogroup" if os.getuid() == 0 else ""
        config = servers.write(os.path.join(directory, "apache.conf"), f"""
ServerName 127.0.0.1
ServerRoot {directory}
DefaultRuntimeDir {directory}
PidFile {directory}/pid
Listen 127.0.0.1:{port}
ListenBacklog 4096
ErrorLog {directory}/error.log
LogLevel error
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
{user}
ServerLimit 1
StartServers 1
ThreadLimit 640
ThreadsPerChild 640
MaxRequestWorkers 640
MinSpareThreads 1
MaxSpareThreads 640
MaxKeepAliveRequests 0
KeepAliveTimeout 600
WSGISocketPrefix {directory}/wsgi
WSGIDaemonProcess bench processes=1 threads={threads or 1} listen-backlog=4096 python-path={directory}
WSGIProcessGroup bench
WSGIApplicationGroup %{{GLOBAL}}
WSGIScriptAlias / {directory}/wsgi_app.py
<Directory {directory}>
    Require all granted
</Directory>
""")
        shutil.copy(os.path.join(HERE, "wsgi_app.py"), directory)
        return self.peer("mod_wsgi", "daemon process", [servers.installed("apache2"), "-f", config, "-DFOREGROUND"], port)

    def granian(self, interface, threads):
        port = servers.free_port()
        blocking = ["--blocking-threads", str(threads // 2 or 1)] if interface == "wsgi" else ["--loop", "uvloop"]
        return self.peer("Granian", interface, [
            self.granian_program(), "--interface", interface, "--host", "127.0.0.1", "--port", str(port), "--workers", "2",
            "--http", "1", "--no-ws", "--backlog", "4096", "--working-dir", HERE, *blocking,
            f"{interface}_app:application"], port)

    # ---- ASGI

    def uvicorn(self):
        port = servers.free_port()
        return self.peer("uvicorn", "uvloop, httptools", [
            "/usr/bin/python3", "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--loop", "uvloop",
            "--http", "httptools", "--no-access-log", "--log-level", "warning", "--backlog", "4096", "--app-dir", HERE,
            "asgi_app:application"], port, PYTHONPATH=HERE)

    # ---- All of them

    def granian_program(self):
        return os.path.join(self.build, "bench-venv", "bin", "granian")

    def wsgi(self, threads):
        there = [self.silver("wsgi", threads)]
        if servers.installed("uwsgi") and os.path.exists("/usr/lib/uwsgi/plugins/python3_plugin.so"):
            there.append(self.uwsgi(threads))
        if servers.installed("gunicorn"):
            there.append(self.gunicorn(threads))
        if servers.installed("apache2") and os.path.exists("/usr/lib/apache2/modules/mod_wsgi.so"):
            there.append(self.mod_wsgi(threads))
        if os.path.exists(self.granian_program()):
            there.append(self.granian("wsgi", threads))
        return there

    def asgi(self, threads):
        there = [self.silver("asgi", 0)]
        if has_module("uvicorn"):
            there.append(self.uvicorn())
        if os.path.exists(self.granian_program()):
            there.append(self.granian("asgi", threads))
        return there

    def install_granian(self):
        """Into a virtualenv of the build directory, once. Returns what went wrong, or None."""
        if os.path.exists(self.granian_program()):
            return None
        venv = os.path.join(self.build, "bench-venv")
        # Debian's uvloop is for it too.
        for argv in (["/usr/bin/python3", "-m", "venv", "--system-site-packages", venv],
                     [os.path.join(venv, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", GRANIAN]):
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else f"{argv[0]} failed"
        return None


def has_module(name):
    return subprocess.run(["/usr/bin/python3", "-c", f"import {name}"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def missing():
    wanted = [("uWSGI", os.path.exists("/usr/lib/uwsgi/plugins/python3_plugin.so"), "uwsgi-core, uwsgi-plugin-python3"),
              ("gunicorn", servers.installed("gunicorn"), "gunicorn"),
              ("mod_wsgi", os.path.exists("/usr/lib/apache2/modules/mod_wsgi.so"), "apache2-bin, libapache2-mod-wsgi-py3"),
              ("uvicorn", has_module("uvicorn"), "uvicorn, python3-httptools, python3-uvloop")]
    return [f"{peer} is not installed, and left out (Debian: {packages})" for peer, there, packages in wanted if not there]


if __name__ == "__main__":
    sys.exit("peers.py: bench/python/run is the command")
