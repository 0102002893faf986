"""Model lists, tokens, health, metrics, slots."""
import re

from harness import ROOT, Server, shared, test

import subprocess


@test
def test_models():
    s = shared()
    o = s.get("/v1/models").json
    (m,) = o["data"]
    assert o["object"] == "list" and o["first_id"] == o["last_id"] == m["id"] == "nano" and o["has_more"] is False, o
    assert m["object"] == m["type"].replace("model", "model") == "model" and isinstance(m["created"], int), m
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", m["created_at"]), m
    assert m["max_input_tokens"] == m["meta"]["n_ctx"] == 2048 and m["meta"]["n_params"] > 10**6, m
    assert s.get("/v1/models/nano").json == m
    r = s.get("/v1/models/other")
    assert r.status == 404 and r.error["code"] == "model_not_found", r
    assert s.get("/v1/models?limit=5&after=x").status == 200


@test
def test_tokenize_both_ways():
    s = shared()
    text = "Hello, Wörld 🎉 <|user|>"
    glim = subprocess.run([__import__("harness").GLIM, "tokenize", "--json"], input=text.encode(), capture_output=True)
    ids = __import__("json").loads(glim.stdout)
    assert s.post("/tokenize", {"content": text}).json == {"tokens": ids}
    both = s.post("/tokenize", {"prompt": text, "add_special_tokens": False}).json
    special = s.post("/tokenize", {"content": text, "parse_special": True}).json["tokens"]
    assert len(special) < len(ids), (special, ids)
    assert both == {"tokens": special, "count": len(special), "max_model_len": 2048}, both
    assert s.post("/tokenize", {"prompt": text, "parse_special": False}).json["tokens"] == ids
    assert s.post("/detokenize", {"tokens": ids}).json == {"content": text, "prompt": text}
    pieces = s.post("/tokenize", {"content": text, "with_pieces": True}).json["tokens"]
    assert [p["id"] for p in pieces] == ids
    joined = b"".join(bytes(p["piece"]) if isinstance(p["piece"], list) else p["piece"].encode() for p in pieces)
    assert joined.decode() == text
    assert s.post("/tokenize", {"content": ""}).json == {"tokens": []}
    assert s.post("/detokenize", {"tokens": []}).json["content"] == ""
    for path, body, param in (("/tokenize", {}, "content"), ("/tokenize", {"content": 5}, "content"),
                              ("/detokenize", {}, "tokens"), ("/detokenize", {"tokens": [-1]}, "tokens"),
                              ("/detokenize", {"tokens": ["a"]}, "tokens"), ("/detokenize", {"tokens": 5}, "tokens")):
        r = s.post(path, body)
        assert r.status == 400 and r.error["param"] == param, (path, body, r)


@test
def test_tokenizer_info():
    o = shared().get("/tokenizer_info").json
    assert o["eos_token"] == "<|endoftext|>" and o["bos_token"] is None, o
    assert o["chat_template"].startswith("[gMASK]<sop>") and "add_generation_prompt" in o["chat_template"], o


@test
def test_apply_template_prints_what_glim_template_prints():
    body = '{"messages":[{"role":"user","content":"Hi"}],"add_generation_prompt":true}'
    want = subprocess.run([__import__("harness").GLIM, "template"], input=body.encode(), capture_output=True).stdout.decode()
    r = shared().post("/apply-template", body)
    assert r.json["prompt"] == want.rstrip("\n") or r.json["prompt"] == want, (r, want)
    assert shared().post("/apply-template", {"messages": [{"role": "user", "content": "Hi"}]}).json == r.json
    assert shared().post("/apply-template", {"messages": 5}).error["param"] == "messages"


@test
def test_health_and_hello():
    s = shared()
    for path in ("/health", "/v1/health"):
        r = s.get(path)
        assert r.status == 200 and r.json == {"status": "ok"}, r
    r = s.request("HEAD", "/api/hello")
    assert r.status == 200 and r.body == b"", r


@test
def test_metrics_count():
    s = shared()
    before = s.metrics()
    s.chat(max_tokens=3)
    after = s.metrics()
    for name in ("glim_http_requests_total", "glim_requests_done_total"):
        assert after[name] > before[name], (name, before, after)
    text = s.get("/metrics").text
    assert all(f"# TYPE {m} " in text for m in after), text


@test
def test_metrics_of_a_streamed_model():
    glim = __import__("harness").GLIM
    args = ("--ctx", "256", "--mtp", "off")
    p = subprocess.run([glim, "serve", "--port", "0", *args, "--ram", "1M"], capture_output=True, text=True)
    least = int(re.search(r"needs at least [0-9.]+ \((\d+) bytes\)|$", p.stderr).group(1) or 0)
    assert least, p.stderr
    with Server(*args, "--ram", str(least)) as s:
        s.chat(max_tokens=8)
        text, m = s.get("/metrics").text, s.metrics()
        drive = int(re.search(r'^glim_drive_bytes_read_total\{drive="0"\} (\d+)$', text, re.M).group(1))
        assert "{drive=\"1\"}" not in text
        assert drive >= m["glim_expert_bytes_read_total"] > 0 and m["glim_always_bytes"] > 0, m
        assert 0 < m["glim_expert_room_bytes"] < least and m["glim_experts_wanted_total"] >= m["glim_experts_hit_total"], m


@test
def test_props_and_slots():
    s = shared()
    o = s.get("/props").json
    assert o["default_generation_settings"]["n_ctx"] == 2048 and o["model_alias"] == "nano" and o["total_slots"] > 0, o
    slots = s.get("/slots").json
    assert [x["id"] for x in slots] == list(range(o["total_slots"])) and s.busy() == [], slots
    for action in ("save", "restore"):
        r = s.post(f"/slots/0?action={action}", {"filename": "x"})
        assert r.status == 501 and r.error["code"] == "not_supported" and "--slot-save-path" in r.error["message"], r


@test
def test_embeddings_are_refused_clearly():
    r = shared().post("/v1/embeddings", {"input": "x", "model": "nano"})
    assert r.status == 501 and "embeddings" in r.error["message"], r


@test
def test_methods():
    s = shared()
    r = s.get("/v1/chat/completions")
    assert r.status == 405 and "POST" in r.headers["Allow"] and r.error["code"] == "method_not_allowed", r
    assert s.post("/v1/models", {}).status == 405
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/models", "/health", "/tokenize", "/slots/0"):
        r = s.request("OPTIONS", path)
        assert r.status == 204 and "OPTIONS" in r.headers["Allow"], r
        assert "Access-Control-Allow-Origin" not in r.headers, r
        r = s.request("HEAD", path)
        assert r.status == 200 and r.body == b"", r
    r = s.get("/nothing/here")
    assert r.status == 404 and r.error["code"] == "not_found" and "/nothing/here" in r.error["message"], r
    assert s.request("HEAD", "/nothing").status == 404
