"""Responses in the background: asked for, looked at, cancelled and forgotten while they run."""
import json
import signal

from harness import Server, eventually, shared, test
from responses import body, post, response
from wire import JSON, http, until

ENDED = ("completed", "incomplete", "failed", "cancelled")
# An answer that is far from its end for as long as a test looks.
LONG = {"background": True, "max_output_tokens": 30000, "reasoning": {"effort": "none"}, "text": {"format": {
    "type": "json_schema", "name": "long", "schema": {"type": "array", "items": {"enum": [0, 1]}, "minItems": 20000}}}}


def begun(s, **kw):
    """Its id, once work on it has begun."""
    r = s.post("/v1/responses", body(**{**LONG, **kw}))
    assert r.status == 200 and r.json["status"] == "queued" and r.json["background"] is True, r
    eventually(lambda: look(s, r.json["id"])["status"] == "in_progress", "work begins")
    return r.json["id"]


def look(s, name, headers=None):
    r = s.get("/v1/responses/" + name, headers=headers)
    return r.json if r.status == 200 else r.status


def cancel(s, name, headers=None):
    return s.post(f"/v1/responses/{name}/cancel", None, headers=headers)


@test
def test_background_is_the_same_answer():
    want = response(body(seed=1, temperature=1))
    first = response(body(seed=1, temperature=1, background=True))
    assert first["status"] == "queued" and first["output"] == [] and first["usage"] is None, first
    eventually(lambda: look(shared(), first["id"])["status"] in ENDED, "it ends")
    got = look(shared(), first["id"])

    def said(r):
        return [[c["text"] for c in i["content"]] for i in r["output"]]
    assert got["status"] == want["status"] == "completed" and said(got) == said(want), (got, want)
    assert got["usage"]["output_tokens"] == want["usage"]["output_tokens"] and got["background"] is True, got
    assert cancel(shared(), first["id"]).json == got, "what has ended stays as it is"
    after = response(body(previous_response_id=first["id"], input="Hello."))
    assert after["usage"]["input_tokens"] > got["usage"]["input_tokens"], after


@test
def test_background_cancelled():
    with Server("--ctx", "32768", "--alias", "nano", "--parallel", "1") as s:
        first, second = begun(s), s.post("/v1/responses", body(**LONG)).json
        assert look(s, second["id"])["status"] == "queued", "there is room for one"
        for name in (second["id"], first):
            r = cancel(s, name)
            assert r.status == 200 and r.json["status"] == "cancelled" and r.json["error"] is None, r
        eventually(lambda: not s.busy(), "both end")
        for name in (second["id"], first):
            got = look(s, name)
            assert got["status"] == "cancelled" and got == cancel(s, name).json, got
            assert got["usage"]["output_tokens"] == 0 or name == first, got
        assert s.post("/v1/responses", body(max_output_tokens=3)).status == 200


@test
def test_background_forgotten_while_it_runs():
    with Server("--ctx", "32768", "--alias", "nano") as s:
        name = begun(s)
        assert s.request("DELETE", "/v1/responses/" + name).json == {"id": name, "object": "response", "deleted": True}
        assert look(s, name) == 404 and cancel(s, name).status == 404
        eventually(lambda: not s.busy(), "it ends")
        assert look(s, name) == 404


@test
def test_background_stream_goes_on_without_its_client():
    with Server("--ctx", "32768", "--alias", "nano") as s:
        with s.connect() as c:
            c.sendall(http("POST", "/v1/responses", json.dumps(body(**{**LONG, "max_output_tokens": 600}, stream=True)).encode(),
                           JSON))
            got = until(c, b"output_text.delta")
        assert got.count(b'"status":"queued"') == 2 and b"event: response.queued\n" in got, got
        name = json.loads(got.split(b"data: ")[1].split(b"\n")[0])["response"]["id"]
        eventually(lambda: look(s, name)["status"] in ENDED, "it ends")
        end = look(s, name)
        assert end["status"] == "incomplete" and end["usage"]["output_tokens"] == 600, end


@test
def test_without_background_a_client_that_leaves_cancels():
    with Server("--ctx", "32768", "--alias", "nano") as s:
        with s.connect() as c:
            c.sendall(http("POST", "/v1/responses", json.dumps(body(**{**LONG, "background": False}, stream=True)).encode(), JSON))
            name = json.loads(until(c, b"output_text.delta").split(b"data: ")[1].split(b"\n")[0])["response"]["id"]
        eventually(lambda: look(s, name) != 404, "it is kept")
        assert look(s, name)["status"] == "cancelled", look(s, name)


@test
def test_background_is_its_owners():
    keys = [{"Authorization": "Bearer " + k} for k in ("first-key-of-two-16", "second-key-of-two-16")]
    with Server("--ctx", "32768", "--alias", "nano", "--api-key", "first-key-of-two-16", "--api-key",
                "second-key-of-two-16") as s:
        name = s.post("/v1/responses", body(**LONG), headers=keys[0]).json["id"]
        path = "/v1/responses/" + name
        assert look(s, name, keys[1]) == cancel(s, name, keys[1]).status == 404
        assert s.request("DELETE", path, headers=keys[1]).status == 404 and cancel(s, name).status == 401
        assert look(s, name, keys[0])["status"] in ("queued", "in_progress")
        assert cancel(s, name, keys[0]).json["status"] == "cancelled"


@test
def test_background_refusals():
    r = post(body(background=True, store=False))
    assert r.status == 400 and r.error["param"] == "background" and "store" in r.error["message"], r
    r = cancel(shared(), response(body(max_output_tokens=1))["id"])
    assert r.status == 400 and "background" in r.error["message"], r
    for name in ("resp_none", "none", "resp_" + "0" * 500, "%00", "resp_a/b"):
        assert cancel(shared(), name).status == look(shared(), name) == 404, name
    assert shared().request("POST", "/v1/responses/resp_x").status == 405
    assert shared().get("/v1/responses/resp_x/cancel").status == 405


@test
def test_background_is_finished_before_the_end_and_cut_by_the_second_signal():
    with Server("--ctx", "32768", "--alias", "nano") as s:
        assert s.post("/v1/responses", body(**{**LONG, "max_output_tokens": 1000})).status == 200
        s.signal(signal.SIGTERM)
        assert s.wait() == 0 and "once more" in s.said()
    with Server("--ctx", "32768", "--alias", "nano") as s:
        begun(s)
        s.signal(signal.SIGTERM)
        eventually(lambda: "once more" in s.said(), "it drains")
        s.signal(signal.SIGTERM)
        assert s.wait(5) == 0
