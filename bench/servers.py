"""The servers that are measured: how each is set up, started on a free port of the loopback, pinned to one core, and stopped."""

import contextlib
import getpass
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import measure

BENCH = os.path.dirname(os.path.abspath(__file__))
FILE_SIZE = 10240
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"  # Debian puts servers where a user's PATH does not look


class Server:
    """A process that listens. `paths` says which kinds of request it can answer."""

    def __init__(self, name, note, argv, port, paths, env=None):
        self.name, self.note, self.argv, self.port, self.paths, self.env = name, note, argv, port, paths, env
        self.process = None
        self.output = []

    def start(self, core):
        """Returns the seconds from exec to the first line of output with a URL, or to the first connection taken."""
        def prepare():
            os.sched_setaffinity(0, {core})
        self.output = []
        begun = time.monotonic()
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=self.env, start_new_session=True,
                                        preexec_fn=prepare)
        said = threading.Event()
        moment = []

        def listen():
            for line in self.process.stdout:
                self.output.append(line.decode(errors="replace"))
                if b"http://" in line and not moment:
                    moment.append(time.monotonic())
                    said.set()
            said.set()

        threading.Thread(target=listen, daemon=True).start()
        if self.note == "ours":
            said.wait(60)
        while not moment:
            if self.process.poll() is not None or time.monotonic() > begun + 60:
                raise measure.Failed(f"{self.name} does not start: {''.join(self.output).strip()}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                moment.append(time.monotonic())
                break
            time.sleep(0.01)
        return moment[0] - begun

    def check(self):
        """Each kind of request is answered as it should be."""
        for kind, path in self.paths.items():
            with measure.connect(self) as connection:
                size = measure.ask(connection, path)
            if kind == "file" and size != FILE_SIZE:
                raise measure.Failed(f"{self.name} answers {path} with {size} bytes, not {FILE_SIZE}")

    def stop(self):
        if not self.process or self.process.poll() is not None:
            return
        members = measure.tree(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            self.process.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Yard:
    """A temporary directory with the files, the configurations and the applications."""

    def __init__(self, directory, build):
        self.directory, self.build = directory, build
        os.chmod(directory, 0o755)  # nginx's worker is somebody else when we are root
        self.files = os.path.join(directory, "files")
        os.mkdir(self.files)
        self.fill(self.files)
        write(os.path.join(self.files, "ok.txt"), "ok")

    def fill(self, directory):
        with open(os.path.join(directory, "10k.bin"), "wb") as f:
            f.write(os.urandom(FILE_SIZE))

    def floor(self, program, body=2):
        kind = "get" if body == 2 else "file"
        port = free_port()
        note = "bare epoll" if program == "floor" else "plain libuv"
        return Server(program, note, [os.path.join(self.build, "bench", program), "127.0.0.1", str(port), str(body)],
                      port, {kind: "/"})

    def silver(self, access="off", name="silver"):
        port = free_port()
        directory = os.path.join(self.directory, f"app-{port}")  # one each: they would take each other's slot
        shutil.copytree(os.path.join(BENCH, "app"), directory)
        os.mkdir(os.path.join(directory, "static"))
        self.fill(os.path.join(directory, "static"))
        with open(os.path.join(directory, "app.ini"), "a", encoding="utf-8") as manifest:
            manifest.write(f"\n[log]\naccess = {access}\n")
        return Server(name, "ours",
                      [os.path.join(self.build, "silver"), "serve", directory, "--production",
                       "--listen", f"127.0.0.1:{port}"],
                      port, {"get": "/", "hello": "/hello/world", "file": "/10k.bin"},
                      dict(os.environ, XDG_CACHE_HOME=os.path.join(self.directory, "cache")))

    def nginx(self, name="nginx", more=""):
        port = free_port()
        directory = os.path.join(self.directory, f"nginx-{port}")
        os.mkdir(directory)
        user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
        temporary = " ".join(f"{kind}_temp_path {directory};" for kind in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = write(os.path.join(directory, "nginx.conf"), f"""
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {resource.getrlimit(resource.RLIMIT_NOFILE)[1]};
pid {directory}/pid;
error_log stderr error;
events {{ worker_connections 16000; }}
http {{
    {temporary}
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    default_type application/octet-stream;
    {more}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {self.files};
        location = / {{ default_type text/plain; return 200 "ok"; }}
    }}
}}
""")
        return Server(name, "return 200; sendfile", [installed("nginx"), "-e", "stderr", "-c", config], port,
                      {"get": "/", "file": "/10k.bin"})

    def h2o(self):
        port = free_port()
        user = f"user: {getpass.getuser()}" if os.getuid() == 0 else ""
        config = write(os.path.join(self.directory, f"h2o-{port}.conf"), f"""
{user}
num-threads: 1
max-connections: 16000
http1-request-timeout: 600
pid-file: {self.directory}/h2o-{port}.pid
hosts:
  default:
    listen:
      host: 127.0.0.1
      port: {port}
    paths:
      /:
        file.dir: {self.files}
""")
        return Server("h2o", "small static file", [installed("h2o"), "-c", config], port, {"get": "/ok.txt", "file": "/10k.bin"})

    def peers(self, cached=False):
        """Those that are installed; `cached`: nginx a second time, keeping files open."""
        there = []
        if installed("nginx"):
            there.append(self.nginx())
        if installed("nginx") and cached:
            there.append(self.nginx("nginx, cached", "open_file_cache max=100 inactive=60s;"))
        if installed("h2o"):
            there.append(self.h2o())
        return there


def installed(program):
    return shutil.which(program, path=PATH)


def missing_peers():
    packages = {"nginx": "nginx", "h2o": "h2o"}
    return [f"{peer} is not installed, and left out (Debian package {package})"
            for peer, package in packages.items() if not installed(peer)]
