"""Claude Code and Codex, started by glim launch: what they send is answered, and a conversation's next turn finds what
was computed for the one before. Run by tests/http/programs; tests/http/agents.py has what needs no such program.

The bundled model makes no sense of prompts as long as theirs, so nothing is said of what it answers.
"""
import importlib.util
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402
from harness import GLIM, SLOW, TMP, Server, test  # noqa: E402

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


sys.exit(harness.main())
