"""What is read while a server works: requests from wrk, processor time and memory from /proc."""

import os
import re
import socket
import subprocess

TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64
PIPELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipeline.lua")


class Failed(Exception):
    """A figure that cannot be given, and why."""


def tree(pid):
    """The process and all that descend from it."""
    children = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue  # it has ended since
        children.setdefault(parent, []).append(int(name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def cpu_seconds(pid):
    """utime + stime of the tree, and of its members' children that have ended."""
    ticks = 0
    for member in tree(pid):
        try:
            with open(f"/proc/{member}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def memory_kib(pid):
    """Resident pages of each member: (private, shared) with other processes."""
    members = []
    for member in tree(pid):
        sizes = {}
        try:
            with open(f"/proc/{member}/smaps_rollup", encoding="utf-8") as rollup:
                for line in rollup:
                    name, _, value = line.partition(":")
                    if name.startswith(("Private_", "Shared_")) and "Hugetlb" not in name:
                        kind = name.split("_")[0]
                        sizes[kind] = sizes.get(kind, 0) + int(value.split()[0])
        except OSError:
            continue
        members.append((sizes.get("Private", 0), sizes.get("Shared", 0)))
    return members


def rss_kib(pid):
    """What ps says, added up: libraries that several members use are in it several times."""
    return sum(private + shared for private, shared in memory_kib(pid))


def load(server, path, seconds, core, pipelined=0):
    """One round: wrk asks for `path` for so many seconds. Returns (µs of processor time a request, requests a second)."""
    argv = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s",
            f"http://127.0.0.1:{server.port}{path}"]
    if pipelined:
        argv += ["--script", PIPELINE, "--", path, str(pipelined)]
    before = cpu_seconds(server.process.pid)
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    used = cpu_seconds(server.process.pid) - before
    if server.process.poll() is not None:
        raise Failed(f"{server.name} ended under load with status {server.process.returncode}")
    counted = re.search(r"(\d+) requests in ([0-9.]+)(s|m)", done.stdout)
    wrong = re.search(r"Non-2xx.*|Socket errors.*", done.stdout)
    if done.returncode != 0 or not counted or wrong:
        raise Failed(f"{server.name}, {path}: wrk says: {wrong.group() if wrong else done.stdout.strip()}")
    requests = int(counted.group(1))
    if requests == 0:
        raise Failed(f"{server.name}, {path}: no request was answered")
    took = float(counted.group(2)) * (60 if counted.group(3) == "m" else 1)
    return used * 1e6 / requests, requests / took


def ask(connection, path):
    """One request on an open connection; returns the size of the body."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise Failed(f"the connection was closed before an answer to {path}: {data!r}")
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if not head.startswith(b"HTTP/1.1 200 ") or not length:
        raise Failed(f"the answer to {path} is {head.splitlines()[0].decode(errors='replace')!r}")
    size = len(body)
    while size < int(length.group(1)):
        piece = connection.recv(65536)
        if not piece:
            raise Failed(f"the connection was closed within the answer to {path}")
        size += len(piece)
    return size


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def open_idle(server, count, path):
    """Connections that made one request each and keep still."""
    idle = []
    try:
        for _ in range(count):
            connection = connect(server)
            idle.append(connection)
            ask(connection, path)
    except (OSError, Failed) as error:
        close_all(idle)
        raise Failed(f"{server.name}: connection {len(idle)} of {count}: {error}") from error
    return idle


def close_all(connections):
    for connection in connections:
        connection.close()
