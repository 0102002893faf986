"""What is kept on disk: by key, beyond a restart."""
import os
import subprocess

from harness import GLIM, TMP, Server, test

ALICE, BOB = "sk-alice-0123456789", "sk-bob-0123456789"
LONG = "The quick brown fox jumps over the lazy dog. " * 40


def keys_file(*keys):
    path = os.path.join(TMP, "secrets")
    with open(path, "w") as f:
        f.write("\n".join(keys) + "\n")
    return path


def cached(s, key=None):
    r = s.post("/v1/completions", {"prompt": LONG, "max_tokens": 1, "temperature": 0},
               headers={"x-api-key": key} if key else None)
    assert r.status == 200, r
    return r.json["usage"]["prompt_tokens_details"]["cached_tokens"], r.json["choices"][0]["text"]


@test
def test_kept_for_its_key_alone():
    folder = os.path.join(TMP, "kept-keys")
    args = ("--ctx", "2048", "--kv-dir", folder, "--kv-encrypt", "--log", "debug")
    with Server(*args, "--api-key-file", keys_file(ALICE, BOB)) as s:
        nothing, text = cached(s, ALICE)
        assert nothing == 0 and cached(s, BOB) == (0, text)
        assert cached(s, ALICE)[0] > 0
        said = s.said()
        assert ALICE not in said and BOB not in said
    files = os.listdir(folder)
    with Server(*args, "--api-key-file", keys_file(BOB, "sk-carol-0123456789", ALICE)) as s:
        found, again = cached(s, ALICE)
        assert found > 64 and again == text, (found, again)
        assert cached(s, "sk-carol-0123456789") == (0, text)
    assert len(files) % 2 == 0 and len(files) >= 2 * (found // 64), (len(files), found)
    for name in files:
        with open(os.path.join(folder, name), "rb") as f:
            assert f.read(8) == b"glimkvE1", name


@test
def test_what_cannot_be_encrypted():
    def said(*args):
        p = subprocess.run([GLIM, "serve", "--port", "0", "--kv-encrypt", *args], capture_output=True, text=True, timeout=120)
        assert p.returncode == 1 and p.stderr.count("\n") == 1, p
        return p.stderr

    folder = os.path.join(TMP, "kept-none")
    assert "--api-key-file" in said("--kv-dir", folder)
    assert "--kv-dir" in said("--api-key", ALICE)
    assert "15 bytes" in said("--kv-dir", folder, "--api-key", ALICE, "--api-key", "fifteen-bytes!!")
    assert not os.path.exists(folder)
