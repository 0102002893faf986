"""Keys, names of the server, web pages of others."""
import os

from harness import GLIM, TMP, Server, shared, test

import subprocess

HI = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


def run(*args):
    return subprocess.run([GLIM, "serve", "--port", "0", *args], capture_output=True, text=True, timeout=120)


@test
def test_others_are_not_served_without_a_key():
    for host in ("0.0.0.0", "::"):
        p = run("--host", host)
        assert p.returncode == 1 and "--api-key" in p.stderr and p.stderr.count("\n") == 1, p
    with Server("--host", "0.0.0.0", "--api-key", "k", "--ctx", "256") as s:
        assert s.get("/v1/models").status == 401
        r = s.get("/v1/models", headers={"x-api-key": "k", "Host": "box.example:1"})
        assert r.status == 200, r


@test
def test_keys():
    keys = os.path.join(TMP, "keys")
    with open(keys, "w") as f:
        f.write("# who may ask\nalpha-key\n\nbeta-key\r\n")
    with Server("--api-key-file", keys, "--api-key", "gamma", "--ctx", "256") as s:
        for key in ("alpha-key", "beta-key", "gamma"):
            for headers in ({"Authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}"}, {"x-api-key": key}):
                assert s.post("/v1/chat/completions", HI, headers=headers).status == 200, (key, headers)
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer alpha"}, {"x-api-key": "alpha-key2"},
                        {"Authorization": "alpha-key"}, {"x-api-key": ""}, {"x-api-key": "x" * 8000},
                        {"x-api-key": "' OR '1'='1"}, {"Authorization": "Bearer # who may ask"}):
            r = s.post("/v1/chat/completions", HI, headers=headers)
            assert r.status == 401 and r.error["code"] == "invalid_api_key", (headers, r)
            assert r.headers["WWW-Authenticate"] == "Bearer", r
            for path in ("/v1/models", "/metrics", "/props", "/slots", "/nothing"):
                assert s.get(path, headers=headers).status == 401, path
        assert s.get("/health").status == 200 and s.request("HEAD", "/api/hello").status == 200
    for bad in (["--api-key-file", "/nonexistent"], ["--api-key", "x" * 600]):
        assert run(*bad).returncode == 1
    with open(keys, "w") as f:
        f.write("# nothing\n")
    assert "no key" in run("--api-key-file", keys).stderr


@test
def test_names_of_the_server():
    s = shared()
    for host in (f"127.0.0.1:{s.port}", "localhost", f"LOCALHOST:{s.port}", "[::1]:80", "127.0.0.1"):
        assert s.get("/v1/models", headers={"Host": host}).status == 200, host
    for host in ("evil.example", "127.0.0.1.evil", "localhost.evil:80", "localhost:80x", "127.0.0.2", "[::1", "xlocalhost"):
        r = s.get("/v1/models", headers={"Host": host})
        assert r.status == 403 and "--allowed-host" in r.error["message"], (host, r)
    with Server("--allowed-host", "box.local", "--allowed-host", "other", "--ctx", "256") as t:
        assert t.get("/v1/models", headers={"Host": "box.local:80"}).status == 200
        assert t.get("/v1/models", headers={"Host": "other"}).status == 200
        assert t.get("/v1/models", headers={"Host": "evil.example"}).status == 403


@test
def test_web_pages_of_others():
    s = shared()
    for origin in ("null", "file://", "https://evil.example", "http://localhost:1", "http://evil"):
        for r in (s.get("/v1/models", headers={"Origin": origin}),
                  s.post("/v1/chat/completions", HI, headers={"Origin": origin}),
                  s.request("OPTIONS", "/v1/chat/completions", headers={"Origin": origin})):
            assert r.status == 403 and "Access-Control-Allow-Origin" not in r.headers, (origin, r)
    own = f"127.0.0.1:{s.port}"
    assert s.get("/v1/models", headers={"Origin": f"http://{own}", "Host": own}).status == 200
    with Server("--cors-origin", "https://chat.example", "--api-key", "k", "--ctx", "256") as t:
        h = {"Origin": "https://chat.example", "x-api-key": "k"}
        r = t.get("/v1/models", headers=h)
        assert r.status == 200 and r.headers["Access-Control-Allow-Origin"] == "https://chat.example", r
        r = t.request("OPTIONS", "/v1/chat/completions", headers={"Origin": "https://chat.example"})
        assert r.status == 204 and "authorization" in r.headers["Access-Control-Allow-Headers"], r
        assert t.get("/v1/models", headers={**h, "Origin": "https://evil.example"}).status == 403
        assert t.get("/v1/models", headers={"Origin": "https://chat.example"}).status == 401


@test
def test_bodies_of_other_types():
    s = shared()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        r = s.post("/v1/chat/completions", '{"messages":[]}', headers={"Content-Type": kind})
        assert r.status == 415 and "application/json" in r.error["message"], r
    r = s.post("/v1/chat/completions", b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert r.status == 415, r
    r = s.post("/v1/chat/completions", HI, headers={"Content-Type": "application/json; charset=utf-8"})
    assert r.status == 200, r
