"""POST /v1/responses and what belongs to it: orders of events, shapes, kept responses, refusals."""
import json
import re

from harness import Server, shared, test
from messages import CTX, named_events

DISTANCE = {"type": "function", "name": "get_distance", "description": "Get the distance between two cities",
            "parameters": {"type": "object", "properties": {
                "start": {"type": "string", "description": "First city"},
                "end": {"type": "string", "description": "Second city"}}, "required": ["start", "end"]}}
FAR = "How far is it from Bogota to Chicago?"
KEYS = {"id", "object", "created_at", "status", "model", "output", "error", "incomplete_details", "instructions",
        "metadata", "parallel_tool_calls", "temperature", "top_p", "tool_choice", "tools", "usage", "text", "reasoning",
        "store", "previous_response_id", "max_output_tokens"}


def body(**kw):
    return {"model": "nano", "input": "Thanks.", "temperature": 0, "max_output_tokens": 300, **kw}


def post(b, path="/v1/responses", **kw):
    return shared().post(path, b, **kw)


def response(b):
    r = post(b)
    assert r.status == 200, r
    assert KEYS <= set(r.json), KEYS - set(r.json)
    return r.json


PARTS = {"reasoning": ("reasoning_text", "response.reasoning_text"), "message": ("output_text", "response.output_text"),
         "function_call": (None, "response.function_call_arguments"),
         "custom_tool_call": (None, "response.custom_tool_call_input")}
TEXT = {"function_call": "arguments", "custom_tool_call": "input"}


def item_events(it, i):
    """Checks one item's events, given as an iterator; the item as a client would put it together."""
    name, e = next(i)
    assert name == "response.output_item.added" and e["item"]["status"] == "in_progress", e
    item, index = e["item"], e["output_index"]
    assert index == it, (index, it)
    part, prefix = PARTS[item["type"]]
    own = {"item_id": item["id"], "output_index": index, **({"content_index": 0} if part else {})}

    def inside(data):
        assert own.items() <= data.items() and ("content_index" in data) == bool(part), (own, data)

    if part:
        assert item["content"] == [], item
        name, e = next(i)
        inside(e)
        assert name == "response.content_part.added" and e["part"]["type"] == part and e["part"]["text"] == "", e
        if part == "output_text":
            assert e["part"]["annotations"] == [] == e["part"]["logprobs"], e
    text, deltas = "", 0
    for name, e in i:
        if name != prefix + ".delta":
            break
        inside(e)
        text += e["delta"]
        deltas += 1
    key = TEXT.get(item["type"], "text")
    assert name == prefix + ".done" and e[key] == text, (name, e, text)
    inside(e)
    if part:
        name, e = next(i)
        inside(e)
        assert name == "response.content_part.done" and e["part"]["text"] == text, e
    name, e = next(i)
    assert name == "response.output_item.done" and e["output_index"] == index, e
    done = e["item"]
    assert done["id"] == item["id"] and done["type"] == item["type"], (item, done)
    assert (done["content"][0]["text"] if part else done[key]) == text, done
    return done, deltas


def stream(b):
    """The events of a stream, checked one by one: (final response, deltas of each item)."""
    all_events = named_events(post({**b, "stream": True}))
    assert [e["sequence_number"] for _, e in all_events] == list(range(len(all_events)))
    i = iter([x for x in all_events if x[0] != "keepalive"])
    for wanted in ("response.created", "response.in_progress"):
        name, e = next(i)
        assert name == wanted and e["response"]["status"] == "in_progress", e
        assert e["response"]["output"] == [] and e["response"]["usage"] is None and KEYS <= set(e["response"]), e
    items, deltas = [], []
    rest = list(i)
    ends = [n for n, (name, _) in enumerate(rest) if name == "response.output_item.done"]
    begin = 0
    for end in ends:
        one, k = item_events(len(items), iter(rest[begin:end + 1]))
        items.append(one)
        deltas.append(k)
        begin = end + 1
    assert len(rest) == begin + 1, rest[begin:]
    name, e = rest[-1]
    final = e["response"]
    assert name == "response." + final["status"], e
    assert final["output"] == items, (final["output"], items)
    return final, deltas


def without_ids(r):
    r = json.loads(json.dumps(r))
    for k in ("id", "created_at"):
        r.pop(k)
    for item in r["output"]:
        item.pop("id")
        item.pop("call_id", None)
    r["usage"].pop("input_tokens_details")
    return r


@test
def test_responses_whole():
    r = response(body(instructions="Be kind.", metadata={"a": "b"}))
    assert r["id"].startswith("resp_") and r["object"] == "response" and r["status"] == "completed", r
    assert r["instructions"] == "Be kind." and r["metadata"] == {"a": "b"} and r["temperature"] == 0, r
    thought, said = r["output"]
    assert thought["id"].startswith("rs_") and thought["summary"] == [] and thought["encrypted_content"] is None, r
    assert thought["content"][0]["type"] == "reasoning_text" and thought["content"][0]["text"], r
    assert said["role"] == "assistant" and said["status"] == "completed" and said["id"].startswith("msg_"), r
    assert said["content"] == [{"type": "output_text", "text": "You are welcome.", "annotations": [],
                                "logprobs": []}], r
    u = r["usage"]
    assert u["total_tokens"] == u["input_tokens"] + u["output_tokens"], u
    assert 0 < u["output_tokens_details"]["reasoning_tokens"] < u["output_tokens"], u


@test
def test_responses_stream_is_the_whole():
    for kw in ({}, {"reasoning": {"effort": "none"}}, {"tools": [DISTANCE], "input": FAR}, {"max_output_tokens": 3},
               {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "high", "summary": "auto"}}):
        streamed, _ = stream(body(**kw, store=False))
        assert without_ids(streamed) == without_ids(response(body(**kw, store=False))), (kw, streamed)


@test
def test_responses_reasoning_off():
    assert [i["type"] for i in response(body(reasoning={"effort": "none"}))["output"]] == ["message"]


@test
def test_responses_call_in_fragments():
    r, deltas = stream(body(tools=[DISTANCE], input=FAR))
    call = r["output"][-1]
    assert call["type"] == "function_call" and call["call_id"].startswith("call_") and call["id"].startswith("fc_")
    assert call["name"] == "get_distance" and json.loads(call["arguments"]) == {"start": "Bogota", "end": "Chicago"}
    assert deltas[-1] > 3, deltas  # as they are generated, not at the end


def two_turns(first, tools, **kw):
    """The items of an agent's second turn, as a client sends them back."""
    call = first["output"][-1]
    return body(tools=tools, input=[{"role": "user", "content": FAR}, *first["output"],
                                    {"type": call["type"] + "_output", "call_id": call["call_id"],
                                     "output": "{\"value\": 4350}"}], **kw)


@test
def test_responses_second_turn():
    first = response(body(tools=[DISTANCE], input=FAR))
    second = response(two_turns(first, [DISTANCE]))
    assert "4350" in second["output"][-1]["content"][0]["text"], second
    kept = response(body(tools=[DISTANCE], previous_response_id=first["id"], input=[
        {"type": "function_call_output", "call_id": first["output"][-1]["call_id"], "output": "{\"value\": 4350}"}]))
    assert kept["output"][-1]["content"] == second["output"][-1]["content"]
    assert kept["usage"]["input_tokens"] == second["usage"]["input_tokens"]
    assert kept["previous_response_id"] == first["id"]


@test
def test_responses_tell_the_probabilities_of_their_text():
    plain = response(body(input=FAR))["output"]
    assert all(p["logprobs"] == [] for x in plain if x["type"] == "message" for p in x["content"]), plain
    for kw in ({"reasoning": {"effort": "none"}}, {}, {"tools": [DISTANCE], "input": FAR}):
        asked = body(include=["message.output_text.logprobs"], top_logprobs=2, **kw)
        final, _ = stream(asked)
        assert without_ids(final) == without_ids(response(asked)) and final["top_logprobs"] == 2, final
        told = {}
        for name, e in named_events(post({**asked, "stream": True})):
            if name == "response.output_text.delta":
                told.setdefault(e["output_index"], []).extend(e["logprobs"])
            elif name == "response.output_text.done":
                assert e["logprobs"] == told[e["output_index"]], e
            elif name == "response.content_part.done" and e["part"]["type"] == "output_text":
                assert e["part"]["logprobs"] == told[e["output_index"]], e
        for i, item in enumerate(final["output"]):
            if item["type"] != "message":
                assert "logprobs" not in str(item), item
                continue
            (part,) = item["content"]
            assert part["logprobs"] == told.pop(i) and part["logprobs"], (part, told)
            assert "".join(x["token"] for x in part["logprobs"]).strip() == part["text"].strip(), part
            assert all(x["logprob"] <= 0 and len(x["top_logprobs"]) == 2 for x in part["logprobs"]), part
        assert not told, told
    only = response(body(include=["message.output_text.logprobs"]))["output"][-1]["content"][0]["logprobs"]
    assert only and all(x["top_logprobs"] == [] for x in only), only


@test
def test_responses_refer_to_items_that_are_kept():
    with Server("--ctx", str(CTX), "--alias", "nano", "--api-key", "one", "--api-key", "two") as s:
        one, two = {"x-api-key": "one"}, {"x-api-key": "two"}
        first = s.post("/v1/responses", body(input=FAR, tools=[DISTANCE]), headers=one).json
        (call,) = [x for x in first["output"] if x["type"] == "function_call"]
        rest = [{"type": "function_call_output", "call_id": call["call_id"], "output": "4000 km"}]
        asked = [{"role": "user", "content": FAR}]
        named = [{"type": "item_reference", "id": x["id"]} for x in first["output"]]
        whole = s.post("/v1/responses", body(input=asked + first["output"] + rest, tools=[DISTANCE]), headers=one).json
        r = s.post("/v1/responses", body(input=asked + named + rest, tools=[DISTANCE]), headers=one)
        assert r.status == 200 and without_ids(r.json) == without_ids(whole), r
        # It was kept as a whole, so it may be gone on from, and referred to, without the first one.
        assert s.request("DELETE", f"/v1/responses/{first['id']}", headers=one).status == 200
        assert s.request("DELETE", f"/v1/responses/{whole['id']}", headers=one).status == 200
        more = s.post("/v1/responses", body(input=asked + named + rest, tools=[DISTANCE]), headers=one).json
        assert without_ids(more) == without_ids(whole), more
        assert s.post("/v1/responses", body(previous_response_id=more["id"]), headers=one).status == 200
        for items, key, at in ((asked + named, two, 1), ([{"type": "item_reference", "id": "msg_00"}], one, 0),
                               ([{"type": "item_reference"}], one, 0), (asked + named[:1] * 513, one, 513)):
            r = s.post("/v1/responses", body(input=items), headers=key)
            assert r.status == 400 and r.error["param"] == f"input[{at}]" and "is not kept" in r.error["message"], r


@test
def test_responses_custom_tool_keeps_to_its_expression():
    def asked(definition, **kw):
        tool = {"type": "custom", "name": "dial", "description": "Dial a number",
                "format": {"type": "grammar", "syntax": "regex", "definition": definition, **kw}}
        return post(body(input="Call me.", tools=[tool], tool_choice={"type": "custom", "name": "dial"},
                         reasoning={"effort": "none"}, temperature=1, seed=3))

    for definition in ("[0-9]{3}-[0-9]{4}", "^[0-9]{3}-[0-9]{4}$", "0|[1-9]{5}\\$", "[)(]\\)(a|b)"):
        (call,) = asked(definition).json["output"]
        assert call["type"] == "custom_tool_call" and re.fullmatch(definition, call["input"]), (definition, call)
    for r, param, word in (
            (asked("start: NAME", syntax="lark"), "tools[0].format.syntax", '"lark" is not understood, expected "regex"'),
            (asked("a(?=b)"), "tools[0].format.definition", "look-ahead"),
            (asked("a)|(b"), "tools[0].format.definition", "a ) that opens nowhere"),
            (asked("*a"), "tools[0].format.definition", "nothing to repeat"),
            (asked(5), "tools[0].format.definition", "an integer, expected a string"),
            (asked(None), "tools[0].format.definition", "is missing"),
            (asked("a", type="ebnf"), "tools[0].format.type", "ebnf")):
        assert r.status == 400 and r.error["param"] == param and word in r.error["message"], (param, r)


@test
def test_responses_namespace():
    """A tool in a namespace has one name for the model and two for the client."""
    inner = {**DISTANCE}
    tools = [{"type": "web_search"}, {"type": "namespace", "name": "maps", "description": "Maps", "tools": [inner]}]
    first, _ = stream(body(tools=tools, input=FAR))
    call = first["output"][-1]
    assert (call["type"], call["namespace"], call["name"]) == ("function_call", "maps", "get_distance"), call
    assert json.loads(call["arguments"]) == {"start": "Bogota", "end": "Chicago"}, call
    assert "4350" in response(two_turns(first, tools))["output"][-1]["content"][0]["text"]


@test
def test_responses_custom_tool():
    tool = {"type": "custom", "name": "get_weather", "description": "Get the weather of a city"}
    for r in (response(body(tools=[tool], input="What is the weather in Oslo?")),
              stream(body(tools=[tool], input="What is the weather in Oslo?"))[0]):
        call = r["output"][-1]
        assert call["type"] == "custom_tool_call" and call["name"] == "get_weather", r
        assert isinstance(call["input"], str) and "arguments" not in call, call


@test
def test_responses_forced_calls():
    weather = {"type": "function", "name": "get_weather", "strict": True, "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}}
    space = {"type": "namespace", "name": "sky", "description": "Sky", "tools": [weather]}
    for tools, choice, want in (
            ([DISTANCE, weather], "required", None), ([DISTANCE, weather], {"type": "function", "name": "get_weather"}, None),
            ([DISTANCE, space], {"type": "function", "namespace": "sky", "name": "get_weather"}, "sky"),
            ([DISTANCE, weather], {"type": "allowed_tools", "mode": "required", "tools": [
                {"type": "function", "name": "get_weather"}]}, None)):
        for r in (stream(body(tools=tools, tool_choice=choice))[0], response(body(tools=tools, tool_choice=choice))):
            call = r["output"][-1]
            assert call["type"] == "function_call" and call.get("namespace") == want, (choice, r)
            assert choice == "required" or (call["name"] == "get_weather" and set(json.loads(call["arguments"])) == {"city"})


@test
def test_responses_format():
    schema = {"type": "object", "properties": {"thanks": {"type": "boolean"}}, "required": ["thanks"],
              "additionalProperties": False}
    r = response(body(text={"format": {"type": "json_schema", "name": "t", "schema": schema, "strict": True}}))
    assert r["output"][0]["type"] == "reasoning" and set(json.loads(r["output"][-1]["content"][0]["text"])) == {"thanks"}, r
    r = response(body(text={"format": {"type": "json_object"}}, input="Give me JSON with job \"pilot\"."))
    assert isinstance(json.loads(r["output"][-1]["content"][0]["text"]), dict), r


@test
def test_responses_hidden_reasoning():
    """Clients that keep encrypted_content only give the model the same prompt as those that keep all; also a server
    that never saw the first turn."""
    first = response(body(tools=[DISTANCE], input=FAR, include=["reasoning.encrypted_content"], store=False))
    thought = first["output"][0]
    assert thought["encrypted_content"] and thought["content"][0]["text"], first
    with Server("--ctx", "1024", "--alias", "nano") as s:
        def count():
            return s.post("/v1/responses/input_tokens", two_turns(first, [DISTANCE])).json["input_tokens"]
        shown = count()
        thought.pop("content")
        assert count() == shown
        thought.pop("encrypted_content")
        assert count() < shown


@test
def test_responses_incomplete():
    r = response(body(max_output_tokens=2))
    assert r["status"] == "incomplete" and r["incomplete_details"] == {"reason": "max_output_tokens"}, r
    assert r["usage"]["output_tokens"] == 2 and r["output"][-1]["status"] == "incomplete", r


@test
def test_responses_input_tokens():
    for kw in ({}, {"instructions": "Be kind.", "tools": [DISTANCE]}, {"reasoning": {"effort": "none"}}):
        r = post(body(**kw), "/v1/responses/input_tokens")
        assert r.status == 200 and set(r.json) == {"object", "input_tokens"}, r
        assert r.json["object"] == "response.input_tokens", r
        assert r.json["input_tokens"] == response(body(max_output_tokens=1, **kw))["usage"]["input_tokens"]


@test
def test_responses_kept():
    r = response(body())
    path = "/v1/responses/" + r["id"]
    got = shared().get(path)
    assert got.status == 200 and got.json == r, got
    gone = shared().request("DELETE", path)
    assert gone.status == 200 and gone.json == {"id": r["id"], "object": "response", "deleted": True}, gone
    for method in ("GET", "DELETE"):
        again = shared().request(method, path)
        assert again.status == 404 and again.json["error"]["type"] == "invalid_request_error", again
    none = post(body(previous_response_id=r["id"]))
    assert none.status == 400 and none.json["error"]["code"] == "previous_response_not_found", none
    assert none.json["error"]["param"] == "previous_response_id", none
    streamed, _ = stream(body())
    assert shared().get("/v1/responses/" + streamed["id"]).json == streamed
    unkept = response(body(store=False))
    assert shared().get("/v1/responses/" + unkept["id"]).status == 404


@test
def test_responses_of_others():
    """What one key keeps, another cannot see."""
    with Server("--ctx", "512", "--alias", "nano", "--api-key", "one", "--api-key", "two") as s:
        one, two = ({"Authorization": "Bearer " + k} for k in ("one", "two"))
        r = s.post("/v1/responses", body(), headers=one).json
        path = "/v1/responses/" + r["id"]
        assert s.get(path, headers=one).status == 200
        assert s.get(path, headers=two).status == 404
        assert s.request("DELETE", path, headers=two).status == 404
        assert s.post("/v1/responses", body(previous_response_id=r["id"]), headers=two).status == 400


@test
def test_responses_refusals():
    cases = [
        ({"input": None}, "input", "input: is missing"),
        ({"input": 5}, "input", "input: an integer"),
        ({"input": [{"role": "bot", "content": "x"}]}, "input[0].role", "expected"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", "is missing"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}]}, "input[0].arguments",
         "JSON"),
        ({"max_output_tokens": "x"}, "max_output_tokens", "a string"),
        ({"max_output_tokens": 0}, "max_output_tokens", "expected 1"),
        ({"instructions": 1}, "instructions", "an integer"),
        ({"reasoning": {"effort": "heroic"}}, "reasoning.effort", "heroic"),
        ({"reasoning": {"summary": {}}}, "reasoning.summary", "an object"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "is missing"),
        ({"tools": [{**DISTANCE, "strict": "yes"}]}, "tools[0].strict", "a string"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        ({"tool_choice": {"type": "function"}, "tools": [DISTANCE]}, "tool_choice.name", "is missing"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "xml"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema", "is missing"),
        ({"tools": "all"}, "tools", "a string"),
        ({"background": 1}, "background", "an integer"),
        ({"conversation": "conv_1"}, "conversation", "keeps none"),
        ({"store": "yes"}, "store", "a string"),
        ({"metadata": []}, "metadata", "an array"),
        ({"include": [1]}, "include", "an integer"),
        ({"tool_choice": "maybe"}, "tool_choice", "expected"),
    ]
    for change, param, text in cases:
        b = {k: v for k, v in {**body(), **change}.items() if v is not None}
        r = post(b)
        e = r.json["error"]
        assert r.status == 400 and e["type"] == "invalid_request_error" and e["param"] == param, (change, r)
        assert text in e["message"], (change, r)


@test
def test_responses_prompt_too_long():
    """A stream says it by events, as Codex looks for it: then it can shorten the conversation."""
    long = body(input="Thanks. " * 3000)
    r = post(long)
    assert r.status == 400, r
    events = list(named_events(post({**long, "stream": True})))
    assert [name for name, _ in events] == ["response.created", "response.in_progress", "error", "response.failed"], events
    assert [e["sequence_number"] for _, e in events] == [0, 1, 2, 3] and events[2][1]["error"] == r.error, events
    failed = events[3][1]["response"]
    assert failed["status"] == "failed" and failed["output"] == [] and failed["usage"] is None, failed
    for e in (r.error, failed["error"]):
        assert e["code"] == "context_length_exceeded" and f"maximum context length is {CTX} tokens" in e["message"], e
    assert post({**long, "background": True}).status == 400
