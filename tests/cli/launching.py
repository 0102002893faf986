"""glim launch, with a script in the place of the client that prints what it was given."""
import contextlib
import http.server
import json
import os
import threading

from harness import TMP, glim, ok, refused, test

NAMES = ("ANTHROPIC_", "CLAUDE_CODE_", "API_TIMEOUT_MS", "GLIM_API_KEY", "OPENCODE_", "OPENAI_", "AIDER_")
SCRIPT = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "env": {k: v for k, v in os.environ.items() if k.startswith(%r)}}))
sys.exit(7)
""" % (NAMES,)


def folder(*names):
    """A folder with that script under each name, to stand in PATH."""
    path = os.path.join(TMP, "clients-" + "-".join(names))
    os.makedirs(path, exist_ok=True)
    for name in names:
        with open(os.path.join(path, name), "w") as f:
            f.write(SCRIPT)
        os.chmod(os.path.join(path, name), 0o755)
    return path


class Models(http.server.BaseHTTPRequestHandler):
    model = {"id": "glm-5.2", "max_input_tokens": 131072}

    def do_GET(self):
        key = self.headers["Authorization"]
        status, body = (200, {"object": "list", "data": [self.model]}) if key == "Bearer secret" else (401, {})
        if self.path != "/v1/models":
            status = 404
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def models(**differs):
    served = type("Served", (Models,), {"model": {**Models.model, **differs}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def launched(client, *args, **env):
    clean = {k: None for k in os.environ if k.startswith(NAMES)}
    assert not clean, clean
    path = folder("claude", "codex", "opencode", "aider") + ":" + os.environ["PATH"]
    r = glim("launch", client, *args, env={"PATH": path, **env})
    assert r.code == 7, r  # the client's own
    got = json.loads(r.out)
    return got["argv"], got["env"]


@test
def test_launch_claude():
    with models() as url:
        argv, env = launched("claude", "--url", url + "/", "--api-key", "secret", "--", "-p", "hi there",
                             ANTHROPIC_API_KEY="another's", CLAUDE_CODE_USE_BEDROCK="1")
    assert argv == ["-p", "hi there"], argv
    assert env["ANTHROPIC_BASE_URL"] == url and env["ANTHROPIC_AUTH_TOKEN"] == "secret", env
    for name in ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL",
                 "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"):
        assert env[name] == "glm-5.2", env
    assert "ANTHROPIC_API_KEY" not in env and "CLAUDE_CODE_USE_BEDROCK" not in env, env


@test
def test_launch_others():
    key = os.path.join(TMP, "launch.key")
    with open(key, "w") as f:
        f.write("# the server's\nsecret\nanother\n")
    args = ("--url", "http://127.0.0.1:9", "--alias", "nano", "--api-key-file", key)
    argv, env = launched("codex", *args, "--", "exec", "x")
    assert argv[-4:] == ["-m", "nano", "exec", "x"] and env == {"GLIM_API_KEY": "secret"}, (argv, env)
    assert 'model_providers.glim.base_url="http://127.0.0.1:9/v1"' in argv, argv
    assert 'model_providers.glim.wire_api="responses"' in argv and 'model_provider="glim"' in argv, argv
    argv, env = launched("opencode", *args)
    config = json.loads(env["OPENCODE_CONFIG_CONTENT"])
    assert argv == [] and config["model"] == "glim/nano", config
    assert config["provider"]["glim"]["options"]["baseURL"] == "http://127.0.0.1:9/v1", config
    assert config["provider"]["glim"]["options"]["apiKey"] == "secret" and "nano" in config["provider"]["glim"]["models"]
    argv, env = launched("aider", *args)
    assert env["OPENAI_API_BASE"] == "http://127.0.0.1:9/v1" and env["AIDER_MODEL"] == "openai/nano", env


@test
def test_launch_tells_the_context():
    """Clients take an unknown model's for larger than it is. Claude Code could not shorten to a small one."""
    def told(*differs, **model):
        with models(**model) as url:
            args = ("--url", url, "--api-key", "secret", *differs)
            claude, codex, opencode = (launched(c, *args) for c in ("claude", "codex", "opencode"))
        config = json.loads(opencode[1]["OPENCODE_CONFIG_CONTENT"])
        return (claude[1].get("CLAUDE_CODE_MAX_CONTEXT_TOKENS"), [w for w in codex[0] if "context" in w],
                config["provider"]["glim"]["models"][config["model"].partition("/")[2]].get("limit"))
    assert told() == ("131072", ["--config=model_context_window=131072"], {"context": 131072, "output": 32768})
    assert told(max_input_tokens=65535) == (None, ["--config=model_context_window=65535"],
                                            {"context": 65535, "output": 16383})
    assert told(max_input_tokens="many") == told("--alias", "nano") == (None, [], None)
    with models(max_input_tokens=32768) as url:
        r = ok(glim("launch", "claude", "--url", url, "--api-key", "secret", "--print"))
    assert "32768 tokens" in r.err and "--ctx" in r.err, r


@test
def test_launch_print():
    """Only the environment, which a shell takes as it is."""
    r = ok(glim("launch", "claude", "--alias", "nano", "--print", env={"PATH": "/nonexistent"}))
    assert "export ANTHROPIC_BASE_URL='http://127.0.0.1:4546'\n" in r.out, r
    assert "export ANTHROPIC_MODEL='nano'\n" in r.out and "unset ANTHROPIC_API_KEY\n" in r.out, r
    assert "# codex '-c' 'model_provider=" in ok(glim("launch", "codex", "--alias", "nano", "--print")).out


@test
def test_launch_refusals():
    refused(glim("launch"), 2)
    assert "claude, codex" in refused(glim("launch", "vim"), 2).err
    r = refused(glim("launch", "claude", "--url", "http://127.0.0.1:9"))
    assert "no glim serve at http://127.0.0.1:9" in r.err, r
    with models() as url:
        assert "--api-key-file" in refused(glim("launch", "claude", "--url", url)).err
        assert "404" in refused(glim("launch", "claude", "--url", url + "/x", "--api-key", "secret")).err
    r = refused(glim("launch", "claude", "--alias", "nano", env={"PATH": "/nonexistent"}))
    assert "not installed" in r.err and "claude-code" in r.err, r
    for args in (("--alias", "a'b"), ("--alias", 'a"b'), ("--alias", "nano", "--api-key", "a b"),
                 ("--alias", "nano", "--url", "ftp://x"), ("--alias", "nano", "--api-key-file", "/nonexistent")):
        refused(glim("launch", "claude", "--print", *args))
