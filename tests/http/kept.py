"""What is kept on disk: by key, beyond a restart."""
import json
import os
import subprocess

from harness import GLIM, TMP, Server, eventually, test
from lifecycle import ENDLESS
from wire import JSON, http

ALICE, BOB = "sk-alice-0123456789", "sk-bob-0123456789"
LONG = "The quick brown fox jumps over the lazy dog. " * 40


def keys_file(*keys):
    path = os.path.join(TMP, "secrets")
    with open(path, "w") as f:
        f.write("\n".join(keys) + "\n")
    return path


def headers(key):
    return {"x-api-key": key} if key else None


def cached(s, key=None):
    r = s.post("/v1/completions", {"prompt": LONG, "max_tokens": 1, "temperature": 0},
               headers=headers(key))
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


# ---- slots ----

def act(s, action, slot, name=None, key=None, status=200):
    r = s.post(f"/slots/{slot}?action={action}", {"filename": name} if name is not None else {}, headers=headers(key))
    assert r.status == status, r
    return r.json if status == 200 else r.error


def idle(s, key=None):
    return {x["id"]: x["n_prompt_tokens"] for x in s.get("/slots", headers=headers(key)).json if x["n_prompt_tokens"]}


@test
def test_slots_saved_erased_restored():
    folder = os.path.join(TMP, "slots")
    with Server("--ctx", "2048", "--parallel", "4", "--slot-save-path", folder) as s:
        nothing, text = cached(s)
        tokens = idle(s)[0]
        saved = act(s, "save", 0, "one.bin")
        assert saved["id_slot"] == 0 and saved["filename"] == "one.bin" and saved["timings"]["save_ms"] > 0, saved
        assert saved["n_saved"] == tokens // 64 * 64 > 0, (saved, tokens)
        assert saved["n_written"] == os.path.getsize(os.path.join(folder, "one.bin")), saved
        assert os.stat(os.path.join(folder, "one.bin")).st_mode & 0o777 == 0o600
        assert act(s, "save", 0, "one.bin")["n_saved"] == saved["n_saved"]  # in its place
        erased = act(s, "erase", 0)
        assert erased["id_slot"] == 0 and erased["n_erased"] == tokens and idle(s) == {}, erased
        assert cached(s) == (0, text)
        act(s, "erase", *idle(s))
        restored = act(s, "restore", 3, "one.bin")
        assert restored["n_restored"] == saved["n_saved"] and restored["n_read"] == saved["n_written"], restored
        assert idle(s) == {3: saved["n_saved"]}
        assert cached(s) == (saved["n_saved"], text) and list(idle(s)) == [3]
        for name in ("", ".", "..", ".x", "a/b", "../x", "a\\b", "/etc/passwd", "a\nb", "c:x", "x" * 201, 7):
            assert act(s, "save", 3, name, status=400)["param"] == "filename", name
        assert act(s, "save", 3, status=400)["param"] == "filename"
        assert "no such file" in act(s, "restore", 3, "two.bin", status=400)["message"]
        assert "no request" in act(s, "save", 0, "two.bin", status=400)["message"]
        assert "0 to 3" in act(s, "save", 4, "two.bin", status=400)["message"]
        assert act(s, "copy", 3, "two.bin", status=400)["param"] == "action"
        assert s.post("/slots/3", {}).error["param"] == "action"
        assert act(s, "save", "x", "two.bin", status=404)
        with open(os.path.join(folder, "one.bin"), "r+b") as f:
            f.seek(5000)
            f.write(b"changed")
        message = act(s, "restore", 3, "one.bin", status=400)["message"]
        assert "torn or changed" in message and folder not in message, message
        assert os.listdir(folder) == ["one.bin"]


@test
def test_slots_of_their_keys():
    folder = os.path.join(TMP, "slots-keys")
    with Server("--ctx", "2048", "--slot-save-path", folder, "--kv-encrypt", "--api-key", ALICE, "--api-key", BOB) as s:
        nothing, text = cached(s, ALICE)
        assert s.post("/slots/0?action=save", {"filename": "x"}).status == 401
        for action in ("save", "erase", "restore"):
            assert "somebody else" in act(s, action, 0, "x", BOB, 400)["message"], action
        act(s, "save", 0, "x", ALICE)
        assert "no such file" in act(s, "restore", 1, "x", BOB, 400)["message"]
        with open(os.path.join(folder, "key-1.x"), "rb") as f:
            data = f.read()
        with open(os.path.join(folder, "key-2.x"), "wb") as f:
            f.write(data)
        assert "another key" in act(s, "restore", 1, "x", BOB, 400)["message"]
        act(s, "erase", 0, None, ALICE)
        n = act(s, "restore", 1, "x", ALICE)["n_restored"]
        assert cached(s, ALICE) == (n, text) and cached(s, BOB) == (0, text)


@test
def test_busy_slots_and_the_end():
    folder = os.path.join(TMP, "slots-busy")
    with Server("--ctx", "32768", "--parallel", "1", "--slot-save-path", folder) as s:
        cached(s)
        act(s, "save", 0, "x")
        with s.connect() as c:
            c.sendall(http("POST", "/v1/completions", json.dumps(ENDLESS).encode(), JSON))
            eventually(lambda: s.busy(), "it runs")
            r = s.post("/slots/0?action=save", {"filename": "y"})
            assert (r.status == 503 and "runs there" in r.error["message"]) or not s.busy(), r
        eventually(lambda: not s.busy(), "it ended")
        assert act(s, "restore", 0, "x")["n_restored"] > 0
    with open(os.path.join(TMP, "no-folder"), "w"):
        p = subprocess.run([GLIM, "serve", "--port", "0", "--slot-save-path", os.path.join(TMP, "no-folder")],
                           capture_output=True, text=True, timeout=120)
    assert p.returncode == 1 and "no folder" in p.stderr, p
