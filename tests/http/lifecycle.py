"""Start, options, configuration, overload, the end."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

from harness import GLIM, ROOT, SLOW, TMP, Server, eventually, read_all, test
from wire import JSON, generating, http, until

ENDLESS = {"prompt": "Once", "max_tokens": 30000, "temperature": 1, "seed": 1, "stream": True, "ignore_eos": True}


def run(*args):
    return subprocess.run([GLIM, "serve", *args], capture_output=True, text=True, timeout=120)


@test
def test_startup_line_and_quiet():
    with Server("--ctx", "512", "--alias", "my-model") as s:
        line = s.said()
        assert line.startswith("glim: my-model at http://127.0.0.1:") and "512 tokens" in line, line
        assert s.get("/v1/models").json["data"][0]["id"] == "my-model"
        assert s.chat(model="my-model", max_tokens=1).status == 200
        assert s.chat(model="other", max_tokens=1).status == 404
    with Server("--ctx", "512", "--any-model") as s:
        assert s.chat(model="gpt-4o-mini", max_tokens=1).status == 200


@test
def test_name_goes_into_paths_and_settings():
    """A model's own name may be any text; what it is called fits where clients put it. Its own is known too."""
    with open(os.path.join(ROOT, "models", "glm-nano.gguf"), "rb") as f:
        model = f.read()
    at = model.index(b"glm-nano", model.index(b"general.name"))
    for name, called in ((b" My  (x)", "My-x"), ("\u6a21 1.5\"".encode(), "1.5"), (b"\"' \n$()\\", "model")):
        path = os.path.join(TMP, "named.gguf")
        with open(path, "wb") as f:
            f.write(model[:at] + name + model[at + 8:])
        with Server("-m", path, "--ctx", "512") as s:
            entry = s.get("/v1/models").json["data"][0]
            assert entry["id"] == called and entry["display_name"].encode() == name, (name, entry)
            assert s.get("/v1/models/" + called).status == 200
            assert s.chat(model=called, max_tokens=1).status == s.chat(model=name.decode(), max_tokens=1).status == 200


@test
def test_timeout_of_a_request():
    endless = {**ENDLESS, "stream": False}
    messages = {"model": "any", "max_tokens": 30000, "messages": [{"role": "user", "content": "Count."}]}
    with Server("--ctx", "32768", "--parallel", "1", "--timeout", "1", "--any-model") as s:
        with s.connect() as c:
            c.sendall(http("POST", "/v1/completions", json.dumps(ENDLESS).encode(), JSON))
            eventually(lambda: generating(s), "it runs")
            r = s.post("/v1/messages", messages)  # waits, or does not come to its end
            assert r.status == 200 or r.status == 504 and r.error["type"] == "timeout_error", r
            out = until(c, b'"code":"timeout"}}\n\n')
        assert b"within 1.000 s" in out and b"[DONE]" not in out, out[-600:]
        r = s.post("/v1/completions", endless)
        assert r.status == 504 and r.error["code"] == "timeout", r
        assert s.post("/v1/completions", {"prompt": "Once", "max_tokens": 3}).status == 200


@test
def test_addresses_that_cannot_be():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        p = run("--port", str(taken.getsockname()[1]))
    assert p.returncode == 1 and "in use" in p.stderr and p.stderr.count("\n") == 1, p
    for host in ("256.0.0.1", "no.such.host.invalid", "192.0.2.7"):
        p = run("--port", "0", "--host", host)
        assert p.returncode == 1 and host in p.stderr and p.stderr.count("\n") == 1, p


@test
def test_limits_that_cannot_be():
    for bad in ("body", "body=", "body=x", "body=1,,", "bidy=1", "idle=0", "body=1 ", "=5", "idle=99999999", "body=-1"):
        p = run("--port", "0", "--limits", bad)
        assert p.returncode == 1 and "--limits" in p.stderr and p.stderr.count("\n") == 1, (bad, p)


@test
def test_model_that_cannot_be():
    p = run("--port", "0", "-m", "/nonexistent")
    assert p.returncode == 1 and "/nonexistent" in p.stderr and p.stderr.count("\n") == 1, p


@test
def test_configuration_file():
    path = os.path.join(TMP, "serve.ini")
    with open(path, "w") as f:
        f.write("; a comment\n[serve]\nctx = 300\nalias = from-file\napi-key = one\napi-key = two\nany-model = yes\nlog = off\n")
    with Server("--config", path, "--alias", "from-line") as s:
        m = s.get("/v1/models", headers={"x-api-key": "two"}).json["data"][0]
        assert m["id"] == "from-line" and m["meta"]["n_ctx"] >= 300, m
        assert s.get("/v1/models", headers={"x-api-key": "one"}).status == 200
        assert s.get("/v1/models").status == 401
    for line, what in (("prot = 5", "prot"), ("port = many", "port"), ("any-model = perhaps", "any-model"), ("nonsense", "line 2"),
                       ("config = x", "config"), ("port = 70000", "65535")):
        with open(path, "w") as f:
            f.write(f"\n{line}\n")
        p = run("--config", path)
        assert p.returncode == 2 and what in p.stderr and "line 2" in p.stderr, (line, p)
    assert "/nonexistent" in run("--config", "/nonexistent").stderr


@test
def test_overload_is_refused_at_once():
    with Server("--ctx", "32768", "--parallel", "1", "--queue", "1") as s:
        held = []
        for _ in range(2):
            c = s.connect()
            c.sendall(http("POST", "/v1/completions", json.dumps(ENDLESS).encode(), JSON))
            held.append(c)
            eventually(lambda: len(s.busy()) == len(held), "it is accepted")
        began = time.monotonic()
        r = s.post("/v1/completions", {"prompt": "x", "max_tokens": 1})
        assert r.status == 503 and r.error["code"] == "server_is_overloaded" and int(r.headers["Retry-After"]) > 0, r
        r = s.post("/v1/completions", {"prompt": "x", "max_tokens": 1, "stream": True})
        assert r.status == 503, r
        assert time.monotonic() - began < 10
        for c in held:
            c.close()
        eventually(lambda: not s.busy(), "both ended")
        assert s.post("/v1/completions", {"prompt": "x", "max_tokens": 1}).status == 200
        assert s.metrics()["glim_requests_refused_total"] >= 2


@test
def test_a_key_that_floods_the_queue_keeps_no_other_out():
    asks = {"/v1/completions": {"prompt": "x", "max_tokens": 1},
            "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
            "/v1/responses": {"input": "x", "max_output_tokens": 1},
            "/v1/messages": {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}}
    a, b = {"x-api-key": "a"}, {"x-api-key": "b"}
    with Server("--ctx", "32768", "--parallel", "1", "--queue", "2", "--api-key", "a", "--api-key", "b",
                "--any-model") as s:
        held = []
        for key in (a, a, b):  # one runs, one of each key waits
            c = s.connect()
            c.sendall(http("POST", "/v1/completions", json.dumps(ENDLESS).encode(), JSON,
                           f"x-api-key: {key['x-api-key']}"))
            held.append(c)
            eventually(lambda: sum(x["phase"] != "idle" for x in s.get("/slots", headers=a).json) == len(held), "accepted")
            if key is a:
                continue
            for path, ask in asks.items():
                for stream in (False, True):
                    r = s.post(path, {**ask, "stream": stream}, headers=a)
                    kind = "rate_limit_error" if path == "/v1/messages" else "requests"
                    assert r.status == 429 and r.error["type"] == kind and int(r.headers["Retry-After"]) > 0, (path, r)
                    assert "1 requests of yours wait" in r.error["message"], r
                    assert path == "/v1/messages" or r.error["code"] == "rate_limit_exceeded", r
        for c in held:
            c.close()
    with Server("--ctx", "32768", "--parallel", "1", "--queue-per-key", "1") as s:  # also where nobody has a key
        held = []
        for _ in range(2):
            held.append(s.connect())
            held[-1].sendall(http("POST", "/v1/completions", json.dumps(ENDLESS).encode(), JSON))
            eventually(lambda: len(s.busy()) == len(held), "it is accepted")
        assert s.post("/v1/completions", asks["/v1/completions"]).status == 429
        for c in held:
            c.close()


@test
def test_first_signal_drains_and_second_stops():
    with Server("--ctx", "4096") as s:
        answer = {}
        slow = s.connect()  # takes its answer after the others have theirs
        slow.sendall(http("POST", "/tokenize", json.dumps({"content": "word " * 200000}).encode(), JSON))

        tokens = 1500 // SLOW  # who does not read for 30 s is cut

        def ask():
            answer["r"] = s.post("/v1/completions", {"prompt": "Once", "max_tokens": tokens, "ignore_eos": True})
        t = threading.Thread(target=ask)
        t.start()
        eventually(lambda: generating(s), "it runs")
        s.signal(signal.SIGTERM)
        t.join(60 * SLOW)
        assert answer["r"].status == 200 and answer["r"].json["usage"]["completion_tokens"] == tokens, answer
        time.sleep(0.3)
        assert read_all(slow).endswith(b"]}")
        assert s.wait() == 0
    with Server("--ctx", "32768") as s:
        with s.connect() as c:
            c.sendall(http("POST", "/v1/completions", json.dumps(ENDLESS).encode(), JSON))
            eventually(lambda: generating(s), "it runs")
            kept = s.connect()
            kept.sendall(http("GET", "/health"))
            assert kept.recv(65536).startswith(b"HTTP/1.1 200")
            s.signal(signal.SIGTERM)
            eventually(lambda: "once more" in s.said(), "it drains")
            kept.sendall(http("POST", "/v1/completions", b'{"prompt":"x"}', JSON))
            refused = read_all(kept)
            assert b"503" in refused.split(b"\r\n")[0] and b"about to stop" in refused, refused
            s.signal(signal.SIGTERM)
            assert s.wait(5) == 0
            assert not read_all(c).endswith(b"[DONE]\n\n\r\n0\r\n\r\n")
    with Server("--ctx", "512") as s:
        s.signal(signal.SIGINT)
        assert s.wait(5) == 0
