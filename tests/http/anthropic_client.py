"""The anthropic package against POST /v1/messages."""
import json

import anthropic
from harness import shared, test
from samples import DISTANCE, FAR, THINK


def asked(**kw):
    """The package has no argument for the temperature any more."""
    return {"model": "nano", "max_tokens": 300, "messages": [{"role": "user", "content": "Thanks."}],
            "extra_body": {"temperature": 0}, **kw}


def client(**kw):
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{shared().port}", api_key="none", max_retries=0, **kw)


@test
def test_anthropic_create():
    m = client().messages.create(**asked(system="You are kind.", thinking=THINK, metadata={"user_id": "u"}))
    assert [b.type for b in m.content] == ["thinking", "text"] and m.content[1].text == "You are welcome.", m
    assert m.stop_reason == "end_turn" and m.usage.output_tokens > m.usage.output_tokens_details.thinking_tokens > 0
    assert m._request_id and m.to_dict()["type"] == "message"


@test
def test_anthropic_stream():
    with client().messages.stream(**asked(thinking=THINK)) as s:
        kinds = {e.type for e in s}
        final = s.get_final_message()
    assert {"thinking", "signature", "text", "message_stop", "content_block_stop"} <= kinds, kinds
    whole = client().messages.create(**asked(thinking=THINK))
    assert [b.to_dict() for b in final.content] == [b.to_dict() for b in whole.content]
    assert final.usage.output_tokens == whole.usage.output_tokens and final.stop_reason == "end_turn"


@test
def test_anthropic_stream_of_text():
    with client().messages.stream(**asked()) as s:
        assert "".join(s.text_stream) == "You are welcome."
    raw = list(client().messages.create(**asked(stream=True)))
    assert [e.type for e in raw][0] == "message_start" and raw[-1].type == "message_stop"


@test
def test_anthropic_tools():
    """An agent's two turns, the first streamed."""
    with client().messages.stream(**asked(tools=[DISTANCE], messages=[FAR], thinking=THINK)) as s:
        partial = [e.partial_json for e in s if e.type == "input_json"]
        first = s.get_final_message()
    call = first.content[-1]
    assert call.input == {"start": "Bogota", "end": "Chicago"} == json.loads("".join(partial)), first
    second = client().messages.create(**asked(tools=[DISTANCE], thinking=THINK, messages=[
        FAR, first.to_param() if hasattr(first, "to_param") else {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "{\"value\": 4350}"}]}]))
    assert "4350" in second.content[-1].text, second


@test
def test_anthropic_count():
    n = client().messages.count_tokens(model="nano", messages=[FAR], tools=[DISTANCE]).input_tokens
    u = client().messages.create(**asked(messages=[FAR], tools=[DISTANCE], max_tokens=1)).usage
    assert n == u.input_tokens + u.cache_read_input_tokens


@test
def test_anthropic_errors():
    for change, kind, text in (({"messages": []}, anthropic.BadRequestError, "at least one"),
                               ({"model": "nobody"}, anthropic.NotFoundError, "model: nobody"),
                               ({"messages": [{"role": "user", "content": "Thanks. " * 3000}]},
                                anthropic.BadRequestError, "prompt is too long: ")):
        try:
            client().messages.create(**asked(**change))
        except kind as e:
            assert text in str(e) and e.type in ("invalid_request_error", "not_found_error"), e
        else:
            raise AssertionError(f"{change} passed")
