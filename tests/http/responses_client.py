"""The openai package against POST /v1/responses."""
import json

import openai
from harness import eventually, shared, test

DISTANCE = {"type": "function", "name": "get_distance", "description": "Get the distance between two cities",
            "parameters": {"type": "object", "properties": {
                "start": {"type": "string", "description": "First city"},
                "end": {"type": "string", "description": "Second city"}}, "required": ["start", "end"]}}
FAR = "How far is it from Bogota to Chicago?"


def body(**kw):
    return {"model": "nano", "input": "Thanks.", "temperature": 0, "max_output_tokens": 300, **kw}


def client():
    return openai.OpenAI(base_url=f"http://127.0.0.1:{shared().port}/v1", api_key="none", max_retries=0)


@test
def test_openai_response():
    r = client().responses.create(**body(instructions="Be kind."))
    assert r.output_text == "You are welcome." and r.status == "completed", r
    assert r.output[0].type == "reasoning" and r.output[0].content[0].text, r
    assert r.usage.output_tokens_details.reasoning_tokens > 0 and r.usage.input_tokens_details.cached_tokens >= 0
    assert client().responses.retrieve(r.id).output_text == r.output_text
    assert client().responses.create(**body(previous_response_id=r.id, input="Hello.")).output_text
    client().responses.delete(r.id)


@test
def test_openai_response_in_the_background():
    c = client().responses
    want, r = c.create(**body()), c.create(**body(background=True))
    assert r.background and r.status in ("queued", "in_progress"), r
    eventually(lambda: c.retrieve(r.id).status == "completed", "it ends")
    assert c.retrieve(r.id).output_text == want.output_text == c.cancel(r.id).output_text
    endless = {"type": "array", "items": {"enum": [0, 1]}, "minItems": 20000}
    r = c.create(**body(background=True, reasoning={"effort": "none"}, max_output_tokens=1500, text={"format": {
        "type": "json_schema", "name": "endless", "schema": endless}}))
    assert c.cancel(r.id).status == "cancelled", r
    c.delete(r.id)


@test
def test_openai_response_stream():
    with client().responses.stream(**body()) as s:
        kinds = [e.type for e in s]
        final = s.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    assert final.output_text == client().responses.create(**body()).output_text


@test
def test_openai_response_tools():
    with client().responses.stream(**body(tools=[DISTANCE], input=FAR)) as s:
        deltas = [e.delta for e in s if e.type == "response.function_call_arguments.delta"]
        first = s.get_final_response()
    call = first.output[-1]
    assert "".join(deltas) == call.arguments and len(deltas) > 3, (deltas, call)
    assert json.loads(call.arguments) == {"start": "Bogota", "end": "Chicago"}
    history = [{"role": "user", "content": FAR}, *[i.to_dict() for i in first.output],
               {"type": "function_call_output", "call_id": call.call_id, "output": "{\"value\": 4350}"}]
    assert "4350" in client().responses.create(**body(tools=[DISTANCE], input=history)).output_text
    count = client().responses.input_tokens.count(model="nano", input=FAR, tools=[DISTANCE])
    assert count.input_tokens == first.usage.input_tokens


@test
def test_openai_response_errors():
    for change, kind, code in (({"input": "Thanks. " * 3000}, openai.BadRequestError, "context_length_exceeded"),
                               ({"input": "Thanks. " * 3000, "stream": True}, openai.APIError, "context_length_exceeded"),
                               ({"model": "nobody"}, openai.NotFoundError, "model_not_found"),
                               ({"previous_response_id": "resp_0"}, openai.BadRequestError,
                                "previous_response_not_found")):
        try:
            list(client().responses.create(**body(**change)))
        except kind as e:
            assert e.code == code, e
        else:
            raise AssertionError(f"{change} passed"[:200])
