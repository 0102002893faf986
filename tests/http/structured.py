"""Answers that must match something: response_format, grammars, forced and strict calls."""
import json

from harness import content, shared, test

PATH = "/v1/chat/completions"
FOX = {"type": "object", "additionalProperties": False, "required": ["name", "legs", "colour"], "properties": {
    "name": {"type": "string", "maxLength": 10}, "legs": {"type": "integer", "minimum": 0, "maximum": 8},
    "colour": {"enum": ["red", "grey"]}}}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer"}},
    "required": ["city", "days"], "additionalProperties": False}}}
OTHER = {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}}


def ask(**fields):
    return {"messages": [{"role": "user", "content": "Tell me about a fox."}], "temperature": 1.3, "max_tokens": 400,
            **fields}


def format_of(schema):
    return {"type": "json_schema", "json_schema": {"name": "fox", "strict": True, "schema": schema}}


def is_fox(text):
    o = json.loads(text)
    assert set(o) == {"name", "legs", "colour"} and len(o["name"]) <= 10 and 0 <= o["legs"] <= 8, o
    assert o["colour"] in ("red", "grey"), o


@test
def test_schema_holds_whatever_is_drawn():
    for seed in range(6):
        for effort in ("none", "high"):
            o = shared().post(PATH, ask(response_format=format_of(FOX), seed=seed, reasoning_effort=effort)).json
            choice = o["choices"][0]
            if choice["finish_reason"] == "stop":
                is_fox(choice["message"]["content"])
            else:
                assert effort == "high", o  # still thinking


@test
def test_schema_holds_in_a_stream_and_in_other_fields():
    for fields in ({"response_format": format_of(FOX)}, {"json_schema": FOX}, {"guided_json": FOX}):
        text, _, _, finish = content(shared().events(PATH, ask(reasoning_effort="none", **fields)))
        assert finish == "stop", finish
        is_fox(text)


@test
def test_json_object_and_grammar():
    r = shared().post(PATH, ask(response_format={"type": "json_object"}, reasoning_effort="none", temperature=0)).json
    assert isinstance(json.loads(r["choices"][0]["message"]["content"]), dict), r
    for field in ("grammar", "guided_grammar"):
        r = shared().post(PATH, ask(reasoning_effort="none", **{field: 'root ::= "yes" | "no"'})).json
        assert r["choices"][0]["message"]["content"] in ("yes", "no"), r
    r = shared().post("/v1/completions", {"prompt": "7 times 6 is", "grammar": 'root ::= " " [0-9]{2}'}).json
    assert int(r["choices"][0]["text"]) < 100 and r["choices"][0]["finish_reason"] == "stop", r


@test
def test_calls_are_forced():
    for choice, name in (("required", None), ({"type": "function", "function": {"name": "other"}}, "other"),
                         ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
                             {"type": "function", "function": {"name": "get_weather"}}]}}, "get_weather")):
        o = shared().post(PATH, ask(tools=[TOOL, OTHER], tool_choice=choice, reasoning_effort="none",
                                    parallel_tool_calls=False)).json
        (call,) = o["choices"][0]["message"]["tool_calls"]
        assert o["choices"][0]["finish_reason"] == "tool_calls", o
        assert call["function"]["name"] in ((name,) if name else ("get_weather", "other")), call
        if call["function"]["name"] == "get_weather":
            a = json.loads(call["function"]["arguments"])
            assert set(a) == {"city", "days"} and isinstance(a["days"], int) and len(a["city"]) <= 12, a


@test
def test_strict_tools_do_not_force():
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    o = shared().post(PATH, ask(tools=[strict], reasoning_effort="none", temperature=0)).json
    for call in o["choices"][0]["message"].get("tool_calls", []):
        assert set(json.loads(call["function"]["arguments"])) == {"city", "days"}, call


@test
def test_structured_refusals_name_the_field():
    for fields, param, word in (
            ({"response_format": format_of({"type": "object", "dependentSchemas": {}})},
             "response_format.json_schema.schema", "dependentSchemas"),
            ({"response_format": {"type": "xml"}}, "response_format.type", "xml"),
            ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema", "schema"),
            ({"grammar": "root ::= nothing"}, "grammar", "nothing"),
            ({"grammar": 'root ::= "a"', "json_schema": FOX}, "grammar", "already"),
            ({"guided_regex": "a+"}, "guided_regex", "response_format"),
            ({"tools": [TOOL], "response_format": {"type": "json_object"}}, "tools", "tool_choice"),
            ({"tool_choice": "required"}, "tool_choice", "no tools"),
            ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "absent"}}},
             "tool_choice", "absent"),
            ({"tools": [TOOL], "tool_choice": "always"}, "tool_choice", "required")):
        r = shared().post(PATH, ask(**fields))
        error = r.json["error"]
        assert r.status == 400 and error["param"] == param and word in error["message"], (fields, r.json)


@test
def test_schemas_of_tools_are_named_as_the_request_has_them():
    bad = {"type": "object", "properties": {"city": {"type": "string", "pattern": "(?=a)"}}}
    fine = {"type": "object", "properties": {}}

    def function(name, schema, **kw):
        return {"name": name, "parameters": schema, "strict": True, **kw}

    said = {"model": "any", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    chat_tools = [{"type": "function", "function": function(n, s)} for n, s in (("a", fine), ("b", fine), ("c", bad))]
    only = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": chat_tools[1:]}}
    flat = [function(n, s, type="function") for n, s in (("a", fine), ("b", bad))]
    space = {"type": "namespace", "name": "maps", "tools": flat}
    blocks = [{"type": "web_search_20250305", "name": "web"}, {"name": "b", "strict": True, "input_schema": bad}]
    for path, body, param in (
            (PATH, {**said, "tools": chat_tools}, "tools[2].function.parameters"),
            (PATH, {**said, "tools": chat_tools, "tool_choice": only}, "tools[2].function.parameters"),
            ("/v1/responses", {"input": "Hi", "tools": [{"type": "web_search"}, *flat]}, "tools[2].parameters"),
            ("/v1/responses", {"input": "Hi", "tools": [space], "tool_choice": "required"}, "tools[0].tools[1].parameters"),
            ("/v1/messages", {**said, "tools": blocks}, "tools[1].input_schema"),
            ("/v1/messages/count_tokens", {**said, "tools": blocks}, "tools[1].input_schema")):
        error = shared().post(path, {k: v for k, v in body.items() if k != "model"} if path == PATH else {
            **body, "model": shared().get("/v1/models").json["data"][0]["id"]}).error
        assert error["message"].startswith(f"{param} at #/properties/city") and "look-ahead" in error["message"], error
        assert error.get("param", param) == param and error["type"] == "invalid_request_error", error
