"""POST /v1/completions."""
from harness import shared, test

PATH = "/v1/completions"


def ask(**fields):
    return {"model": "nano", "prompt": "Once upon a time", "temperature": 0, "max_tokens": 12, **fields}


@test
def test_completion_reply_has_the_documented_shape():
    o = shared().post(PATH, ask()).json
    assert o["id"].startswith("cmpl-") and o["object"] == "text_completion" and o["model"] == "nano", o
    (c,) = o["choices"]
    assert c["index"] == 0 and c["text"] and c["logprobs"] is None and c["finish_reason"] in ("stop", "length"), c
    assert o["usage"]["completion_tokens"] <= 12 and o["usage"]["prompt_tokens"] > 0, o


@test
def test_completion_of_tokens_is_that_of_their_text():
    s = shared()
    ids = s.post("/tokenize", {"content": "Once upon a time"}).json["tokens"]
    want = s.post(PATH, ask()).json["choices"][0]["text"]
    assert s.post(PATH, ask(prompt=ids)).json["choices"][0]["text"] == want
    many = s.post(PATH, ask(prompt=[ids, ids, ids])).json
    assert [c["text"] for c in many["choices"]] == [want] * 3 and [c["index"] for c in many["choices"]] == [0, 1, 2]
    texts = s.post(PATH, ask(prompt=["Once upon a time", "The lantern"], n=2)).json
    assert [c["text"] for c in texts["choices"]][:2] == [want] * 2 and len(texts["choices"]) == 4, texts
    assert texts["usage"]["prompt_tokens"] == len(ids) + len(
        s.post("/tokenize", {"content": "The lantern"}).json["tokens"]), texts


@test
def test_completion_stream_says_the_same():
    s = shared()
    whole = s.post(PATH, ask()).json["choices"][0]
    events = s.events(PATH, ask(stream_options={"include_usage": True}))
    assert events[-1] == "[DONE]" and events[-2]["usage"]["completion_tokens"] > 0, events[-2:]
    text = "".join(e["choices"][0]["text"] for e in events[:-2])
    finish = [e["choices"][0]["finish_reason"] for e in events[:-2]]
    assert text == whole["text"] and finish[-1] == whole["finish_reason"] and not any(finish[:-1]), events
    echoed = s.events(PATH, ask(echo=True))
    assert echoed[0]["choices"][0]["text"] == "Once upon a time", echoed[0]


@test
def test_completion_echoes():
    s = shared()
    plain = s.post(PATH, ask()).json["choices"][0]["text"]
    assert s.post(PATH, ask(echo=True)).json["choices"][0]["text"] == "Once upon a time" + plain
    only = s.post(PATH, ask(echo=True, max_tokens=0)).json
    assert only["choices"][0]["text"] == "Once upon a time", only
    assert only["usage"]["completion_tokens"] == 0 and only["choices"][0]["finish_reason"] == "length", only


@test
def test_completion_special_tokens_of_a_text_are_text():
    s = shared()
    text = "<|user|>Hi<|assistant|>"
    ids = s.post("/tokenize", {"content": text}).json["tokens"]
    special = s.post("/tokenize", {"content": text, "parse_special": True}).json["tokens"]
    assert len(special) < len(ids), (special, ids)
    assert s.post(PATH, ask(prompt=text, max_tokens=1)).json["usage"]["prompt_tokens"] == len(ids)


def story(s):
    """A prompt in the words of the template, as tokens, and what the model says to it."""
    text = s.post("/apply-template", {"messages": [{"role": "user", "content": "Tell me a story about a lantern."}],
                                      "enable_thinking": False}).json["prompt"]
    return s.post("/tokenize", {"content": text, "parse_special": True}).json["tokens"]


@test
def test_completion_logprobs():
    s = shared()
    body = ask(prompt=story(s), logprobs=2)
    c = s.post(PATH, body).json["choices"][0]
    p = c["logprobs"]
    assert "".join(p["tokens"]) == c["text"] and len(p["tokens"]) == 12, c
    assert p["text_offset"] == [len("".join(p["tokens"][:i]).encode()) for i in range(len(p["tokens"]))], p
    assert all(len(t) <= 2 and max(t.values()) == v for t, v in zip(p["top_logprobs"], p["token_logprobs"])), p
    streamed = [x["choices"][0]["logprobs"] for x in s.events(PATH, body)[:-1]]
    assert [t for x in streamed if x for t in x["tokens"]] == p["tokens"], streamed
    assert s.post(PATH, {**body, "logprobs": 0}).json["choices"][0]["logprobs"]["top_logprobs"] is None
    cut = s.post(PATH, {**body, "stop": [c["text"][6:10]]}).json["choices"][0]
    assert cut["text"] == c["text"][:c["text"].index(c["text"][6:10])], (cut, c)
    assert "".join(cut["logprobs"]["tokens"]).startswith(cut["text"]), cut


@test
def test_completion_scores_a_given_text():
    """As lm-eval asks: tokens in, the probabilities of the prompt's tokens out; they are those of generation."""
    s = shared()
    first = story(s)
    made = s.post(PATH, ask(prompt=first, logprobs=1)).json["choices"][0]
    both = first + s.post("/tokenize", {"content": made["text"]}).json["tokens"]
    r = s.post(PATH, ask(prompt=[both, first], max_tokens=1, logprobs=1, echo=True, seed=1234)).json["choices"]
    p = r[0]["logprobs"]
    assert p["token_logprobs"][0] is None and p["top_logprobs"][0] is None and len(p["tokens"]) == len(both) + 1, p
    assert len(r[1]["logprobs"]["tokens"]) == len(first) + 1, r
    assert p["tokens"][len(first):-1] == made["logprobs"]["tokens"], (p, made)
    for a, b in zip(p["token_logprobs"][len(first):-1], made["logprobs"]["token_logprobs"]):
        assert abs(a - b) < 0.05, (p, made)
    only = s.post(PATH, ask(prompt=both, max_tokens=0, logprobs=1, echo=True)).json["choices"][0]["logprobs"]
    assert only["token_logprobs"] == p["token_logprobs"][:-1], (only, p)


@test
def test_completion_scores_the_token_that_ends_it():
    """lm-eval drops the last score, as that of the one token it lets be generated: also when that one is the end."""
    s = shared()
    ids = story(s)
    ended = s.post(PATH, ask(prompt=ids, max_tokens=400, logprobs=1)).json["choices"][0]
    assert ended["finish_reason"] == "stop", ended
    p = ended["logprobs"]
    assert "".join(p["tokens"][:-1]) == ended["text"] and p["tokens"][-1].startswith("<|"), p["tokens"][-3:]
    assert p["text_offset"][-1] == len(ended["text"].encode()) and p["token_logprobs"][-1] < 0, p
    assert all(len(p[k]) == len(p["tokens"]) for k in p), p
    streamed = [x["choices"][0]["logprobs"] for x in s.events(PATH, ask(prompt=ids, max_tokens=400, logprobs=1))[:-1]]
    assert [t for x in streamed if x for t in x["tokens"]] == p["tokens"], streamed[-2:]
    all_of = ids + s.post("/tokenize", {"content": ended["text"]}).json["tokens"]
    echoed = s.post(PATH, ask(prompt=all_of, max_tokens=1, logprobs=1, echo=True)).json["choices"][0]
    assert len(echoed["logprobs"]["tokens"]) == len(all_of) + 1 and not echoed["text"].endswith(p["tokens"][-1]), echoed
    assert echoed["logprobs"]["tokens"][-1] == p["tokens"][-1], echoed["logprobs"]["tokens"][-3:]


@test
def test_completion_refuses():
    s = shared()
    for fields, param in (({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"), ({"prompt": ""}, "prompt"),
                          ({"prompt": 5}, "prompt"), ({"prompt": {}}, "prompt"), ({"prompt": [[]]}, "prompt"),
                          ({"prompt": [1, "x"]}, "prompt"), ({"prompt": [-1]}, "prompt"), ({"prompt": [10**9]}, "prompt"),
                          ({"prompt": ["x", 5]}, "prompt"), ({"prompt": ["x"] * 129}, "prompt"),
                          ({"prompt": ["x"] * 128, "n": 2}, "n"), ({"logprobs": 21}, "logprobs"),
                          ({"logprobs": "a"}, "logprobs"), ({"suffix": "end"}, "suffix"), ({"best_of": 3}, "best_of"),
                          ({"echo": "yes"}, "echo"), ({"max_tokens": 0}, "max_tokens")):
        r = s.post(PATH, ask(**fields))
        assert r.status == 400 and r.error["param"] == param, (fields, r)
