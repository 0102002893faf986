"""HTTP as bytes: bodies in pieces, limits, clients that leave or read slowly."""
import contextlib
import json
import socket
import threading
import time

from harness import Server, eventually, read_all, shared, sse, test

LONG = {"messages": [{"role": "user", "content": "Tell me a long story about a lantern."}], "temperature": 0,
        "max_tokens": 1500, "logit_bias": {}, "stream": True}


def http(method, path, body=b"", *headers, version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
    if body and not any(h.lower().startswith(("content-length", "transfer-encoding")) for h in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def until(c, word):
    """What has come by a connection when the word has."""
    got = b""
    while word not in got:
        more = c.recv(65536)
        assert more, got
        got += more
    return got


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


BODY = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2, "temperature": 0}).encode()
JSON = "Content-Type: application/json"
CLOSE = "Connection: close"


@test
def test_chunked_body():
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(c), c) for c in (BODY[:1], BODY[1:7], BODY[7:])) + b"0\r\n\r\n"
    a = shared().raw(http("POST", "/v1/chat/completions", chunks, JSON, "Transfer-Encoding: chunked", CLOSE))
    assert status(a) == 200 and b"chat.completion" in a, a


@test
def test_expect_continue():
    s = shared().connect()
    with s:
        s.sendall(http("POST", "/v1/chat/completions", b"", JSON, "Expect: 100-continue", f"Content-Length: {len(BODY)}", CLOSE))
        first = s.recv(100)
        assert first.startswith(b"HTTP/1.1 100"), first
        s.sendall(BODY)
        assert status(read_all(s)) == 200
    with shared().connect() as s:
        s.sendall(http("POST", "/v1/nothing", b"", JSON, "Expect: 100-continue", "Content-Length: 1000000", CLOSE))
        assert status(read_all(s)) == 404


@test
def test_keep_alive_and_pipelining():
    one = http("GET", "/health")
    with shared().connect() as s:
        s.sendall(one * 20 + http("GET", "/health", b"", CLOSE))
        answers = read_all(s)
    assert answers.count(b"HTTP/1.1 200") == 21, answers.count(b"HTTP/1.1 200")
    with shared().connect() as s:
        s.sendall(http("POST", "/v1/chat/completions", BODY, JSON) * 3 + b"NONSENSE\r\n\r\n")
        answers = read_all(s)
    assert answers.count(b"HTTP/1.1 200") == 3, answers  # and then a refusal, or the end


@test
def test_half_closed_clients_get_their_answer():
    """libmicrohttpd 0.9.75 drops a few: an end that it reads while it waits for the answer is a client's that left."""
    for stream in (False, True):
        body = json.dumps({**json.loads(BODY), "stream": stream, "max_tokens": 20}).encode()
        all_got = [shared().raw(http("POST", "/v1/chat/completions", body, JSON), half_close=True) for _ in range(8)]
        answered = [a for a in all_got if a]
        assert len(answered) >= 6, all_got
        for a in answered:
            assert status(a) == 200 and (b"[DONE]" if stream else b'"usage"') in a, a


@test
def test_malformed_requests_have_an_answer():
    s = shared()
    for data in (b"GET\r\n\r\n", b"GET /health\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5 + b"\r\n\r\n",
                 b"GET /health HTTP/1.1\r\n\r\n", b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                 b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                 b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        a = s.raw(data + b"", half_close=True)
        assert a == b"" or 400 <= status(a) < 600, (data, a)
        assert s.get("/health").status == 200
    big = s.raw(http("GET", "/health", b"", "X: " + "y" * 60000, CLOSE))
    assert status(big) in (400, 413, 431), big[:200]


@test
def test_bad_json_has_an_answer():
    s = shared()
    for body in (b"", b" ", b"{", b"[]", b"5", b"null", b'"x"', b"{}x", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xef\xbb\xbf{}",
                 b'{"a":"\xff"}', b"{" * 70 + b"}" * 70, b'{"a":' * 100, BODY.decode().encode("utf-16"), b"\x00" * 10,
                 b'{"messages":[{"role":"user","content":"x"}],}'):
        r = s.post("/v1/chat/completions", body, headers={"Content-Type": "application/json"})
        assert r.status == 400 and r.error["type"] == "invalid_request_error", (body, r)
    assert s.post("/v1/chat/completions", b"{").error["code"] == "invalid_json"


@test
def test_long_bodies():
    s = shared()
    limit = 32 << 20
    head = http("POST", "/tokenize", b"", JSON, CLOSE, f"Content-Length: {limit + 1}")
    with s.connect() as c:
        c.sendall(head)
        block = b" " * (1 << 20)
        for _ in range(32):
            c.sendall(block)
        c.sendall(b" ")
        a = read_all(c)
    assert status(a) == 413 and b"request_too_large" in a, a
    a = s.raw(http("POST", "/tokenize", b"", JSON, CLOSE, f"Content-Length: {3 * limit}"))
    assert status(a) == 413, a
    text = json.dumps({"content": ""}).encode()
    whole = text + b" " * (limit - len(text))
    assert s.post("/tokenize", whole).json == {"tokens": []}


@test
def test_streams_come_as_they_are_made():
    s = shared()
    body = json.dumps({**LONG, "max_tokens": 200, "reasoning_effort": "none"}).encode()
    with s.connect() as c:
        began = time.monotonic()
        c.sendall(http("POST", "/v1/chat/completions", body, JSON, CLOSE))
        first = c.recv(65536)
        to_first = time.monotonic() - began
        rest = read_all(c)
        whole = time.monotonic() - began
    assert status(first) == 200 and b"text/event-stream" in first and b"chunked" in first.lower(), first
    assert to_first < whole / 2 and rest, (to_first, whole)


def generating(s):
    return s.metrics()["glim_requests_processing"] > 0


@test
def test_a_client_that_leaves_ends_its_request():
    for stream in (True, False):
        with Server("--ctx", "4096") as s:
            stopped = s.metrics()["glim_tokens_predicted_total"]
            body = json.dumps({"prompt": "Once", "max_tokens": 3500, "temperature": 1, "seed": 1, "stream": stream,
                               "ignore_eos": True}).encode()
            c = s.connect()
            c.sendall(http("POST", "/v1/completions", body, JSON))
            eventually(lambda: generating(s), "the request runs")
            c.close()
            eventually(lambda: not s.busy(), "it ends", timeout=2)
            assert s.metrics()["glim_tokens_predicted_total"] - stopped < 3400
            assert s.post("/v1/completions", {"prompt": "Once", "max_tokens": 2}).status == 200


@test
def test_a_client_that_never_reads_is_cut_and_others_go_on():
    with Server("--ctx", "16384", "--limits", "output=20000") as s:
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(("127.0.0.1", s.port))
        body = json.dumps({"prompt": "Once", "max_tokens": 16000, "temperature": 1, "seed": 1, "stream": True,
                           "ignore_eos": True}).encode()
        c.sendall(http("POST", "/v1/completions", body, JSON))
        eventually(lambda: generating(s), "the request runs")
        assert s.get("/health").status == 200
        eventually(lambda: not s.busy(), "it is cut or done", timeout=60)
        assert s.post("/v1/completions", {"prompt": "Once", "max_tokens": 2}).status == 200
        c.close()


def drip(s, first):
    """Seconds until the server gives up on a client that sends a byte now and then."""
    with s.connect(timeout=30) as c:
        began = time.monotonic()
        try:
            c.sendall(first)
            while time.monotonic() - began < 20:
                c.sendall(b"X")
                time.sleep(0.1)
                c.settimeout(0.01)
                try:
                    if c.recv(1000) == b"":
                        break
                except socket.timeout:
                    pass
                c.settimeout(30)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return time.monotonic() - began


@test
def test_slow_requests_are_cut_off():
    slow = {"header": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n", 1),
            "upload": (http("POST", "/tokenize", b"", JSON, "Content-Length: 9999"), 2), "idle": (b"", 3)}
    took = {}

    def ask(name):
        took[name] = drip(s, slow[name][0])
    with Server("--ctx", "256", "--limits", "header=1,upload=2,idle=3") as s:
        beside = [threading.Thread(target=ask, args=(name,)) for name in slow]
        for t in beside:
            t.start()
        for t in beside:
            t.join()
        for name, (_, limit) in slow.items():
            assert limit - 0.1 < took[name] < limit + 2, took
        assert s.get("/health").status == 200


@test
def test_limits_are_exact():
    with Server("--ctx", "256", "--limits", "body=1000,connections=5") as s:
        for n, want in ((999, 200), (1000, 200), (1001, 413), (1999, 413), (2001, 413)):
            r = s.post("/tokenize", b'{"content":""}'.ljust(n))
            assert r.status == want, (n, r)
        held = [s.connect() for _ in range(5)]
        eventually(lambda: refused(s), "the sixth is refused")
        for c in held:
            c.close()
        eventually(lambda: not refused(s), "there is room again")


def refused(s):
    try:
        return s.get("/health", timeout=1).status != 200
    except OSError:
        return True
    except Exception as e:
        return type(e).__name__ == "RemoteDisconnected"


def drain(s):
    """Takes what comes, so that the server does not give its client up."""
    with contextlib.suppress(OSError):
        while s.recv(1 << 20):
            pass


@contextlib.contextmanager
def never_idle(s):
    """Requests that keep the only place of a server for minutes, however fast the machine is."""
    all_busy = [s.connect() for _ in range(4)]
    for busy in all_busy:
        busy.sendall(http("POST", "/v1/completions", json.dumps({
            "prompt": "Once", "max_tokens": 32000, "stream": True, "ignore_eos": True, "temperature": 1}).encode(), JSON))
        threading.Thread(target=drain, args=(busy,), daemon=True).start()
    eventually(lambda: generating(s), "the first runs")
    try:
        yield
    finally:
        for busy in all_busy:
            busy.shutdown(socket.SHUT_RDWR)


@test
def test_many_idle_connections():
    s = shared()
    held = [s.connect() for _ in range(300)]
    try:
        eventually(lambda: s.metrics()["glim_http_connections"] >= 300, "all are there")
        assert s.get("/health").status == 200
    finally:
        for c in held:
            c.close()
    eventually(lambda: s.metrics()["glim_http_connections"] < 10, "all are gone")


@test
def test_stream_of_one_client_is_not_mixed_with_another():
    s = shared()
    alone = {i: s.post("/v1/completions", {"prompt": f"{i} lanterns", "max_tokens": 24, "temperature": 1, "seed": i}).json
             ["choices"][0]["text"] for i in range(8)}
    got = {}

    def ask(i):
        got[i] = "".join(e["choices"][0]["text"] for e in s.events(
            "/v1/completions", {"prompt": f"{i} lanterns", "max_tokens": 24, "temperature": 1, "seed": i})[:-1])
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == alone, (got, alone)


@test
def test_sse_is_well_formed():
    a = shared().raw(http("POST", "/v1/chat/completions", json.dumps({**json.loads(BODY), "stream": True}).encode(), JSON,
                          CLOSE))
    head, _, chunked = a.partition(b"\r\n\r\n")
    body = b""
    while chunked:
        size, _, chunked = chunked.partition(b"\r\n")
        n = int(size, 16)
        body, chunked = body + chunked[:n], chunked[n + 2:]
    assert body.endswith(b"data: [DONE]\n\n") and b"no-cache" in head, (head, body[-100:])
    assert all(e.startswith("data: {") or e in ("data: [DONE]", "") for e in body.decode().split("\n\n")), body
    assert len(sse(body.decode())) >= 3
