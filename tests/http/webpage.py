"""The page at "/", as bytes; tests/http/browser.py uses it in Chromium."""
import base64
import hashlib
import os
import re

from harness import ROOT, Server, shared, test


def policy_of(reply):
    return dict(part.strip().split(" ", 1) for part in reply.headers["Content-Security-Policy"].split(";"))


@test
def test_webpage():
    s = shared()
    r = s.get("/")
    with open(os.path.join(ROOT, "src/server/page.html"), "rb") as f:
        assert r.body == f.read()
    assert r.status == 200 and r.headers["Content-Type"] == "text/html; charset=utf-8", r.headers
    assert r.headers["X-Content-Type-Options"] == "nosniff" and len(r.body) < 40 << 10, len(r.body)
    assert s.get("/?x=1").body == r.body and s.request("HEAD", "/").body == b""
    assert s.post("/", {}).status == 405
    # A client that asks for anything else gets JSON.
    assert s.get("/index.html").json["error"]["code"] == "not_found"


@test
def test_webpage_policy():
    r = shared().get("/")
    policy = policy_of(r)
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", r.text, re.S)
        assert policy[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'", policy
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'", policy
    assert policy["frame-ancestors"] == "'none'", policy
    hosts = set(re.findall(r"https?://[^\s\"'/]+", r.text))
    assert hosts == {"http://www.w3.org"}, hosts  # the name of SVG, which nobody fetches
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert word not in r.text, word


@test
def test_webpage_needs_no_key():
    with Server("--api-key", "k", "--ctx", "256") as s:
        assert s.get("/").status == 200 and s.get("/props").status == 401
        assert s.get("/", headers={"Host": "evil.example"}).status == 403
