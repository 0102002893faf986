"""Requests in the shape that agents send: Claude Code, Codex, opencode. What matters to them is the order of events,
that nothing they add is refused, and that a conversation's next turn finds its beginning in the cache."""
import json
import time

import messages
import responses
from harness import SLOW, Server, shared, test
from wire import JSON, http, never_idle

CLAUDE_HEADERS = {
    "User-Agent": "claude-cli/2.1.330 (external, cli)", "x-app": "cli", "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "anthropic-dangerous-direct-browser-access": "true", "x-stainless-retry-count": "0", "x-stainless-timeout": "600",
    "Authorization": "Bearer glim", "Accept": "application/json",
}


def claude(turns, cache_on, billing):
    """A request of Claude Code: the block with cache_control moves, the billing line changes from turn to turn."""
    def content(i, text):
        marked = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
        return [marked] if i == cache_on else text
    sent = [m if not isinstance(m["content"], str) else {**m, "content": content(i, m["content"])}
            for i, m in enumerate(turns)]
    return {
        "model": "nano", "max_tokens": 400, "stream": True, "temperature": 0,
        "system": [{"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1.330; cch={billing};"},
                   {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude.",
                    "cache_control": {"type": "ephemeral"}},
                   {"type": "text", "text": "You help with tasks of all kinds.\n" + "Be brief and exact. " * 40,
                    "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": sent,
        "tools": [messages.DISTANCE, {"name": "ToolSearch", "description": "Find tools", "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"query": {"type": "string"}}, "required": ["query"], "additionalProperties": False},
            "defer_loading": True}],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "metadata": {"user_id": json.dumps({"device_id": "d", "session_id": "s"})},
    }


def put_together(b):
    return messages.put_together(shared().post("/v1/messages?beta=true", b, headers=CLAUDE_HEADERS))[0]


@test
def test_agents_claude_code():
    assert shared().request("HEAD", "/api/hello").status == 200
    turns = [{"role": "user", "content": "How far is it from Bogota to Chicago?"},
             {"role": "system", "content": "<system-reminder>Today is Monday.</system-reminder>"}]
    first = put_together(claude(turns, 0, "a1"))
    assert first["stop_reason"] == "tool_use" and first["content"][0]["thinking"] == "", first
    call = first["content"][-1]
    turns += [{"role": "assistant", "content": first["content"]},
              {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "is_error": False,
                                            "content": [{"type": "text", "text": "{\"value\": 4350}"}],
                                            "cache_control": {"type": "ephemeral"}}]}]
    second = put_together(claude(turns, 1, "b2"))
    assert second["stop_reason"] == "end_turn" and "4350" in second["content"][-1]["text"], second
    # The second prompt begins with the first and its answer, whatever differs in the request: all of that was kept.
    u, before = second["usage"], first["usage"]
    known = before["input_tokens"] + before["cache_read_input_tokens"] + before["output_tokens"]
    assert u["cache_read_input_tokens"] >= known - 1, (before, u)


def codex(items):
    return {
        "model": "nano", "stream": True, "store": False, "temperature": 0, "input": items,
        "tools": [{**responses.DISTANCE, "strict": False},
                  {"type": "namespace", "name": "multi_agent_v1", "description": "Sub-agents", "tools": [
                      {"type": "function", "name": "spawn_agent", "description": "Start an agent", "strict": False,
                       "parameters": {"type": "object", "properties": {"message": {"type": "string"}}}}]},
                  {"type": "web_search", "external_web_access": False}],
        "tool_choice": "auto", "parallel_tool_calls": True, "reasoning": {"summary": "auto"},
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "019a-thread",
        "client_metadata": {"x-codex-installation-id": "i"},
    }


@test
def test_agents_codex():
    items = [{"type": "message", "role": "developer", "content": [
                 {"type": "input_text", "text": "<permissions instructions>Read only.</permissions instructions>"},
                 {"type": "input_text", "text": "You are a coding agent. " * 40}]},
             {"type": "message", "role": "user", "content": [
                 {"type": "input_text", "text": "How far is it from Bogota to Chicago?"}]}]
    first, _ = responses.stream(codex(items))
    assert [i["type"] for i in first["output"]] == ["reasoning", "function_call"], first
    call = first["output"][-1]
    # As it sends them back: without status, and with null for what it does not keep.
    thought = {k: v for k, v in first["output"][0].items() if k != "status"}
    items += [{**thought, "encrypted_content": None},
              {k: v for k, v in call.items() if k != "status"},
              {"type": "function_call_output", "call_id": call["call_id"], "output": "{\"value\": 4350}"}]
    second, _ = responses.stream(codex(items))
    assert "4350" in second["output"][-1]["content"][0]["text"], second
    u, before = second["usage"], first["usage"]
    assert u["input_tokens_details"]["cached_tokens"] >= before["total_tokens"] - 1, (before, u)


@test
def test_agents_wait_and_are_told_so():
    """Ten seconds without a token: each API has its own word for it, which its clients count as a sign of life."""
    waiting = {"/v1/messages": (messages.body(), b'{"type":"ping"}', 2),
               "/v1/responses": (responses.body(), b'{"type":"keepalive","sequence_number":2}', 1),
               "/v1/chat/completions": ({"messages": [{"role": "user", "content": "Hi"}]}, b": ping", 1)}
    with Server("--ctx", "32768", "--alias", "nano", "--parallel", "1", "-t", "1") as s, never_idle(s):
        began = time.monotonic()
        held = {path: s.connect() for path in waiting}
        for path, c in held.items():
            c.sendall(http("POST", path, json.dumps({**waiting[path][0], "stream": True}).encode(), JSON))
        for path, c in held.items():
            _, word, times = waiting[path]
            seen = b""
            while seen.count(word) < times:
                more = c.recv(65536)
                assert more and time.monotonic() - began < 20 * SLOW, (path, seen)
                seen += more
            assert 8 < time.monotonic() - began < 20 * SLOW and seen.count(word) == times, (path, seen)
            assert path != "/v1/chat/completions" or b'"role":"assistant"' in seen, seen
            c.close()


@test
def test_agents_opencode_beside_each_other():
    """Its title request runs beside the main one."""
    import threading
    got = {}

    def run(name, b):
        got[name] = messages.stream(b)[0]
    main = messages.body(tools=[messages.DISTANCE], messages=[messages.FAR], thinking=messages.THINK)
    title = messages.body(system="Make a title.", messages=[messages.FAR], max_tokens=20)
    both = [threading.Thread(target=run, args=a) for a in (("main", main), ("title", title))]
    for t in both:
        t.start()
    for t in both:
        t.join(60)
    assert got["main"]["stop_reason"] == "tool_use" and got["title"]["content"], got
