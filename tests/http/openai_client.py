"""The openai package: the calls that its users make."""
import json

import openai

from harness import Server, shared, test

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
USER = [{"role": "user", "content": "What is 12 plus 30?"}]


def client(server=None, **kw):
    s = server or shared()
    return openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key=kw.pop("key", "none"), max_retries=0, **kw)


@test
def test_openai_models():
    (m,) = client().models.list().data
    assert m.id == "nano" and client().models.retrieve("nano").id == "nano"
    try:
        client().models.retrieve("other")
        raise AssertionError("no error")
    except openai.NotFoundError as e:
        assert e.code == "model_not_found", e


@test
def test_openai_chat():
    r = client().chat.completions.create(model="nano", messages=USER, temperature=0, max_tokens=200)
    c = r.choices[0]
    assert c.finish_reason == "stop" and c.message.content and c.message.reasoning_content, r
    assert r.usage.completion_tokens_details.reasoning_tokens > 0 and r.usage.prompt_tokens_details is not None, r
    text = reasoning = ""
    last = None
    for chunk in client().chat.completions.create(model="nano", messages=USER, temperature=0, max_tokens=200, stream=True,
                                                  stream_options={"include_usage": True}):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
        last = chunk
    assert text == c.message.content and reasoning == c.message.reasoning_content, (text, reasoning, r)
    assert last.usage.total_tokens == r.usage.total_tokens, (last, r)


@test
def test_openai_stream_helper_and_tools():
    with client().chat.completions.stream(model="nano", messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
                                          tools=[WEATHER], temperature=0, max_tokens=60, reasoning_effort="none") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments)["city"], final
    assert "tool_calls.function.arguments.delta" in kinds, kinds


@test
def test_openai_completions():
    c = client()
    r = c.completions.create(model="nano", prompt=["Once upon a time", "The lantern"], max_tokens=8, temperature=0, echo=True)
    assert [x.text[:4] for x in r.choices] == ["Once", "The "], r
    text = "".join(x.choices[0].text for x in c.completions.create(
        model="nano", prompt="Once upon a time", max_tokens=8, temperature=0, stream=True))
    assert "Once upon a time" + text == r.choices[0].text, (text, r)


@test
def test_openai_errors_are_their_exceptions():
    c = client()
    for call, kind, code in (
            (lambda: c.chat.completions.create(model="nope", messages=USER), openai.NotFoundError, "model_not_found"),
            (lambda: c.chat.completions.create(model="nano", messages=USER, temperature=-1), openai.BadRequestError, None),
            (lambda: c.chat.completions.create(model="nano", messages=[{"role": "user", "content": "x " * 9000}]),
             openai.BadRequestError, "context_length_exceeded"),
            (lambda: c.embeddings.create(model="nano", input="x"), openai.InternalServerError, "not_supported")):
        try:
            call()
            raise AssertionError(f"no error, expected {kind.__name__}")
        except kind as e:
            assert e.code == code and e.request_id.startswith("req_"), e
    with Server("--api-key", "right", "--ctx", "256") as s:
        try:
            client(s, key="wrong").models.list()
            raise AssertionError("no error")
        except openai.AuthenticationError as e:
            assert e.code == "invalid_api_key", e
        assert client(s, key="right").models.list().data
