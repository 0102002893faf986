"""llm, Simon Willison's command line, in this process: its own parser, its own requests."""
import json
import os

from harness import TMP, shared, test

GREEDY = ("-o", "temperature", "0")
QUESTION = "What is 12 plus 30?"
WEATHER = '''
def get_weather(city: str) -> str:
    "Weather of a city"
    return "Sunny in " + city
'''


def models(s):
    """The server under three names, one for each API that llm speaks to it."""
    home = os.path.join(TMP, "llm")
    os.makedirs(home, exist_ok=True)
    os.environ["LLM_USER_PATH"] = home
    common = {"model_name": "nano", "api_base": f"http://127.0.0.1:{s.port}/v1", "reasoning": True, "supports_schema": True,
              "supports_tools": True}
    with open(os.path.join(home, "extra-openai-models.yaml"), "w") as f:
        json.dump([{"model_id": "chat", **common}, {"model_id": "responses", "responses": True, **common},
                   {"model_id": "text", "completion": True, **common}], f)


def llm(*args, code=0, stdin=None):
    """What it prints: the answer, and beside it reasoning, calls and usage."""
    from click.testing import CliRunner
    import llm.cli
    models(shared())
    r = CliRunner().invoke(llm.cli.cli, list(args), input=stdin)
    assert r.exit_code == code, (args, r.stdout, r.stderr, r.exception)
    return r.stdout.strip(), r.stderr


def answer(messages, **fields):
    r = shared().post("/v1/chat/completions", {"messages": messages, "temperature": 0, **fields}).json
    return r["choices"][0]["message"]["content"].strip()


def user(text):
    return {"role": "user", "content": text}


@test
def test_llm_answers_streamed_and_whole():
    want = answer([user(QUESTION)])
    for model in ("chat", "responses"):
        streamed, _ = llm("-m", model, *GREEDY, QUESTION)
        whole, beside = llm("-m", model, *GREEDY, QUESTION, "--no-stream", "-u")
        assert streamed == whole == want, (model, streamed, whole, want)
        assert '"reasoning_tokens": ' in beside and '"cached_tokens": ' in beside, beside
    _, thought = llm("-m", "responses", *GREEDY, QUESTION)
    assert "=42" in thought.replace(" ", ""), thought
    piped, _ = llm("-m", "chat", *GREEDY, stdin=QUESTION)
    assert piped == want, (piped, want)


@test
def test_llm_completions():
    body = {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 12}
    want = shared().post("/v1/completions", body).json["choices"][0]["text"].strip()
    for how in ((), ("--no-stream",)):
        assert llm("-m", "text", *GREEDY, "-o", "max_tokens", "12", *how, "Once upon a time")[0] == want, (how, want)


@test
def test_llm_system_prompt_and_conversation():
    system = {"role": "system", "content": "You are Willem, a baker."}
    first, _ = llm("-m", "chat", *GREEDY, "-s", system["content"], "Say hello.")
    assert first == answer([system, user("Say hello.")]), first
    second, _ = llm("-c", *GREEDY, "What did I ask?")
    turns = [system, user("Say hello."), {"role": "assistant", "content": first}, user("What did I ask?")]
    assert second == answer(turns), second
    (last,) = json.loads(llm("logs", "-n", "1", "--json")[0])
    assert last["response"].strip() == second and last["input_tokens"] > 0 and last["output_tokens"] > 0, last


@test
def test_llm_schema():
    for model in ("chat", "responses"):
        for how in ((), ("--no-stream",)):
            got = json.loads(llm("-m", model, *GREEDY, "--schema", "name, age int", *how, "Invent a dog.")[0])
            assert set(got) == {"name", "age"} and isinstance(got["age"], int) and isinstance(got["name"], str), got


@test
def test_llm_tools():
    for model in ("chat", "responses"):
        for how in ((), ("--no-stream",)):
            said, beside = llm("-m", model, *GREEDY, "--functions", WEATHER, "--td", *how, "What is the weather in Oslo?")
            assert "Tool call: get_weather({'city': 'Oslo'})" in beside and "Sunny in Oslo" in beside, beside
            assert said, (model, how, beside)


@test
def test_llm_templates_and_options():
    llm("-m", "chat", *GREEDY, "-s", "Answer in $form.", "-o", "json_object", "1", "--save", "asked")
    got, _ = llm("-t", "asked", "-p", "form", "JSON", "Name a colour.")
    assert isinstance(json.loads(got), dict), got
    told = "Tell me a story about a lantern."
    want = answer([user(told)], reasoning_effort="none", stop="lantern", max_tokens=60)
    got, _ = llm("-m", "chat", *GREEDY, "-o", "stop", "lantern", "-o", "reasoning_effort", "none", "-o", "max_tokens", "60", told)
    assert got == want and len(got) > 5, (got, want)
    want = answer([user(QUESTION)], seed=7, top_p=0.9, logit_bias={"5": -100})
    got, _ = llm("-m", "chat", *GREEDY, "-o", "logit_bias", '{"5": -100}', "-o", "seed", "7", "-o", "top_p", "0.9", QUESTION)
    assert got == want, (got, want)


@test
def test_llm_openai_endpoint():
    url = f"http://127.0.0.1:{shared().port}/v1"
    assert llm("openai", "endpoint", url, "--models")[0] == "nano"
    want = answer([user(QUESTION)])
    for how in ((), ("--responses",), ("--no-stream",)):
        assert llm("openai", "endpoint", url, "-m", "nano", *GREEDY, *how, QUESTION)[0] == want, how
    _, said = llm("openai", "endpoint", url, "-m", "other", QUESTION, code=1)
    assert "other" in said and "nano" in said, said
