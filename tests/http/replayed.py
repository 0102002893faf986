"""What the model sampled comes back as it was sampled: the next turn finds it in the cache."""
from harness import shared, test

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def ask(s, messages, **fields):
    r = s.post("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 300, **fields})
    assert r.status == 200, r
    return r.json


def new_tokens(o):
    return o["usage"]["prompt_tokens"] - o["usage"]["prompt_tokens_details"]["cached_tokens"]


def call_turn(s, **fields):
    """A question, the call that answers it, its result; what the second request says of the prompt."""
    user = {"role": "user", "content": "What is the weather in Oslo?"}
    first = ask(s, [user], tools=[WEATHER], **fields)
    message = first["choices"][0]["message"]
    assert message["tool_calls"], message
    return user, first, message


@test
def test_a_call_comes_back_as_sampled():
    s = shared()
    user, first, message = call_turn(s)
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "Rain."}
    held = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"] - 2
    args = message["tool_calls"][0]["function"]["arguments"]
    other = {**message, "content": "", "tool_calls": [{**message["tool_calls"][0], "function": {
        "name": "get_weather", "arguments": args.replace(":", " :\n ").replace("{", "{ ")}}]}
    silent = {k: v for k, v in message.items() if k != "reasoning_content"}
    for form in (message, other, silent):
        second = ask(s, [user, form, result], tools=[WEATHER], max_tokens=2)
        assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= held - 1, (form, first["usage"], second["usage"])
    lie = {**message, "reasoning_content": "I never thought that."}
    second = ask(s, [user, lie, result], tools=[WEATHER], max_tokens=2)
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] < held - 1, (first["usage"], second["usage"])


@test
def test_an_answer_comes_back_as_sampled():
    s = shared()
    for effort in ("none", "high"):
        user = {"role": "user", "content": f"What is 12 plus 30? Tell me {effort}."}
        first = ask(s, [user], reasoning_effort=effort)
        assert first["choices"][0]["finish_reason"] == "stop", first
        m = first["choices"][0]["message"]
        again = [user, {"role": "assistant", "content": f" {m['content']}\n"}, {"role": "user", "content": "And 5 more?"}]
        second = ask(s, again, reasoning_effort=effort, max_tokens=2)
        if effort == "none":  # nothing of it is left out of the next prompt
            held = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"] - 2
            assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= held - 1, (first["usage"], second["usage"])
        kept = ask(s, [user, m, again[2]], reasoning_effort=effort, max_tokens=2,
                   chat_template_kwargs={"clear_thinking": False})
        held = first["usage"]["prompt_tokens"] + first["usage"]["completion_tokens"] - 2
        first_again = ask(s, [user], reasoning_effort=effort)
        assert first_again["choices"][0]["message"]["content"] == m["content"]
        kept = ask(s, [user, m, again[2]], reasoning_effort=effort, max_tokens=2, thinking={"clear_thinking": False})
        assert kept["usage"]["prompt_tokens_details"]["cached_tokens"] >= held - 1, (effort, first["usage"], kept["usage"])


@test
def test_reasoning_that_the_template_drops_stays_dropped():
    s = shared()
    user = {"role": "user", "content": "What is 12 plus 30?"}
    first = ask(s, [user])
    m = first["choices"][0]["message"]
    more = {"role": "user", "content": "And 5 more?"}
    dropped = ask(s, [user, m, more], max_tokens=2)["usage"]["prompt_tokens"]
    kept = ask(s, [user, m, more], max_tokens=2, thinking={"clear_thinking": False})["usage"]["prompt_tokens"]
    assert kept - dropped >= first["usage"]["completion_tokens_details"]["reasoning_tokens"] - 2, (kept, dropped, first)
