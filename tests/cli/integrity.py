"""glim verify and --check-reads: what is wrong is found and named; nothing that strangers wrote leads out of the folder or in
circles."""
import contextlib
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

from harness import GLIM, MODEL, ROOT, TMP, glim, ok, refused, start, test
from verbs import least_ram

FOLDER = os.path.join(ROOT, "tests", "data", "golden", "fp8")
UNCOMPARED = 3


def verify(path, *args, **kw):
    return glim("verify", "-m", path, *args, **kw)


def document(r):
    return json.loads(r.out)


def fresh_folder(name):
    """A copy of a real model: three shards, an index, a configuration."""
    folder = os.path.join(TMP, "verify", name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FOLDER, folder)
    return folder


def parts(folder):
    return sorted(n for n in os.listdir(folder) if n.endswith((".safetensors", ".json", ".gguf")))


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def git_sha1(path):
    with open(path, "rb") as f:
        data = f.read()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb" if isinstance(data, bytes) else "w") as f:
        f.write(data)
    return path


def manifest_of(folder, name="SHA256SUMS"):
    return write(os.path.join(TMP, "verify", name), "".join(f"{sha256(os.path.join(folder, n))}  {n}\n" for n in parts(folder)))


def flip(path, at=None, keep_times=False):
    """One bit of a file, as a failing disk would."""
    st = os.stat(path)
    with open(path, "r+b") as f:
        f.seek(st.st_size // 2 if at is None else at)
        byte = f.read(1)[0]
        f.seek(-1, 1)
        f.write(bytes([byte ^ 4]))
    if keep_times:
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def lines_of(r):
    return dict(line.split(": ", 1) for line in r.out.splitlines() if ": " in line)


SHARD = "model-00002-of-00003.safetensors"


@test
def test_verify_names_the_file_that_is_wrong():
    folder = fresh_folder("flip")
    sums = manifest_of(folder)
    r = ok(verify(folder, "--manifest", sums))
    assert r.err == "" and r.out.count(": OK\n") == len(parts(folder)) and "all as expected" in r.out, r
    before = sha256(os.path.join(folder, SHARD))
    flip(os.path.join(folder, SHARD))
    r = verify(folder, "--manifest", sums)
    said = lines_of(r)
    assert r.code == 1 and [n for n, s in said.items() if s != "OK"] == [SHARD], r
    now = sha256(os.path.join(folder, SHARD))
    assert said[SHARD] == f"FAILED: SHA-256 {now}, expected {before} (manifest); download this file again", r
    assert r.err.count("\n") == 1 and "1 of 6 files is not what it should be" in r.err, r
    j = document(verify(folder, "--manifest", sums, "--json"))
    assert (j["ok"], j["failed"]) == (5, 1)
    os.unlink(os.path.join(folder, SHARD))
    r = verify(folder, "--manifest", sums)
    assert r.code == 1 and lines_of(r)[SHARD] == "MISSING (manifest); download it", r


@test
def test_verify_without_sums():
    """sha256sum's own lines, and no word that all is well."""
    folder = fresh_folder("none")
    want = subprocess.run(["sha256sum", *parts(folder)], cwd=folder, capture_output=True, text=True).stdout
    r = verify(folder)
    assert r.code == UNCOMPARED and r.out == want and "nothing was compared" in r.err and "--manifest" in r.err, r
    sums = os.path.join(TMP, "verify", "written")
    assert verify(folder, "--write", sums).code == UNCOMPARED
    assert open(sums).read() == want
    assert subprocess.run(["sha256sum", "--quiet", "-c", sums], cwd=folder).returncode == 0
    ok(verify(folder, "--manifest", sums))
    # binary markers, ./, carriage returns, and a list that leaves files out
    write(sums, "".join(line.replace("  ", " *./") + "\r\n" for line in want.splitlines()))
    ok(verify(folder, "--manifest", sums))
    write(sums, "".join(line + "\n" for line in want.splitlines() if SHARD not in line))
    r = verify(folder, "--manifest", sums)
    assert r.code == UNCOMPARED and "no sum known, SHA-256" in lines_of(r)[SHARD] and "1 of 6 files were not" in r.err, r
    flip(os.path.join(folder, "config.json"))
    os.unlink(sums + ".2") if os.path.exists(sums + ".2") else None
    r = verify(folder, "--manifest", sums, "--write", sums + ".2")
    assert r.code == 1 and not os.path.exists(sums + ".2") and "nothing was written" in r.err, r


@test
def test_verify_of_the_bundled_model():
    if MODEL:
        return
    path = os.path.join(ROOT, "models", "glm-nano.gguf")
    for args in ([], [path], ["-m", path]):
        r = glim("verify", *args)
        assert r.code == UNCOMPARED and r.out == f"{sha256(path)}  glm-nano.gguf\n", r
    refused(glim("verify", path, "-m", path), 2)
    refused(glim("verify", path, path), 2)
    refused(glim("verify", "--manifest", "x", "--hub", "a/b"), 2)
    refused(glim("verify", "--endpoint", "https://x"), 2)
    refused(glim("verify", "/nonexistent"))
    refused(glim("verify", os.path.join(ROOT, "docs", "man")))


@test
def test_verify_with_what_the_download_tool_left():
    folder = fresh_folder("local/sub")
    root = os.path.dirname(folder)
    for at, rel in ((folder, ""), (root, "sub/")):  # the folder was downloaded itself, or as a part of a repository
        shutil.rmtree(os.path.join(folder, ".cache"), ignore_errors=True)
        for n in parts(folder):
            p = os.path.join(folder, n)
            etag = git_sha1(p) if n.endswith(".json") else sha256(p)
            write(f"{at}/.cache/huggingface/download/{rel}{n}.metadata", f"{'0' * 40}\n{etag}\n1726498370.8\n")
        ok(verify(folder))
        ok(verify(os.path.join(folder, SHARD)))
    flip(os.path.join(folder, "config.json"))
    flip(os.path.join(folder, SHARD))
    r = verify(folder)
    said = lines_of(r)
    assert r.code == 1 and "git's SHA-1" in said["config.json"] and "(download metadata)" in said[SHARD], r
    assert sum(s == "OK" for s in said.values()) == 4, r
    # notes that are none: nothing is known, nothing is believed
    notes = f"{root}/.cache/huggingface/download/sub"
    for bad in (b"", b"\n", b"\0" * 4096, os.urandom(4000), b"x" * 10_000_000, b"a\n" + b"f" * 63 + b"\n", b"a\nW/\"" + b"f" * 64 + b"\"\n"):
        for n in parts(folder):
            write(f"{notes}/{n}.metadata", bad)
        assert verify(folder).code == UNCOMPARED, bad[:80]
    for n in parts(folder):
        os.unlink(f"{notes}/{n}.metadata")
        os.mkfifo(f"{notes}/{n}.metadata")
    assert verify(folder, timeout=10).code == UNCOMPARED


@test
def test_verify_in_the_hub_cache():
    source = fresh_folder("cache-source")
    root = os.path.join(TMP, "verify", "hub", "models--z--m")
    shutil.rmtree(root, ignore_errors=True)
    snapshot = f"{root}/snapshots/{'1' * 40}"
    os.makedirs(snapshot)
    os.makedirs(f"{root}/blobs")
    blob = {}
    for n in parts(source):
        p = os.path.join(source, n)
        blob[n] = git_sha1(p) if n.endswith(".json") else sha256(p)
        shutil.copy(p, f"{root}/blobs/{blob[n]}")
        os.symlink(f"../../blobs/{blob[n]}", f"{snapshot}/{n}")
    assert ok(verify(snapshot)).out.count(": OK\n") == 6
    flip(f"{root}/blobs/{blob[SHARD]}")
    r = verify(snapshot)
    assert r.code == 1 and f"expected {blob[SHARD]} (name in the hub's cache)" in lines_of(r)[SHARD], r
    os.unlink(f"{root}/blobs/{blob[SHARD]}")
    assert lines_of(verify(snapshot))[SHARD].startswith("MISSING"), r


def split_set(name, sizes):
    """(the paths of a set of parts, a manifest); sizes below zero are holes."""
    folder = os.path.join(TMP, "verify", name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    paths = [f"{folder}/m-{i + 1:05}-of-{len(sizes):05}.gguf" for i in range(len(sizes))]
    for p, n in zip(paths, sizes):
        with open(p, "wb") as f:
            if n < 0:
                f.truncate(-n)
            else:
                f.write(random.Random(n).randbytes(n))
    return paths


@test
def test_verify_of_a_split_set():
    paths = split_set("set", [0, 1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, (32 << 20) + 5, 41 << 20])
    want = "".join(f"{sha256(p)}  {os.path.basename(p)}\n" for p in paths)
    for t in ("1", "2", "7"):
        r = verify(paths[3], "-t", t, "--fresh")
        assert r.code == UNCOMPARED and r.out == want, r
    sums = write(os.path.join(TMP, "verify", "set.sums"), want)
    os.unlink(paths[2])
    r = verify(paths[0], "--manifest", sums)
    assert r.code == 1 and lines_of(r)[os.path.basename(paths[2])].startswith("MISSING"), r
    # sums of a whole repository: found by the end of the path
    write(sums, "".join(f"{line[:64]}  set/{line[66:]}\n{'0' * 64}  other/{line[66:]}\n" for line in want.splitlines()))
    r = verify(paths[0], "--manifest", sums)
    assert r.code == 1 and sum(s.startswith("OK") for s in lines_of(r).values()) == 8, r


def wait_for_line(p, what):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        line = p.stdout.readline().decode()
        if what in line or not line:
            return line
    raise AssertionError(f"no {what!r}")


@test
def test_verify_goes_on_where_it_was_stopped():
    """What was done is not read again: by count, and because a bit that flips there goes unseen until --fresh."""
    for sig, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        paths = split_set(f"stop{sig}", [70 << 20, 80 << 20, -(200 << 30)])
        names = [os.path.basename(p) for p in paths]
        p = start("verify", "-m", paths[0], "-t", "1")
        assert names[1] in wait_for_line(p, names[1])
        time.sleep(0.3)
        p.send_signal(sig)
        p.stdout.read()
        assert p.wait(30) == code, p.returncode
        write(paths[2], b"all of it")
        flip(paths[0], keep_times=True)
        j = document(verify(paths[0], "--json"))
        assert j["read_bytes"] == len(b"all of it"), j
        assert [f["earlier"] for f in j["files"]] == [True, True, False], j
        want = [f["sha256"] for f in j["files"]]
        os.utime(paths[1])  # changed, as far as one can tell
        j = document(verify(paths[0], "--json"))
        assert j["read_bytes"] == 80 << 20 and [f["sha256"] for f in j["files"]] == want, j
        j = document(verify(paths[0], "--json", "--fresh"))
        assert j["read_bytes"] == j["bytes"] and j["files"][0]["sha256"] == sha256(paths[0]) != want[0], j
        shutil.rmtree(os.path.dirname(paths[0]))


def states():
    folder = os.path.join(os.environ["XDG_CACHE_HOME"], "glim")
    return [os.path.join(folder, n) for n in os.listdir(folder) if n.startswith("verify-")] if os.path.isdir(folder) else []


@test
def test_verify_forgets_and_doubts_what_it_kept():
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    folder = fresh_folder("state")
    sums = manifest_of(folder, "state.sums")
    whole = document(verify(folder, "--json"))["bytes"]
    state, = states()
    good = open(state, "rb").read()
    assert document(verify(folder, "--json"))["read_bytes"] == 0
    assert "earlier run" in ok(verify(folder, "--manifest", sums)).out
    assert not states()  # all was compared and equal: the next run reads again
    wrong = good.replace(b"glim verify 1", b"glim verify 9"), good[:13], b"", os.urandom(5000), good[:20] + b"\0" * 5000
    for bad in wrong + (b"\n" * 100_000 + good, b"glim verify 1\n" + b" " * 1_000_000, b"x" * 30_000_000):
        write(state, bad)
        j = document(verify(folder, "--json"))
        assert j["read_bytes"] == whole, bad[:50]
    write(state, b"glim verify 1\n" + good[14:].replace(b" 74832 ", b" 74833 "))
    assert document(verify(folder, "--json"))["read_bytes"] == 74832
    # an earlier sum that would make a file fail is not trusted either
    flip(os.path.join(folder, SHARD))
    verify(folder)
    flip(os.path.join(folder, SHARD), keep_times=True)
    r = ok(verify(folder, "--manifest", sums))
    assert lines_of(r)[SHARD] == "OK", r


@test
def test_verify_stays_in_the_folder():
    folder = fresh_folder("links")
    secret = write(os.path.join(TMP, "verify", "secret"), "not yours")
    sums = write(os.path.join(TMP, "verify", "links.sums"), f"{'0' * 64}  model-00002-of-00003.safetensors\n")
    os.unlink(os.path.join(folder, SHARD))
    os.symlink(secret, os.path.join(folder, SHARD))
    for args in ([], ["--manifest", sums]):
        r = verify(folder, *args)
        assert r.code == 1 and "is a link to" in lines_of(r)[SHARD] and sha256(secret) not in r.out, r
    os.symlink(os.path.join(TMP, "verify"), os.path.join(folder, "down"))
    write(sums, f"{sha256(secret)}  down/secret\n")
    r = verify(folder, "--manifest", sums)
    assert r.code == 1 and "is a link to" in lines_of(r)["down/secret"] and "OK" not in r.out, r
    for name in ("../secret", "/etc/passwd", "down/../../secret", "a\x1b[31mb", "..", "down//secret"):
        write(sums, f"{sha256(secret)}  {name}\n")
        r = refused(verify(folder, "--manifest", sums))
        assert "links.sums: line 1: " in r.err and "inside the model's folder" in r.err, r
    for text in ("", "\n", "hello\n", "0" * 64 + "\n", "0" * 63 + "  x\n", f"{'0' * 64}  x\n{'1' * 64}  x\n"):
        write(sums, text)
        assert "links.sums" in refused(verify(folder, "--manifest", sums)).err
    with open(sums, "wb") as f:
        f.truncate(1 << 34)
    assert "expected at most" in refused(verify(folder, "--manifest", sums)).err
    os.mkfifo(sums + ".fifo")
    refused(verify(folder, "--manifest", sums + ".fifo", timeout=10))
    os.mkfifo(os.path.join(folder, "pipe.json"))
    assert "is a FIFO" in lines_of(verify(folder, timeout=10))["pipe.json"]


@test
def test_check_reads():
    """Checksums are made once, kept, and change no answer; a byte that rots is named."""
    if MODEL:
        return
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    model = os.path.join(TMP, "verify", "checked.gguf")
    os.makedirs(os.path.dirname(model), exist_ok=True)
    shutil.copy(os.path.join(ROOT, "models", "glm-nano.gguf"), model)
    run = ["run", "-m", model, "--ids", "1,2,3,4,5,6,7,8", "-n", "8", "--temp", "0", "--print-ids", "-c", "64", "--mtp", "off"]
    streamed = [*run, "--ram", least_ram("-c", "64", "--mtp", "off")]
    want = ok(glim(*streamed)).out
    assert "reads are not checked" in ok(glim(*run, "--check-reads")).err
    assert ok(glim(*streamed, "--check-reads")).out == want
    folder = os.path.join(os.environ["XDG_CACHE_HOME"], "glim")
    kept, = os.listdir(folder)
    before = os.stat(os.path.join(folder, kept))
    assert kept.startswith("sums-") and before.st_mode & 0o777 == 0o600
    assert ok(glim(*streamed, "--check-reads")).out == want
    assert os.stat(os.path.join(folder, kept)).st_mtime_ns == before.st_mtime_ns
    for t in json.loads(ok(glim("show", "-m", model, "--tensors", "--json")).out)["tensor_list"]:
        if t["name"] == "blk.3.ffn_down_exps.weight":
            for x in range(t["shape"][0]):
                flip(model, t["offset"] + t["bytes"] // t["shape"][0] * x + 64, keep_times=True)
    r = refused(glim(*streamed, "--check-reads"))
    assert ' of tensor "blk.3.ffn_down_exps.weight": ' in r.err and model in r.err and kept in r.err, r
    ok(glim(*streamed))  # who does not ask gets other answers, or the same
    os.utime(model)
    ok(glim(*streamed, "--check-reads"))  # another file, as far as one can tell: new sums
    r = glim(*streamed, "--check-reads", env={"XDG_CACHE_HOME": "", "HOME": ""})
    assert "XDG_CACHE_HOME" in refused(r).err, r


# ---- a hub ----


class Hub(http.server.BaseHTTPRequestHandler):
    pages = {}
    asked = []

    def do_GET(self):
        Hub.asked.append(self.path)
        status, headers, body = Hub.pages.get(self.path, (404, {}, b'{"error":"Repository not found"}'))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            for piece in [body] if isinstance(body, bytes) else body:
                self.wfile.write(piece)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def hub(pages):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    Hub.pages, Hub.asked = pages, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


TREE = "/api/models/z/m/tree/main?recursive=true"


def entries(folder, prefix=""):
    found = []
    for n in parts(folder):
        p = os.path.join(folder, n)
        e = {"type": "file", "path": prefix + n, "oid": git_sha1(p), "size": os.path.getsize(p)}
        if not n.endswith(".json"):
            e["lfs"] = {"oid": sha256(p), "size": os.path.getsize(p), "pointerSize": 134}
            e["oid"] = "0" * 40
        found.append(e)
    return found


def page(entries, status=200, **headers):
    return status, headers, json.dumps(entries).encode()


@test
def test_verify_with_a_hub():
    folder = fresh_folder("remote")
    listed = entries(folder)
    extra = [{"type": "directory", "path": "sub", "oid": "0" * 40}, {"type": "file", "path": "README.md", "oid": "0" * 40, "size": 3},
             {"type": "file", "path": "sub/x.gguf", "oid": "0" * 40, "size": 3}]
    with hub({}) as url:
        args = ["--hub", "z/m", "--endpoint", url + "/"]
        nxt = "/api/models/z/m/tree/main?recursive=true&cursor=abc"
        Hub.pages = {TREE: page(listed[:3] + extra, Link=f'<{url}{nxt}>; rel="next"'), nxt: page(listed[3:])}
        r = ok(verify(folder, *args))
        assert r.out.count(": OK\n") == 6 and Hub.asked == [TREE, nxt], (r, Hub.asked)
        # sizes tell without reading
        with open(os.path.join(folder, SHARD), "ab") as f:
            f.write(b"x")
        r = verify(folder, *args, "--json")
        f = next(f for f in document(r)["files"] if f["name"] == SHARD)
        assert r.code == 1 and f["status"] == "failed" and f["sha256"] is None, r
        assert "bytes, expected" in lines_of(verify(folder, *args))[SHARD]
        os.unlink(os.path.join(folder, SHARD))
        assert lines_of(verify(folder, *args))[SHARD] == "MISSING (hub); download it"
        # another revision, with a slash; a renamed repository
        other = "/api/models/z/m/tree/refs%2Fpr%2F7?recursive=true"
        Hub.pages = {other: (307, {"Location": url + "/new"}, b""), "/new": page(entries(folder))}
        ok(verify(folder, "--hub", "z/m@refs/pr/7", "--endpoint", url))
        assert Hub.asked[-2:] == [other, "/new"], Hub.asked
        # of a file that stands in a folder of the repository
        Hub.pages = {TREE: page(entries(folder, "Q4/"))}
        path = os.path.join(folder, "model-00001-of-00003.safetensors")
        ok(verify(path, *args))


@test
def test_verify_never_asks_unless_told():
    folder = fresh_folder("quiet")
    trace = subprocess.run(["sh", "-c", "command -v strace"], capture_output=True).stdout
    with hub({}):
        verify(folder)
        assert Hub.asked == []
    if trace:
        p = subprocess.run(["strace", "-f", "-e", "trace=%network", GLIM, "verify", "-m", folder], capture_output=True)
        assert b"socket(" not in p.stderr, p.stderr


@test
def test_hostile_hubs():
    folder = fresh_folder("hostile")
    good = entries(folder)

    def forever():
        for _ in range(4000):
            yield b" " * 65536

    def changed(**kw):
        return page([{**good[0], **kw}, *good[1:]])
    with hub({}) as url:
        loop = "/api/models/z/m/tree/main?recursive=true&cursor=loop"
        cases = [
            (page([], status=404), "HTTP 404"), (page([], status=401), "private or gated"), (page([], status=500), "HTTP 500"),
            (page(good, status=206), "HTTP 206"), ((200, {}, b""), "tree/main"), ((200, {}, b"<html>"), "tree/main"),
            (page({"error": "x"}), "expected an array"), (page([1]), "entry 0"), (page([None]), "entry 0"),
            ((200, {}, b"[" * 100000), "tree/main"), ((200, {}, json.dumps(good).encode()[:-9]), "tree/main"),
            ((200, {}, b'[{"type":"file","type":"x"}]'), "tree/main"),
            (changed(path="../../etc/passwd"), "inside the repository"), (changed(path="/etc/passwd"), "inside the repository"),
            (changed(path="a\x1b[31m"), "inside the repository"), (changed(oid="0" * 39), "hexadecimal"),
            (changed(oid=7), "hexadecimal"), (changed(lfs={"oid": "0" * 40}), "hexadecimal"), (changed(lfs=7), None),
            (changed(size=-5), None), (changed(size=2 ** 64 - 1), None), (changed(size="big"), None),
            ((200, {}, forever()), "more than"),
            ((302, {"Location": url + TREE}, b""), "redirects"), ((302, {"Location": "file:///etc/passwd"}, b""), "file"),
            ((302, {"Location": "ftp://127.0.0.1/x"}, b""), "ftp"),
            (page(good, Link='<https://elsewhere.example/api/models/x>; rel="next"'), "expected one of this server"),
            (page(good, Link='<file:///etc/passwd>; rel="next"'), "expected one of this server"),
            (page(good[:1], Link=f'<{url}{loop}>; rel="next"'), "more than 64 pages"),
        ]
        for answer, word in cases:
            Hub.pages = {TREE: answer, loop: page(good[1:2], Link=f'<{url}{loop}>; rel="next"')}
            began = time.monotonic()
            r = verify(folder, "--hub", "z/m", "--endpoint", url)
            if word:
                assert word in refused(r).err, (answer[:2], word, r)
            assert r.code in (0, 1) and time.monotonic() - began < 20, (answer[:2], r)
        for repo in ("m", "z/", "/m", "z/m/x", "z/../m", "z/m@", "z m/x", "z/m\n", "../..", "z@x/m", "z" * 200 + "/m"):
            assert "--hub" in refused(verify(folder, "--hub", repo, "--endpoint", url)).err, repo
        for endpoint in ("127.0.0.1", "file:///tmp", "ftp://x", "https://", "http:"):
            assert "--endpoint" in refused(verify(folder, "--hub", "z/m", "--endpoint", endpoint)).err, endpoint
        refused(verify(folder, "--hub", "z/m", "--endpoint", "http://127.0.0.1:9"))
