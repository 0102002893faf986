"""POST /v1/messages and /v1/messages/count_tokens: orders of events, shapes, counts, refusals."""
import json

from harness import Server, shared, test
from samples import DISTANCE, FAR, THINK

CTX = 2048  # of the shared server


def body(**kw):
    return {"model": "nano", "max_tokens": 300, "temperature": 0,
            "messages": [{"role": "user", "content": "Thanks."}], **kw}


def post(b, path="/v1/messages", **kw):
    return shared().post(path, b, **kw)


def message(b):
    r = post(b)
    assert r.status == 200, r
    return r.json


def named_events(reply):
    """[(event, data)] of a stream whose every event has a name that its data repeats."""
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/event-stream", reply
    assert reply.text.endswith("\n\n"), reply.text[-200:]
    out = []
    for event in reply.text[:-2].split("\n\n"):
        lines = event.split("\n")
        assert len(lines) == 2 and lines[0].startswith("event: ") and lines[1].startswith("data: "), event
        data = json.loads(lines[1][6:])
        assert data["type"] == lines[0][7:], event
        out.append((data["type"], data))
    return out


def stream(b):
    return put_together(post({**b, "stream": True}))


def put_together(reply):
    """The events of a stream, as a client would put them together: (message, events)."""
    all_events = named_events(reply)
    names = [name for name, _ in all_events]
    assert names[:2] == ["message_start", "ping"] and names[-2:] == ["message_delta", "message_stop"], names
    m = all_events[0][1]["message"]
    assert m["content"] == [] and m["stop_reason"] is None and m["usage"]["output_tokens"] == 1, m
    block, partial = None, ""
    for name, data in all_events[2:-2]:
        if name == "ping":
            continue
        assert data["index"] == len(m["content"]) - (name != "content_block_start"), data
        if name == "content_block_start":
            assert block is None, "a block begins within another"
            block, partial = data["content_block"], ""
            assert block.get("text", "") == block.get("thinking", "") == "" and block.get("input", {}) == {}, block
            m["content"].append(block)
        elif name == "content_block_delta":
            d = data["delta"]
            key = {"text_delta": "text", "thinking_delta": "thinking"}.get(d["type"])
            if key:
                assert block["type"] == key and d[key], d
                block[key] += d[key]
            elif d["type"] == "input_json_delta":
                partial += d["partial_json"]
            else:
                assert d["type"] == "signature_delta" and block["type"] == "thinking" and d["signature"], d
                block["signature"] = d["signature"]
        else:
            assert name == "content_block_stop", name
            assert block["type"] != "thinking" or block["signature"], "thinking without a signature"
            if block["type"] == "tool_use":
                block["input"] = json.loads(partial)
            block = None
    assert block is None, "a block without an end"
    last = all_events[-2][1]
    m.update(last["delta"])
    m["usage"].update(last["usage"])
    return m, all_events


def without_ids(m):
    m = json.loads(json.dumps(m))
    m.pop("id")
    for b in m["content"]:
        b.pop("id", None)
    # Found in the cache or not: only the sum is the request's.
    u = m["usage"]
    u["total"] = u.pop("input_tokens") + u.pop("cache_read_input_tokens") + u.pop("cache_creation_input_tokens")
    return m


@test
def test_messages_whole():
    m = message(body(thinking=THINK))
    assert m["id"].startswith("msg_") and m["type"] == "message" and m["role"] == "assistant", m
    assert m["model"] == "nano" and m["stop_reason"] == "end_turn" and m["stop_sequence"] is None, m
    thinking, text = m["content"]
    assert thinking["type"] == "thinking" and thinking["thinking"] and thinking["signature"], m
    assert text == {"type": "text", "text": "You are welcome."}, m
    u = m["usage"]
    assert 0 < u["output_tokens_details"]["thinking_tokens"] < u["output_tokens"], u
    assert u["input_tokens"] > 0 and u["cache_creation_input_tokens"] == 0 <= u["cache_read_input_tokens"], u


@test
def test_messages_without_thinking():
    """As in the API, who does not ask for thinking gets none."""
    for kw in ({}, {"thinking": {"type": "disabled"}}):
        assert [b["type"] for b in message(body(**kw))["content"]] == ["text"]


@test
def test_messages_stream_is_the_whole():
    for kw in ({}, {"thinking": THINK}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
               {"tools": [DISTANCE], "messages": [FAR], "thinking": THINK}, {"max_tokens": 3}):
        streamed, _ = stream(body(**kw))
        assert without_ids(streamed) == without_ids(message(body(**kw))), (kw, streamed)


@test
def test_messages_thinking_has_a_budget():
    said = [{"role": "user", "content": "What is 12 plus 30?"}]
    free = message(body(messages=said, thinking=THINK))
    used = free["usage"]["output_tokens_details"]["thinking_tokens"]
    assert [b["type"] for b in free["content"]] == ["thinking", "text"] and used > 8, free
    for budget in (used, used + 1, used + 3):
        same = message(body(messages=said, thinking={"type": "enabled", "budget_tokens": budget}))
        assert without_ids(same) == without_ids(free), (budget, same, free)
    schema = {"type": "json_schema", "schema": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}},
                                                "required": ["n"], "additionalProperties": False}}
    for budget in (1, 2, 7):
        for kw in ({}, {"output_config": {"format": schema}}, {"tools": [DISTANCE], "tool_choice": {"type": "any"}}):
            short = body(messages=said, thinking={"type": "enabled", "budget_tokens": budget}, **kw)
            m, streamed = message(short), stream(short)[0]
            assert without_ids(m) == without_ids(streamed), (m, streamed)
            assert m["usage"]["output_tokens_details"]["thinking_tokens"] == budget, m
            thought = "".join(b["thinking"] for b in m["content"] if b["type"] == "thinking")
            assert kw or free["content"][0]["thinking"].startswith(thought), m
            assert m["content"][-1]["type"] == ("tool_use" if "tools" in kw else "text"), m
            if "output_config" in kw:
                assert set(json.loads(m["content"][-1]["text"])) == {"n"}, m
    r = shared().post("/v1/messages", body(thinking={"type": "enabled", "budget_tokens": 0}))
    assert r.status == 400 and "thinking.budget_tokens: 0" in r.error["message"], r


@test
def test_messages_call_in_fragments():
    m, all_events = stream(body(tools=[DISTANCE], messages=[FAR], thinking=THINK))
    assert m["stop_reason"] == "tool_use", m
    call = m["content"][-1]
    assert call["type"] == "tool_use" and call["id"].startswith("toolu_") and call["name"] == "get_distance", call
    assert call["input"] == {"start": "Bogota", "end": "Chicago"}, call
    fragments = [d["delta"]["partial_json"] for n, d in all_events
                 if n == "content_block_delta" and d["delta"]["type"] == "input_json_delta"]
    assert len(fragments) > 3, fragments  # as they are generated, not at the end


@test
def test_messages_second_turn():
    first = message(body(tools=[DISTANCE], messages=[FAR], thinking=THINK))
    call = first["content"][-1]
    turn = [FAR, {"role": "assistant", "content": first["content"]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"],
                                          "content": "{\"value\": 4350}"}]}]
    second = message(body(tools=[DISTANCE], messages=turn, thinking=THINK))
    assert "4350" in second["content"][-1]["text"], second
    # What the client hides changes nothing for the model.
    turn[1]["content"][0] = {**turn[1]["content"][0], "signature": "of another's"}
    turn[2]["content"][0]["content"] = [{"type": "text", "text": "{\"value\": 4350}",
                                         "cache_control": {"type": "ephemeral"}}]
    again = message(body(tools=[{**DISTANCE, "cache_control": {"type": "ephemeral"}}], messages=turn, thinking=THINK))
    assert again["content"][-1]["text"] == second["content"][-1]["text"]
    assert without_ids(again)["usage"] == without_ids(second)["usage"]


@test
def test_messages_thinking_not_shown():
    shown = message(body(thinking={"type": "adaptive", "display": "summarized"}))
    for m in (stream(body(thinking={"type": "adaptive", "display": "omitted"}))[0],
              message(body(thinking={"type": "adaptive", "display": "omitted"}))):
        hidden = m["content"][0]
        assert hidden["type"] == "thinking" and hidden["thinking"] == "" and hidden["signature"], m
        assert m["usage"]["output_tokens_details"] == shown["usage"]["output_tokens_details"], m
        assert m["content"][1:] == shown["content"][1:]
    # The next turn's prompt is the same as with the thinking in sight, also for a server that never saw this one.
    with Server("--ctx", "1024", "--alias", "nano") as s:
        counts = [count([{"role": "user", "content": "Thanks."}, {"role": "assistant", "content": c},
                         {"role": "user", "content": "Hello."}], s)
                  for c in (m["content"], shown["content"], shown["content"][1:])]
    assert counts[0] == counts[1] > counts[2], counts


def count(messages, at=None, **kw):
    r = (at or shared()).post("/v1/messages/count_tokens?beta=true", {"model": "nano", "messages": messages, **kw})
    assert r.status == 200 and list(r.json) == ["input_tokens"], r
    return r.json["input_tokens"]


@test
def test_messages_count_is_what_is_used():
    for kw in ({}, {"system": "You are kind."}, {"thinking": THINK}, {"tools": [DISTANCE]},
               {"system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}], "tools": [DISTANCE],
                "thinking": THINK, "output_config": {"effort": "max"}, "tool_choice": {"type": "none"}}):
        b = body(max_tokens=1, **kw)
        u = message(b)["usage"]
        n = count(b["messages"], **kw)
        assert n == u["input_tokens"] + u["cache_read_input_tokens"] + u["cache_creation_input_tokens"], (n, u)
        start = stream(b)[1][0][1]["message"]["usage"]
        assert n == start["input_tokens"] + start["cache_read_input_tokens"], (n, start)


@test
def test_messages_same_prompt_in_other_forms():
    forms = [
        {"system": "You are kind.\nBe brief.", "messages": [{"role": "user", "content": "Thanks."}]},
        {"system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=f00;"},
                    {"type": "text", "text": "You are kind."},
                    {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
         "messages": [{"role": "user", "content": [{"type": "text", "text": "Thanks.",
                                                    "cache_control": {"type": "ephemeral"}}]}]},
    ]
    answers = [message(body(**f)) for f in forms]
    assert without_ids(answers[0]) == without_ids(answers[1])
    assert answers[1]["usage"]["cache_read_input_tokens"] > 0, answers[1]["usage"]


@test
def test_messages_system_in_between():
    m = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello."}]
    plain = count(m + [{"role": "user", "content": "Thanks."}])
    told = count(m + [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Thanks."}])
    assert told > plain
    assert message(body(messages=m + [{"role": "system", "content": "Be kind."},
                                      {"role": "user", "content": "Thanks."}]))["stop_reason"] == "end_turn"


@test
def test_messages_prefill():
    m = message(body(messages=[{"role": "user", "content": "Thanks."}, {"role": "assistant", "content": "You are"}]))
    assert m["content"][0]["text"].strip().startswith("welcome"), m


@test
def test_messages_stop_reasons():
    b = body(messages=[{"role": "user", "content": "Thanks."}])
    m = message({**b, "stop_sequences": ["never said", " wel"]})
    assert (m["stop_reason"], m["stop_sequence"]) == ("stop_sequence", " wel"), m
    assert m["content"] == [{"type": "text", "text": "You are"}], m
    assert stream({**b, "stop_sequences": ["never said", " wel"]})[0]["stop_sequence"] == " wel"
    m = message({**b, "max_tokens": 2})
    assert m["stop_reason"] == "max_tokens" and m["usage"]["output_tokens"] == 2, m
    m = message({**b, "max_tokens": 0})
    assert m["content"] == [] and m["usage"]["output_tokens"] == 0, m


@test
def test_messages_one_call_only():
    for choice in ({"type": "auto", "disable_parallel_tool_use": True}, {"type": "auto"}):
        m = message(body(tools=[DISTANCE], messages=[FAR], tool_choice=choice))
        assert m["stop_reason"] == "tool_use" and sum(b["type"] == "tool_use" for b in m["content"]) == 1, m
    m = message(body(tools=[DISTANCE], messages=[FAR], tool_choice={"type": "none"}))
    assert m["stop_reason"] == "end_turn", m


WEATHER = {"name": "get_weather", "description": "Get the weather of a city", "strict": True, "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
    "required": ["city", "unit"], "additionalProperties": False}}


@test
def test_messages_forced_calls():
    for choice, name in (({"type": "any"}, None), ({"type": "tool", "name": "get_weather"}, "get_weather")):
        for thinking in ({"type": "disabled"}, THINK):
            m, _ = stream(body(tools=[DISTANCE, WEATHER], tool_choice=choice, thinking=thinking, max_tokens=400))
            calls = [b for b in m["content"] if b["type"] == "tool_use"]
            assert m["stop_reason"] == "tool_use" and calls and calls[0]["name"] == (name or calls[0]["name"]), m
            for c in calls:
                if c["name"] == "get_weather":
                    assert set(c["input"]) == {"city", "unit"} and c["input"]["unit"] in ("C", "F"), c


@test
def test_messages_format():
    schema = {"type": "object", "properties": {"thanks": {"type": "boolean"}, "n": {"type": "integer", "minimum": 3}},
              "required": ["thanks", "n"], "additionalProperties": False}
    m = message(body(thinking=THINK, output_config={"format": {"type": "json_schema", "schema": schema}}))
    value = json.loads(m["content"][-1]["text"])
    assert m["content"][0]["type"] == "thinking" and set(value) == {"thanks", "n"} and value["n"] >= 3, m


def refused(r, status, kind, text):
    assert r.status == status, r
    e = r.json
    assert e["type"] == "error" and e["error"]["type"] == kind and e["request_id"] == r.headers["request-id"], r
    assert text in e["error"]["message"], r


@test
def test_messages_refusals():
    cases = [
        ({"max_tokens": None}, 400, "max_tokens: is missing"),
        ({"max_tokens": "many"}, 400, "max_tokens: a string"),
        ({"model": None}, 400, "model: is missing"),
        ({"messages": []}, 400, "messages: at least one message is required"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, 400,
         "messages[0].content[0].text: an integer"),
        ({"temperature": "hot"}, 400, "temperature: a string"),
        ({"stop_sequences": "x"}, 400, "stop_sequences: "),
        ({"thinking": {"type": "deep"}}, 400, "thinking.type: "),
        ({"output_config": {"effort": "heroic"}}, 400, "output_config.effort: "),
        ({"tools": [{"name": "f"}]}, 400, "tools[0].input_schema: is missing"),
        ({"tools": [{**DISTANCE, "strict": "yes"}]}, 400, "tools[0].strict: "),
        ({"tool_choice": {"type": "all"}, "tools": [DISTANCE]}, 400, "tool_choice.type: "),
        ({"tool_choice": {"type": "any"}}, 400, "tool_choice: "),
        ({"tool_choice": {"type": "tool"}, "tools": [DISTANCE]}, 400, "tool_choice.name: "),
        ({"output_config": {"format": {"type": "xml"}}}, 400, "output_config.format.type: "),
        ({"output_config": {"format": {"type": "json_schema"}}}, 400, "output_config.format.schema: "),
        ({"stream": "yes"}, 400, "stream: a string"),
    ]
    for change, status, text in cases:
        b = {k: v for k, v in {**body(), **change}.items() if v is not None}
        refused(post(b), status, "invalid_request_error", text)
        if "max_tokens" not in change:
            refused(post(b, "/v1/messages/count_tokens"), status, "invalid_request_error", text)
    refused(post(b"{"), 400, "invalid_request_error", "body")
    refused(post(body(model="claude-nothing")), 404, "not_found_error", "model: claude-nothing")
    refused(shared().get("/v1/messages"), 405, "invalid_request_error", "POST")


@test
def test_messages_prompt_too_long():
    words = "Thanks. " * 3000
    n = count([{"role": "user", "content": words}])
    for b in (body(), body(stream=True)):
        r = post({**b, "messages": [{"role": "user", "content": words}]})
        refused(r, 400, "invalid_request_error", "prompt is too long: ")
        assert r.json["error"]["message"] == f"prompt is too long: {n} tokens > {CTX} maximum", r


@test
def test_messages_keys():
    with Server("--ctx", "512", "--alias", "nano", "--api-key", "secret") as s:
        for headers, status in (({}, 401), ({"x-api-key": "wrong"}, 401), ({"x-api-key": "secret"}, 200),
                                ({"Authorization": "Bearer secret"}, 200)):
            r = s.post("/v1/messages?beta=true", body(), headers=headers)
            assert r.status == status, r
            if status == 401:
                refused(r, 401, "authentication_error", "")
