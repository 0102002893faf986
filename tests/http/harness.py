"""Runs glim serve and speaks to it over real sockets, with the standard library alone."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "util"))
import cases  # noqa: E402
from cases import test  # noqa: E402,F401

GLIM = os.path.abspath(os.environ.get("GLIM", os.path.join(ROOT, "build", "glim")))
TMP = tempfile.mkdtemp(prefix="glim-http-")
os.environ["XDG_STATE_HOME"] = os.path.join(TMP, "state")
os.environ["XDG_CACHE_HOME"] = os.path.join(TMP, "cache")
for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
    os.environ.pop(name, None)
SLOW = 10 if "asan" in GLIM or "tsan" in GLIM else 1  # a build that takes its time


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.text[:600]}"


class Server:
    """A running glim serve on a free port."""

    def __init__(self, *args, wait=True, before=None):
        self.log = open(os.path.join(TMP, f"serve-{len(os.listdir(TMP))}.log"), "w+b")
        self.process = subprocess.Popen([GLIM, "serve", "--port", "0", *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.log, preexec_fn=before)
        self.host, self.scheme = "127.0.0.1", "https" if "--tls-cert" in args else "http"
        self.port = None
        if wait:
            self.wait_ready()

    def said(self):
        self.log.flush()
        with open(self.log.name, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def wait_said(self, pattern, timeout=60):
        end = time.monotonic() + timeout * SLOW
        while time.monotonic() < end:
            m = re.search(pattern, self.said())
            if m:
                return m
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in: {self.said()[-800:]}, exit {self.process.poll()}")

    def wait_ready(self):
        self.port = int(self.wait_said(r"://[^/\s]*:(\d+)/v1").group(1))

    def request(self, method, path, body=None, headers=None, timeout=60):
        c = http.client.HTTPConnection(self.host, self.port, timeout=timeout * SLOW)
        try:
            h = dict(headers or {})
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            if body is not None:
                h.setdefault("Content-Type", "application/json")
            c.request(method, path, body=body, headers=h)
            r = c.getresponse()
            return Reply(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body, **kw):
        return self.request("POST", path, body, **kw)

    def chat(self, content="Hello!", **fields):
        return self.post("/v1/chat/completions",
                         {"messages": [{"role": "user", "content": content}], "max_tokens": 8, "temperature": 0,
                          "seed": 1, **fields})

    def events(self, path, body, headers=None):
        """The data of a stream's events, decoded but for [DONE]."""
        r = self.post(path, {**body, "stream": True}, headers=headers)
        assert r.status == 200, r
        assert r.headers["Content-Type"] == "text/event-stream", r
        return sse(r.text)

    def connect(self, timeout=60):
        s = socket.create_connection((self.host, self.port), timeout=timeout * SLOW)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def raw(self, data, timeout=60, half_close=False):
        """Sends bytes as they are; all that comes back until the server closes."""
        with self.connect(timeout) as s:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            return read_all(s)

    def busy(self):
        """The requests that run or wait."""
        return [x for x in self.get("/slots").json if x["phase"] != "idle"]

    def metrics(self):
        return {m.group(1): float(m.group(2))
                for m in re.finditer(r"^(glim_\w+) (\S+)$", self.get("/metrics").text, re.M)}

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=30):
        return self.process.wait(timeout * SLOW)

    def stop(self):
        """The exit code after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        with open(self.log.name, "rb") as f:
            said = f.read().decode("utf-8", "replace")
        assert "Sanitizer" not in said and "runtime error" not in said, said[-3000:]


def read_all(s):
    out = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return out
            out += more
    except (ConnectionResetError, BrokenPipeError):
        return out


def sse(text):
    out = []
    for event in text.split("\n\n"):
        data = [line[6:] for line in event.split("\n") if line.startswith("data: ")]
        if data:
            out.append("[DONE]" if data == ["[DONE]"] else json.loads("\n".join(data)))
    return out


def content(events):
    """Role, reasoning, content, calls and finish reason of a stream's first choice."""
    text, reasoning, calls, finish = "", "", {}, None
    for e in events:
        if e == "[DONE]" or not e.get("choices"):
            continue
        for c in e["choices"]:
            if c["index"] != 0:
                continue
            d = c["delta"]
            text += d.get("content") or ""
            reasoning += d.get("reasoning_content") or ""
            for call in d.get("tool_calls", []):
                have = calls.setdefault(call["index"], {"id": call.get("id"), "name": "", "arguments": ""})
                have["name"] += call["function"].get("name", "")
                have["arguments"] += call["function"].get("arguments", "")
            finish = c["finish_reason"] or finish
    return text, reasoning, list(calls.values()), finish


_shared = None


def shared():
    """One server with the bundled model for all tests that change nothing of it."""
    global _shared
    if _shared is None:
        _shared = Server("--ctx", "2048", "--alias", "nano")
    return _shared


def eventually(f, what, timeout=20):
    end = time.monotonic() + timeout * SLOW
    while time.monotonic() < end:
        if f():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout * SLOW} s: {what}")


def stop_shared():
    if _shared is not None:
        with _shared:
            pass


def main():
    try:
        return cases.run(("the shared server", stop_shared))
    finally:
        shutil.rmtree(TMP, ignore_errors=True)
