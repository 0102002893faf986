"""POST /v1/chat/completions."""
import json

from harness import Server, content, shared, test

USER = [{"role": "user", "content": "What is 12 plus 30?"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def ask(**fields):
    return {"model": "nano", "messages": USER, "temperature": 0, "max_tokens": 40, **fields}


@test
def test_chat_reply_has_the_documented_shape():
    r = shared().post("/v1/chat/completions", ask(reasoning_effort="none"))
    o = r.json
    assert r.status == 200 and r.headers["Content-Type"] == "application/json", r
    assert o["id"].startswith("chatcmpl-") and o["object"] == "chat.completion" and o["model"] == "nano", o
    assert isinstance(o["created"], int) and o["system_fingerprint"].startswith("fp_"), o
    (c,) = o["choices"]
    assert c["index"] == 0 and c["finish_reason"] in ("stop", "length") and c["logprobs"] is None, c
    m = c["message"]
    assert m["role"] == "assistant" and m["refusal"] is None and isinstance(m["content"], str) and m["content"], m
    assert "reasoning_content" not in m and "tool_calls" not in m, m
    u = o["usage"]
    assert u["total_tokens"] == u["prompt_tokens"] + u["completion_tokens"] and u["completion_tokens"] > 0, u
    assert u["prompt_tokens_details"]["cached_tokens"] >= 0, u
    assert r.headers["x-request-id"].startswith("req_") and o["id"][9:] == r.headers["x-request-id"][4:], r
    assert int(r.headers["openai-processing-ms"]) >= 0, r
    t = o["timings"]
    assert t["prompt_n"] + t["cache_n"] == u["prompt_tokens"] and t["predicted_n"] == u["completion_tokens"], o


@test
def test_chat_stream_says_the_same_as_the_reply():
    for extra in ({"reasoning_effort": "none"}, {}):
        whole = shared().post("/v1/chat/completions", ask(**extra)).json
        events = shared().events("/v1/chat/completions", ask(stream_options={"include_usage": True}, **extra))
        text, reasoning, calls, finish = content(events)
        message = whole["choices"][0]["message"]
        assert text == (message["content"] or ""), (text, message)
        assert reasoning == message.get("reasoning_content", ""), (reasoning, message)
        assert finish == whole["choices"][0]["finish_reason"] and not calls
        assert events[-1] == "[DONE]" and events[-2]["choices"] == [], events[-2:]
        usage = events[-2]["usage"]
        assert usage["completion_tokens"] == whole["usage"]["completion_tokens"], usage
        chunks = events[:-2]
        first = chunks[0]["choices"][0]
        assert first["delta"] == {"role": "assistant", "content": ""} and first["finish_reason"] is None, first
        assert {(e["id"], e["created"], e["model"], e["object"]) for e in chunks} == \
            {(chunks[0]["id"], chunks[0]["created"], "nano", "chat.completion.chunk")}
        assert chunks[-1]["choices"][0]["delta"] == {} and all(
            e["choices"][0]["finish_reason"] is None for e in chunks[:-1])
        assert all(e["usage"] is None for e in chunks)


@test
def test_chat_reasons_by_effort():
    s = shared()
    for effort in ("minimal", "low", "medium", "high", "xhigh", "max"):
        m = s.post("/v1/chat/completions", ask(reasoning_effort=effort)).json["choices"][0]["message"]
        assert m["reasoning_content"], (effort, m)
    off = [{"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}},
           {"chat_template_kwargs": {"enable_thinking": False}}]
    replies = {s.post("/v1/chat/completions", ask(**o)).json["choices"][0]["message"]["content"] for o in off}
    assert len(replies) == 1, replies
    prompts = {e: s.post("/v1/chat/completions", ask(reasoning_effort=e)).json["usage"]["prompt_tokens"]
               for e in ("none", "high", "max")}
    assert prompts["none"] < prompts["high"], prompts
    r = s.post("/v1/chat/completions", ask(reasoning_effort="warp"))
    assert r.status == 400 and r.error["param"] == "reasoning_effort" and "warp" in r.error["message"], r


@test
def test_chat_prompt_is_the_same_in_every_form_of_the_messages():
    """What clients send in different ways between turns gives one prompt."""
    s = shared()
    forms = [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
         {"role": "assistant", "content": "Hello.", "reasoning_content": "greet"}, {"role": "user", "content": "Bye"}],
        [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
         {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
         {"role": "assistant", "content": [{"type": "text", "text": "Hello."}], "reasoning": "greet", "refusal": None},
         {"role": "user", "content": [{"type": "text", "text": "B"}, {"type": "text", "text": "ye"}], "name": "u"}],
    ]
    prompts = {s.post("/apply-template", {"messages": m, "clear_thinking": False}).json["prompt"] for m in forms}
    assert len(prompts) == 1 and "greet" in prompts.pop(), prompts


@test
def test_chat_tools_reach_the_prompt_and_choices_are_kept():
    s = shared()
    with_tools = s.post("/v1/chat/completions", ask(tools=[WEATHER])).json["usage"]["prompt_tokens"]
    without = s.post("/v1/chat/completions", ask()).json["usage"]["prompt_tokens"]
    none = s.post("/v1/chat/completions", ask(tools=[WEATHER], tool_choice="none")).json["usage"]["prompt_tokens"]
    allowed = s.post("/v1/chat/completions", ask(tools=[WEATHER], tool_choice={
        "type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
            {"type": "function", "function": {"name": "get_weather"}}]}})).json["usage"]["prompt_tokens"]
    assert with_tools == allowed > without == none, (with_tools, allowed, without, none)


@test
def test_chat_calls_tools():
    """The bundled model calls a tool that it was trained on; streamed and whole say the same."""
    s = shared()
    body = ask(messages=[{"role": "user", "content": "What is the weather in Oslo?"}], tools=[WEATHER],
               reasoning_effort="none", max_tokens=60)
    whole = s.post("/v1/chat/completions", body).json["choices"][0]
    assert whole["finish_reason"] == "tool_calls", whole
    call = whole["message"]["tool_calls"][0]
    assert call["id"].startswith("call_") and call["type"] == "function", call
    assert call["function"]["name"] == "get_weather", call
    assert "city" in json.loads(call["function"]["arguments"]), call
    events = s.events("/v1/chat/completions", body)
    _, _, calls, finish = content(events)
    assert finish == "tool_calls" and calls[0]["name"] == call["function"]["name"], calls
    assert calls[0]["arguments"] == call["function"]["arguments"] and calls[0]["id"].startswith("call_"), calls
    deltas = [c["choices"][0]["delta"]["tool_calls"][0] for c in events
              if c != "[DONE]" and "tool_calls" in c["choices"][0]["delta"]]
    assert deltas[0]["function"] == {"name": "get_weather", "arguments": ""}, deltas[0]
    assert len(deltas) > 2 and all("id" not in d for d in deltas[1:]), deltas
    back = s.post("/v1/chat/completions", ask(tools=[WEATHER], messages=[
        body["messages"][0], whole["message"],
        {"role": "tool", "tool_call_id": call["id"], "content": "Rain, 7 degrees"}]))
    assert back.status == 200, back


@test
def test_chat_several_answers_and_seeds():
    s = shared()
    r = s.post("/v1/chat/completions", ask(n=3, temperature=1, seed=5, max_tokens=12)).json
    assert [c["index"] for c in r["choices"]] == [0, 1, 2], r
    again = s.post("/v1/chat/completions", ask(n=3, temperature=1, seed=5, max_tokens=12)).json
    assert [c["message"] for c in r["choices"]] == [c["message"] for c in again["choices"]]
    drawn = {json.dumps(s.post("/v1/chat/completions", ask(temperature=3, top_p=1, max_tokens=12)).json["choices"][0]["message"])
             for _ in range(6)}
    assert len(drawn) > 1, drawn
    events = s.events("/v1/chat/completions", ask(n=2, temperature=1, seed=5, max_tokens=12))
    texts = {0: "", 1: ""}
    for e in events[:-1]:
        c = e["choices"][0]
        texts[c["index"]] += c["delta"].get("content", "") + c["delta"].get("reasoning_content", "")
    for i in (0, 1):
        m = r["choices"][i]["message"]
        assert texts[i] == m.get("reasoning_content", "") + (m["content"] or ""), (i, texts, m)


@test
def test_chat_stops():
    s = shared()
    full = s.post("/v1/chat/completions", ask(reasoning_effort="none")).json["choices"][0]["message"]["content"]
    cut = full[3:6]
    for stop in (cut, [cut], ["\x01never", cut]):
        c = s.post("/v1/chat/completions", ask(reasoning_effort="none", stop=stop)).json["choices"][0]
        assert c["message"]["content"] == full[:full.index(cut)] and c["finish_reason"] == "stop", (c, full)
    one = s.post("/v1/chat/completions", ask(max_completion_tokens=1)).json
    assert one["usage"]["completion_tokens"] == 1 and one["choices"][0]["finish_reason"] == "length", one


@test
def test_chat_refuses_wrong_types_and_names_them():
    s = shared()
    bad = [
        ({"messages": None}, "messages"), ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages[0]"), ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"max_tokens": -1}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"), ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"), ({"max_tokens": []}, "max_tokens"), ({"max_tokens": 2**63}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"), ({"temperature": -0.1}, "temperature"), ({"top_p": 2}, "top_p"),
        ({"top_k": -1}, "top_k"), ({"n": 0}, "n"), ({"n": 9}, "n"), ({"seed": 1.5}, "seed"),
        ({"stop": ""}, "stop"), ({"stop": 5}, "stop"), ({"stop": ["x"] * 17}, "stop"), ({"stop": "x" * 5000}, "stop"),
        ({"stream": "yes"}, "stream"), ({"stream_options": {}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"logit_bias": {"x": 1}}, "logit_bias"), ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"logit_bias": {"5": "a"}}, "logit_bias.5"), ({"logit_bias": {"5": 1001}}, "logit_bias.5"), ({"logit_bias": [1]}, "logit_bias"),
        ({"logprobs": 1}, "logprobs"), ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"tools": {}}, "tools"), ({"tools": [1]}, "tools[0]"), ({"tools": [{"type": "magic"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": "yes"}}]}, "tools[0].function.strict"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "tools[0].function.parameters"),
        ({"tools": [{"type": "function", "function": {"name": "f", "description": 5}}]}, "tools[0].function.description"),
        ({"tool_choice": "maybe"}, "tool_choice"), ({"response_format": []}, "response_format"),
        ({"grammar": "root ::= x"}, "grammar"), ({"thinking": 5}, "thinking"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"), ({"chat_template_kwargs": 3}, "chat_template_kwargs"),
        ({"model": 5}, "model"), ({"model": "gpt-9"}, "model"),
        ({"presence_penalty": 1000}, "presence_penalty"), ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ]
    for fields, param in bad:
        r = s.post("/v1/chat/completions", ask(**fields))
        assert r.status == (404 if fields.get("model") == "gpt-9" else 400), (fields, r)
        assert r.error["param"] == param, (fields, r)
        assert r.error["type"] == "invalid_request_error" and r.error["message"], r
    assert s.post("/v1/chat/completions", ask(model="gpt-9")).error["code"] == "model_not_found"


@test
def test_chat_ignores_what_it_does_not_know():
    r = shared().post("/v1/chat/completions", ask(
        user="u", metadata={"a": 1}, store=False, service_tier="auto", prompt_cache_key="k", safety_identifier="s",
        verbosity="low", prediction=None, modalities=["text"], frobnicate=[1, {"x": None}], temperature=None, tools=None,
        max_tokens=4, stream_options=None, logit_bias=None, response_format={"type": "text"}))
    assert r.status == 200, r


@test
def test_chat_longer_than_the_context():
    s = shared()
    r = s.chat("word " * 4000)
    assert r.status == 400 and r.error["code"] == "context_length_exceeded", r
    assert "maximum context length is 2048 tokens" in r.error["message"], r
    assert r.error["n_ctx"] == 2048 and r.error["n_prompt_tokens"] > 2048, r
    streamed = s.post("/v1/chat/completions", ask(messages=[{"role": "user", "content": "word " * 4000}], stream=True))
    assert streamed.status == 400 and streamed.error["code"] == "context_length_exceeded", streamed


@test
def test_chat_finds_its_prompt_in_the_cache():
    s = shared()
    turn = [{"role": "user", "content": "Tell me about the " + "very " * 60 + "old lantern."}]
    first = s.post("/v1/chat/completions", ask(messages=turn, max_tokens=4)).json["usage"]
    second = s.post("/v1/chat/completions", ask(messages=turn, max_tokens=4)).json["usage"]
    assert second["prompt_tokens"] == first["prompt_tokens"], (first, second)
    assert second["prompt_tokens_details"]["cached_tokens"] > 50, (first, second)


def progress_of(events):
    """The prompt_progress of a stream, which all comes before the answer; and the usage."""
    at = [i for i, e in enumerate(events[:-1]) if "prompt_progress" in e]
    for i in at:
        assert events[i]["object"].endswith(("chunk", "completion")) and len(events[i]["choices"]) == 1, events[i]
    said = [i for i, e in enumerate(events[:-1]) for c in e["choices"]
            if c.get("text") or any(v for k, v in c.get("delta", {}).items() if k != "role")]
    assert not at or not said or max(at) < min(said), (at, said)
    return [events[i]["prompt_progress"] for i in at], events[-2]["usage"]


@test
def test_chat_and_completions_tell_how_far_the_prompt_is():
    s = shared()
    text = "How far is it along " + "the long and winding road " * 180 + "?"  # more than one chunk of it
    usage = {"stream_options": {"include_usage": True}}
    for path, ask_ in (("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}),
                       ("/v1/completions", {"prompt": text})):
        body = {**ask_, **usage, "max_tokens": 3, "temperature": 0}
        assert progress_of(s.events(path, body))[0] == [], path
        other = {k: [{"role": "user", "content": "So: " + text}] if k == "messages" else "So: " + v if k == "prompt" else v
                 for k, v in body.items()}
        new, u = progress_of(s.events(path, {**other, "return_progress": True}))
        assert len(new) >= 2 and all(set(p) == {"total", "cache", "processed", "time_ms"} for p in new), new
        assert all(p["total"] == u["prompt_tokens"] and p["cache"] <= p["processed"] <= p["total"] for p in new), (new, u)
        assert all(a["processed"] < b["processed"] and a["time_ms"] <= b["time_ms"] for a, b in zip(new, new[1:])), new
        assert new[-1]["processed"] == u["prompt_tokens"] and new[0]["processed"] < new[0]["total"], new
        again, u = progress_of(s.events(path, {**other, "return_progress": True}))
        assert again[-1]["cache"] == u["prompt_tokens_details"]["cached_tokens"] > 500, (again, u)
        assert again[-1]["processed"] == again[-1]["total"] > again[-1]["cache"], again
        assert "prompt_progress" not in s.post(path, {**body, "return_progress": True, "stream_options": None}).text
        r = s.post(path, {**body, "return_progress": 1})
        assert r.status == 400 and r.error["param"] == "return_progress", r


@test
def test_reasoning_has_the_name_that_is_asked_for():
    names = {"reasoning_content", "reasoning"}
    first = shared().post("/v1/chat/completions", ask(max_tokens=8)).json["choices"][0]["message"]
    thought = first["reasoning_content"]
    assert thought and "reasoning" not in first, first
    for option, wanted in (("reasoning", {"reasoning"}), ("both", names), ("none", set())):
        with Server("--ctx", "2048", "--alias", "nano", "--reasoning-field", option) as s:
            m = s.post("/v1/chat/completions", ask(max_tokens=8)).json["choices"][0]["message"]
            assert {k: m[k] for k in names & set(m)} == {k: thought for k in wanted}, (option, m)
            streamed = dict.fromkeys(wanted, "")
            for e in s.events("/v1/chat/completions", ask(max_tokens=8))[:-1]:
                for k in names & set(e["choices"][0]["delta"]):
                    streamed[k] += e["choices"][0]["delta"][k]
            assert streamed == {k: thought for k in wanted}, (option, streamed)
    prompts = [shared().post("/apply-template", {"messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", name: "Hm.", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"}]}).json["prompt"] for name in sorted(names)]
    assert prompts[0] == prompts[1] and "Hm." in prompts[0], prompts


@test
def test_chat_logprobs_are_of_the_content():
    s = shared()
    for extra in ({"reasoning_effort": "none"}, {"max_tokens": 300}):
        body = ask(logprobs=True, top_logprobs=3, **extra)
        c = s.post("/v1/chat/completions", body).json["choices"][0]
        entries = c["logprobs"]["content"]
        assert "".join(e["token"] for e in entries) == c["message"]["content"] and entries, c
        for e in entries:
            assert e["logprob"] <= 0 and bytes(e["bytes"]).decode() == e["token"] and len(e["top_logprobs"]) == 3, e
            tops = [t["logprob"] for t in e["top_logprobs"]]
            assert tops == sorted(tops, reverse=True) and e["top_logprobs"][0]["token"] == e["token"], e
        streamed = [e for x in s.events("/v1/chat/completions", body)[:-1]
                    for e in (x["choices"][0]["logprobs"] or {"content": []})["content"]]
        assert streamed == entries, (streamed, entries)
    assert s.post("/v1/chat/completions", ask(logprobs=True, max_tokens=2)).json["choices"][0]["logprobs"] == {
        "content": [], "refusal": None}


@test
def test_chat_text_never_breaks_a_character():
    s = shared()
    body = ask(messages=[{"role": "user", "content": "Antworte: Übergröße, 東京, 🎉!"}], temperature=1.3, seed=3,
               max_tokens=60)
    for e in s.events("/v1/chat/completions", body)[:-1]:
        assert "\ufffd" not in json.dumps(e["choices"][0]["delta"], ensure_ascii=False), e
