"""A parent of one silver-python, by the driver of tests/unit/python: for tests of the worker alone."""

import base64
import json
import os
import pathlib
import queue
import subprocess
import threading

HELLO, READY, STOP, CALL, RESULT, FAILED, CANCEL, DATA, END, CREDIT, TELL, HEAR, UNHEAR, LOG = range(1, 15)
SERVE, ABOUT = 0, 1
HEAD, BODY = 1, 2
JSON, PICKLE = 1, 2
DEADLINE = 20


def b64(data):
    return base64.b64encode(data).decode()


class Answer:
    """What came for one request."""

    def __init__(self):
        self.status, self.headers, self.body, self.last, self.ended, self.trouble = None, [], b"", False, False, None
        self.file, self.packets = None, []

    def __getitem__(self, name):
        values = [value for field, value in self.headers if field.lower() == name.lower()]
        return values[0] if values else None


class Worker:
    def __init__(self, directory, source, environment, service="silver.web", module="src/runner.py", env=None,
                 ready=True):
        build = pathlib.Path(os.environ.get("SILVER", pathlib.Path(__file__).parents[2] / "build" / "silver")).parent
        path = pathlib.Path(directory) / module
        if source is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        self.errors = pathlib.Path(directory) / "stderr"
        self.process = subprocess.Popen(
            [build / "tests/unit/python/python-driver", build / "silver-python", service, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.errors, "wb"), cwd=directory,
            env={**environment, "SILVER_APPLICATION": str(directory), **(env or {})}, text=True)
        self.packets = queue.Queue()
        self.kept, self.logs, self.number, self.hangs = [], [], 0, False
        threading.Thread(target=self._read, daemon=True).start()
        self.hello = self.next(lambda p: p["kind"] in (HELLO, FAILED)) if ready is not None else None
        if ready:
            self.next(lambda p: p["kind"] == READY)

    def _read(self):
        for line in self.process.stdout:
            self.packets.put(json.loads(line))
        self.packets.put(None)

    # -- packets

    def put(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def next(self, wanted, deadline=DEADLINE):
        """The first packet of these that comes, or has come; the others wait for who wants them."""
        for packet in self.kept:
            if wanted(packet):
                self.kept.remove(packet)
                return packet
        while True:
            try:
                packet = self.packets.get(timeout=deadline)
            except queue.Empty:
                raise AssertionError(f"nothing came; there was {self.kept}\n{self.said()}") from None
            assert packet is not None, f"the worker ended: {self.kept}\n{self.said()}"
            if packet.get("kind") == LOG:
                self.logs.append((packet["word"], packet["value"]["logger"], packet["value"]["message"]))
            if wanted(packet):
                return packet
            self.kept.append(packet)

    def log(self, words):
        """Waits for a record with these words: (level, logger, message)."""
        for record in self.logs:
            if words in record[2]:
                return record
        self.next(lambda p: p.get("kind") == LOG and words in p["value"]["message"])
        return self.logs[-1]

    def said(self):
        return self.errors.read_text(errors="replace")

    # -- requests

    def begin(self, path="/", method="GET", body=b"", headers=(), file=None, query="", **more):
        self.number += 2
        fields = [("host", "example.org"), *headers]
        if body or file:
            fields.append(("content-length", str(len(body) if body else os.path.getsize(file))))
        value = {"method": method, "target": path + ("?" + query if query else ""), "path": b64(path.encode()),
                 "query": query, "scheme": "http", "peer": "192.0.2.7", "server_name": "example.org",
                 "server_port": "80", "id": f"r{self.number}", "minor": 1,
                 "headers": [{"name": name, "value": b64(value.encode("latin-1"))} for name, value in fields],
                 "body_size": os.path.getsize(file) if file else len(body), **more}
        if body:
            value["body"] = b64(body)
        self.put(kind=CALL, call=self.number, word=SERVE, record="web_request", value=value,
                 **({"file": str(file)} if file else {}))
        return self.number

    def finish(self, call):
        answer = Answer()
        while True:
            packet = self.next(lambda p: p.get("call") == call and p["kind"] in (RESULT, FAILED, DATA, END))
            answer.packets.append((packet["kind"], packet["word"] if packet["kind"] == DATA else 0))
            if packet["kind"] == RESULT:
                return answer
            if packet["kind"] == FAILED:
                answer.trouble = packet["value"]
                return answer
            if packet["kind"] == END:
                answer.ended = True
            elif packet["word"] == HEAD:
                value = packet["value"]
                assert answer.status is None, "two heads"
                answer.status, answer.last = value["status"], value["last"]
                answer.headers = [(h["name"], base64.b64decode(h["value"]).decode("latin-1"))
                                  for h in value["headers"]]
                answer.body += base64.b64decode(value["body"] or "")
                if "file" in packet:
                    answer.file = base64.b64decode(packet["file"]["data"])
                    answer.body += answer.file
            else:
                assert not answer.last, "a body after all of it"
                answer.body += base64.b64decode(packet["data"])

    def get(self, path="/", **more):
        return self.finish(self.begin(path, **more))

    def cancel(self, call):
        self.put(kind=CANCEL, call=call)

    # -- the end

    def stop(self):
        self.put(kind=STOP)
        return self.next(lambda p: "exited" in p)

    def end(self):
        if self.hangs:
            self.process.kill()  # and the worker with it
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        said = self.said()
        assert "Sanitizer" not in said and "runtime error:" not in said, said[:4000]
