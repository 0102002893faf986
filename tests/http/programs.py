"""Claude Code and Codex, started by glim launch: what they send is answered, and a conversation's next turn finds what
was computed for the one before. The bundled model makes no sense of prompts as long as theirs, so nothing is said of
what it answers. And agents made with OpenAI's SDK and with Pydantic AI, whose short prompts it answers well.

Run by tests/http/programs; tests/http/agent_requests.py has what needs none of them.
"""
import asyncio
import importlib.util
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402
from harness import GLIM, SLOW, TMP, Server, shared, test  # noqa: E402

# Where the packages of requirements-long.txt have the programs.
PROGRAMS = {"claude": ("claude_agent_sdk", "_bundled/claude"), "codex": ("codex_cli_bin", "bin/codex")}


def launched(server, client, *args):
    """What the client prints, started in a folder of its own with a home of its own."""
    home, bin_, work = (os.path.join(TMP, name) for name in ("home", "bin", "work"))
    package, path = PROGRAMS[client]
    for folder in (home, bin_, work):
        os.makedirs(folder, exist_ok=True)
    link = os.path.join(bin_, client)
    if not os.path.islink(link):
        os.symlink(os.path.join(os.path.dirname(importlib.util.find_spec(package).origin), path), link)
    r = subprocess.run([GLIM, "launch", client, "--url", f"http://127.0.0.1:{server.port}", "--", *args], cwd=work,
                       env={"HOME": home, "PATH": bin_ + ":" + os.environ["PATH"], "TERM": "dumb"},
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300 * SLOW)
    assert r.stdout.strip(), r
    return r.stdout


def prompts(server):
    """Tokens of prompts so far: all of them, and those that were found in the cache."""
    m = server.metrics()
    return m["glim_prompt_tokens_total"], m["glim_prompt_tokens_cached_total"]


def check_turns(server, turns):
    """Each turn is one call; behind the first only what it adds is computed."""
    before = (0, 0)
    for turn in turns:
        turn()
        now = prompts(server)
        computed = now[0] - now[1] - before[0] + before[1]
        assert now[0] > before[0], "nothing was asked"
        assert computed > 5000 if before == (0, 0) else computed < 1000, (before, now)
        before = now
    said = server.said()
    assert said.count("\n") == 1, said  # the server's first line: no request was refused


@test
def test_claude_code():
    def turn(*args):
        out = launched(s, "claude", *args, "--max-turns", "2", "--output-format", "json")
        r = json.loads(out.strip().splitlines()[-1])
        assert r["type"] == "result" and r["terminal_reason"] in ("completed", "max_turns"), r
        assert r["usage"]["output_tokens"] > 0 and not r["permission_denials"], r
    with Server() as s:
        check_turns(s, (lambda: turn("-p", "Say hello."), lambda: turn("-c", "-p", "Again.")))


@test
def test_codex():
    def turn(*args):
        out = launched(s, "codex", "exec", *args, "--skip-git-repo-check", "--json")
        events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        assert events[-1]["type"] == "turn.completed" and events[-1]["usage"]["output_tokens"] > 0, out
    with Server() as s:
        check_turns(s, (lambda: turn("Say hello."), lambda: turn("resume", "--last", "Again.")))


FAR, ANSWER = "How far is it from Bogota to Chicago?", "It is 4350 km from Bogota to Chicago."
CALL = {"start": "Bogota", "end": "Chicago"}


def distances():
    """A tool, and the list of what it was called with."""
    calls = []

    def get_distance(start: str, end: str) -> str:
        """Get the distance between two cities

        Args:
            start: First city
            end: Second city
        """
        calls.append({"start": start, "end": end})
        return '{"value": 4350}'
    return get_distance, calls


@test
def test_openai_agents():
    import agents
    import openai
    agents.set_tracing_disabled(True)
    tool, calls = distances()
    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{shared().port}/v1", api_key="none", max_retries=0)

    async def run():
        for model in (agents.OpenAIResponsesModel, agents.OpenAIChatCompletionsModel):
            agent = agents.Agent(name="far", model=model(model="nano", openai_client=client),
                                 tools=[agents.function_tool(tool)], model_settings=agents.ModelSettings(temperature=0))
            whole = await agents.Runner.run(agent, FAR, max_turns=3)
            stream = agents.Runner.run_streamed(agent, FAR, max_turns=3)
            deltas = [e.data.delta async for e in stream.stream_events()
                      if e.type == "raw_response_event" and e.data.type == "response.output_text.delta"]
            assert whole.final_output == stream.final_output == "".join(deltas) == ANSWER, (whole, stream)
    asyncio.run(run())
    assert calls == [CALL] * 4, calls


@test
def test_pydantic_ai():
    import pydantic
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider

    class Far(pydantic.BaseModel):
        city: str
        km: int
    url, how = f"http://127.0.0.1:{shared().port}", {"temperature": 0, "max_tokens": 600}
    openai_, anthropic_ = OpenAIProvider(base_url=url + "/v1", api_key="x"), AnthropicProvider(base_url=url, api_key="x")

    async def streamed(agent):
        async with agent.run_stream(FAR) as s:
            return await s.get_output()
    for model in (OpenAIChatModel("nano", provider=openai_), OpenAIResponsesModel("nano", provider=openai_),
                  AnthropicModel("nano", provider=anthropic_)):
        tool, calls = distances()
        agent = Agent(model, model_settings=how, tools=[tool])
        assert agent.run_sync(FAR).output == asyncio.run(streamed(agent)) == ANSWER and calls == [CALL] * 2, calls
        got = Agent(model, output_type=Far, model_settings=how).run_sync("Oslo is 12 km away.").output
        assert isinstance(got, Far), got


sys.exit(harness.main())
