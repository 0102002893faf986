"""Hostile requests: each has the answer of its row, and nobody else's answer changes by a byte."""
import contextlib
import http.client
import json
import os
import re
import resource
import shutil
import socket
import tempfile
import threading
import time

from harness import SLOW, TMP, Server, eventually, read_all, shared, test
from hostile_fields import BASE, FIELDS, JSON
from hostile_wire import ROWS
from wire import status

ANTHROPIC = ("/v1/messages", "/v1/messages/count_tokens")
# Nothing of the machine in what strangers read: no addresses, no folders of ours.
LEAK = re.compile(rb"0x[0-9a-fA-F]{8,}|/home/|/root/|\.gguf|src/server")
ROOM_KB = 96 << 10  # what the process may have grown by at the end


def body_of(path, field, value):
    if field == "":
        return value
    fields = {**BASE.get(path, {}), field: value}
    return ("{" + ",".join(json.dumps(k) + ":" + v for k, v in fields.items()) + "}").encode()


def check_error(path, field, said):
    """An error in the words of the path's API, that names the field."""
    e = json.loads(said)
    if path in ANTHROPIC:
        assert e["type"] == "error" and e["request_id"], e
        e = e["error"]
        assert field in e["message"] or "prompt is too long" in e["message"], (field, e)
    else:
        e = e["error"]
        assert set(e) >= {"message", "type", "param", "code"}, e
        named = e["param"] or e["message"]
        if e["code"] != "context_length_exceeded" and field:
            assert field in named, (field, e)
    assert isinstance(e["message"], str) and e["type"], e


def check_row(c, path, field, value, want, says):
    c.request("POST", path, body=body_of(path, field, value), headers={"Content-Type": "application/json"})
    r = c.getresponse()
    said = r.read()
    assert r.status == want and says.encode() in said, (r.status, said[:400])
    assert not LEAK.search(said), said
    if 400 <= r.status < 500:
        check_error(path, field, said)


def run_rows(s, rows, check):
    """All of them, and then what was wrong with each."""
    wrong = []
    for row in rows:
        try:
            check(s, *row)
        except Exception as e:
            wrong.append(f"{str(row)[:120]}: {type(e).__name__} {str(e)[:400]}")
    assert not wrong, f"{len(wrong)} of {len(rows)}:\n" + "\n".join(wrong[:40])


class Neighbour:
    """Somebody who asks the same again and again, streamed, and wants the same bytes each time."""
    ASKS = {"prompt": "A lantern", "max_tokens": 24, "temperature": 1, "seed": 5, "logprobs": 2}

    def __init__(self, s):
        self.s, self.stop, self.asked, self.other = s, False, 0, None
        self.alone = self.ask()
        self.thread = threading.Thread(target=self.run)

    def ask(self):
        return [e["choices"] for e in self.s.events("/v1/completions", self.ASKS)[:-1]]

    def run(self):
        while not self.stop:
            with contextlib.suppress(OSError, AssertionError):
                got = self.ask()
                if got != self.alone:
                    self.other = got
                self.asked += 1

    def __enter__(self):
        self.thread.start()
        eventually(lambda: self.asked > 0, "the neighbour has an answer")
        return self

    def __exit__(self, *_):
        before = self.asked
        eventually(lambda: self.asked > before + 1, "the neighbour is served still")
        self.stop = True
        self.thread.join()
        assert self.other is None, (self.other, self.alone)


def files_of(s):
    return len(os.listdir(f"/proc/{s.process.pid}/fd"))


def resident_kb(s):
    with open(f"/proc/{s.process.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


@contextlib.contextmanager
def untouched(s):
    """Runs beside a neighbour; afterwards the server holds no more files or memory than before."""
    files = files_of(s)
    with Neighbour(s):
        yield
    eventually(lambda: files_of(s) <= files, "all files are closed again")
    assert s.process.poll() is None and s.get("/health").status == 200


def on_one_connection(check):
    """Rows go over a connection that lives on, as most clients keep one."""
    kept = {}

    def each(s, *row):
        c = kept.pop("c", None) or http.client.HTTPConnection(s.host, s.port, timeout=20 * SLOW)
        check(c, *row)
        kept["c"] = c
    return each


@test
def test_hostile_tables_are_whole():
    assert len(FIELDS) + len(JSON) + len(ROWS) >= 300
    for rows in ([(p, f, v) for p, f, v, _, _ in FIELDS], [b for b, _ in JSON], [b for _, b, _, _ in ROWS]):
        assert len(set(rows)) == len(rows), [r for r in rows if rows.count(r) > 1][:3]


@test
def test_hostile_fields():
    with Server("--ctx", "2048", "--alias", "nano", "--log", "errors") as s:
        s.chat("word " * 500, max_tokens=1)
        before = resident_kb(s)
        with untouched(s):
            run_rows(s, FIELDS, on_one_connection(check_row))
        if SLOW == 1:  # sanitizers hold on to what was freed
            many = [{"type": "text", "text": "a"}] * 80_000
            for path in ("/v1/chat/completions", "/v1/messages"):
                r = s.post(path, {"model": "nano", "max_tokens": 1, "messages": [{"role": "user", "content": many}]})
                assert r.status == 400 and "2048" in r.text, r
            eventually(lambda: resident_kb(s) < before + ROOM_KB, "the memory is given back")


@test
def test_hostile_json():
    paths = list(BASE)
    rows = [(paths[i % len(paths)], "", body, 400, says) for i, (body, says) in enumerate(JSON)]
    with untouched(shared()):
        run_rows(shared(), rows, on_one_connection(check_row))


def send(s, sent):
    c = s.connect(timeout=20)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has its answer before all is sent
        c.sendall(sent)
    return c


def read_answer(c):
    """One answer, or all that comes before the end."""
    out = b""
    with contextlib.suppress(ConnectionResetError):
        while True:
            head, end, body = out.partition(b"\r\n\r\n")
            length = re.search(rb"\r\nContent-Length: (\d+)", head)
            if end and (b" 204 " in head[:13] or length and len(body) >= int(length.group(1))):
                return out
            more = c.recv(65536)
            if not more:
                return out
            out += more


def check_bytes(s, name, sent, want, says):
    with send(s, sent) as c:
        said = read_answer(c)
    assert status(said) == want and says.encode() in said, said[:500]
    assert not LEAK.search(said), said


@test
def test_hostile_bytes():
    s = shared()
    unanswered = {name: sent for name, sent, want, _ in ROWS if want == 0}
    with untouched(s):
        run_rows(s, [r for r in ROWS if r[0] not in unanswered], check_bytes)
        held = {name: send(s, sent) for name, sent in unanswered.items()}
        for c in held.values():  # what waits for more ends when no more can come
            c.shutdown(socket.SHUT_WR)
        for name, c in held.items():
            with c:
                assert read_all(c) == b"", name


# ---- nothing left ----

ASK = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"


def asked(s):
    c = s.connect(timeout=20)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        c.sendall(ASK)
    return c


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


@test
def test_no_file_descriptor_is_left():
    """Half of 64 are for connections: the next are told so, the rest wait or are closed; those before them live."""
    with Server("--ctx", "512", before=few_files) as s:
        files = files_of(s)
        alone = s.chat(seed=3, temperature=1).json["choices"]
        kept = [asked(s) for _ in range(32)]
        assert all(status(read_answer(c)) == 200 for c in kept)
        more = [asked(s) for _ in range(5)]
        for c in more:
            said = read_answer(c)
            assert status(said) == 503 and b"server_is_overloaded" in said and b"Retry-After" in said, said
        flood = [asked(s) for _ in range(200)]
        for c in kept[:31]:
            c.sendall(ASK)
            assert status(read_answer(c)) == 200
        for c in kept + more + flood:
            c.close()
        eventually(lambda: files_of(s) <= files, "all files are closed again")
        assert s.chat(seed=3, temperature=1).json["choices"] == alone


# ---- killed at any moment ----

KILLS = int(os.environ.get("GLIM_TEST_KILLS", 4))


def turns(s):
    """Two turns whose prompts are pages long: the second begins with the first and its answer."""
    first = {"prompt": list(range(300, 700)), "max_tokens": 40, "temperature": 1, "seed": 7, "ignore_eos": True, "logprobs": 3}
    a = s.post("/v1/completions", first).json["choices"]
    second = {**first, "prompt": first["prompt"] + list(range(400, 500)), "seed": 8}
    return a, s.post("/v1/completions", second).json["choices"]


@test
def test_killed_at_any_moment():
    """What a server that was killed left in --kv-dir never changes an answer. GLIM_TEST_KILLS: how many times."""
    with tempfile.TemporaryDirectory(dir=TMP) as folder:
        with Server("--ctx", "2048") as s:
            began = time.monotonic()
            alone = turns(s)
            took = time.monotonic() - began
        found = 0
        for i in range(KILLS):
            s = Server("--ctx", "2048", "--kv-dir", folder)
            got = []
            t = threading.Thread(target=lambda: got.append(suppressed(turns, s)))
            t.start()
            if i % 50 == 0:  # a moment with something to find
                eventually(lambda: s.metrics()["glim_disk_saved_bytes_total"] > 0, "a page is saved")
            time.sleep(took * (i * 7 % 50) / 35)  # any moment will do, of the answers and of the saving behind them
            s.process.kill()
            s.process.wait()
            t.join()
            s.log.close()
            assert got[0] in (None, alone), (i, got, alone)
            if i % 50 == 49 or i == KILLS - 1:
                with Server("--ctx", "2048", "--kv-dir", folder) as s:
                    assert turns(s) == alone, i
                    found += s.metrics()["glim_disk_restored_tokens_total"]
                shutil.rmtree(folder)
                os.mkdir(folder, 0o700)
        assert found > 0, "nothing was ever kept"


def suppressed(f, *args):
    """None where the server ends in the middle."""
    try:
        return f(*args)
    except (OSError, http.client.HTTPException):
        return None
