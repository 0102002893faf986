"""schemathesis: requests made from docs/openapi.yaml, right ones and wrong ones, and what is answered to them."""
import os
import re
import subprocess
import sys

from harness import ROOT, SLOW, Server, TMP, test

# Random requests of each operation, and how many of those that try a rule there are for one that is sent.
EXAMPLES, EVERY = ("100", "1") if os.environ.get("GLIM_TEST_LONG") else ("4", "3")
HERE = f"{ROOT}/tests/http"


@test
def test_schemathesis_finds_the_server_as_described():
    with Server("--ctx", "512", "--any-model", "-t", "1") as s:
        env = {**os.environ, "SCHEMATHESIS_HOOKS": f"{HERE}/described_hooks.py",
               "GLIM_TEST_EVERY": EVERY,
               "GLIM_TEST_VOCABULARY": str(s.get("/tokenizer_info").json["vocab_size"])}
        r = subprocess.run(
            [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "--config-file",
             f"{HERE}/schemathesis.toml", "run", f"{ROOT}/docs/openapi.yaml", "-u", f"http://127.0.0.1:{s.port}",
             "-n", EXAMPLES, "--no-color"], env=env, cwd=TMP, capture_output=True, text=True, timeout=1800 * SLOW)
    said = r.stdout + r.stderr
    assert r.returncode == 0, said[said.find("= FAILURES ="):]
    operations = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", said)
    assert operations and len(set(operations.groups())) == 1, said
    assert int(re.search(r"(\d+) generated", said).group(1)) > 500, said
