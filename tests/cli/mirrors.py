"""Copies of a model on other drives: glim mirror, and --mirror. The folders lie on one drive here."""
import os
import re
import shutil
import struct
import sys

from harness import ROOT, TMP, glim, ok, refused, test
from verbs import document, least_ram

NANO = os.path.join(ROOT, "models", "glm-nano.gguf")
LOGITS = ["logits", "--ids", "1,2,3,4,5,6,7,8,9,10", "--decode", "--out", "-", "-c", "64"]


def folder(name):
    path = os.path.join(TMP, "mirrors", name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0] ^ 1
        f.seek(at)
        f.write(bytes([byte]))


def least(model):
    """The least --ram with which it runs, and what it says then."""
    ram = least_ram("-m", model, "-c", "64", "--mtp", "off")
    return ram, ok(glim(*LOGITS, "-m", model, "--ram", ram)).raw


def value_end(data, at, kind):
    """Where a GGUF value ends."""
    fixed = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    if kind in fixed:
        return at + fixed[kind]
    if kind == 8:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    inner, n = struct.unpack_from("<IQ", data, at)
    at += 12
    if inner in fixed:
        return at + n * fixed[inner]
    for _ in range(n):
        at = value_end(data, at, inner)
    return at


def split_model(where):
    """The bundled model as a set of two files; the path of the first."""
    sys.path.insert(0, os.path.join(ROOT, "tests", "hostile"))
    import tiny
    with open(NANO, "rb") as f:
        data = f.read()
    tensors, keys = struct.unpack_from("<QQ", data, 8)
    at, pairs, infos = 24, [], []
    for _ in range(keys):
        start, at = at, value_end(data, at, 8)
        at = value_end(data, at + 4, struct.unpack_from("<I", data, at)[0])
        pairs.append(data[start:at])
    for _ in range(tensors):
        start, at = at, value_end(data, at, 8)
        at += 4 + 8 * struct.unpack_from("<I", data, at)[0]
        infos.append((data[start:at], *struct.unpack_from("<IQ", data, at)))
        at += 12
    base = at + -at % 32
    ends = sorted(i[2] for i in infos) + [len(data) - base]
    for no in range(2):
        chosen, blob = [], bytearray()
        for i, (head, kind, offset) in enumerate(infos):
            if (i >= tensors // 2) == no:
                chosen.append(head + struct.pack("<IQ", kind, len(blob)))
                blob += data[base + offset:base + ends[ends.index(offset) + 1]]
                blob += bytes(-len(blob) % 32)
        more = [tiny.pair("split.no", 2, no), tiny.pair("split.count", 2, 2),
                tiny.pair("split.tensors.count", 5, tensors)]
        with open(os.path.join(where, f"nano-0000{no + 1}-of-00002.gguf"), "wb") as f:
            f.write(tiny.raw_gguf((pairs if no == 0 else []) + more, chosen, bytes(blob)))
    return os.path.join(where, "nano-00001-of-00002.gguf")


@test
def test_mirror_plan_stage_verify():
    b, c, size = folder("b"), folder("c"), os.path.getsize(NANO)
    j = document(ok(glim("mirror", "plan", NANO, b, c, "--json")))
    assert [d["folder"] for d in j["drives"]] == [None, b, c] and j["file_bytes"] == size
    own, empty, other = j["drives"]
    assert own["gb_s"] > 0 and own["missing_bytes"] == 0 and not own["counted_above"]
    assert empty["missing_bytes"] == size and empty["files_there"] == 0 and empty["free_bytes"] > 0
    assert other["counted_above"] and j["gb_s"] >= own["gb_s"] and j["gain"] >= 1
    assert os.listdir(b) == [], "the measuring left something behind"
    text = ok(glim("mirror", "plan", NANO, b)).out
    assert "to copy: glm-nano.gguf, 26.1 MiB" in text and "together" in text, text
    assert ok(glim("mirror", "stage", NANO, b)).out == f"{b}/glm-nano.gguf: copied, 26.1 MiB\n"
    assert ok(glim("mirror", "stage", NANO, b)).out == f"{b}/glm-nano.gguf: is there, 26.1 MiB\n"
    with open(NANO, "rb") as x, open(os.path.join(b, "glm-nano.gguf"), "rb") as y:
        assert x.read() == y.read()
    assert os.listdir(b) == ["glm-nano.gguf"]
    assert "has every file" in ok(glim("mirror", "plan", NANO, b)).out
    assert ok(glim("mirror", "verify", NANO, b)).out == f"{b}/glm-nano.gguf: the same, 26.1 MiB\n"
    assert "holds none" in glim("mirror", "verify", NANO, c).err


@test
def test_mirror_stage_goes_on_and_overwrites_nothing():
    b = folder("b")
    copy = os.path.join(b, "glm-nano.gguf")
    with open(NANO, "rb") as f, open(copy + ".part", "wb") as part:
        part.write(f.read(10 << 20))
    assert "of which 10.0 MiB is there" in ok(glim("mirror", "plan", NANO, b)).out
    ok(glim("mirror", "stage", NANO, b))
    ok(glim("mirror", "verify", NANO, b))
    flip(copy, 20)
    assert "at offset 20;" in refused(glim("mirror", "stage", NANO, b)).err
    with open(copy, "wb") as f:
        f.write(b"something else")
    assert "14 bytes, expected" in refused(glim("mirror", "stage", NANO, b)).err
    assert os.path.getsize(copy) == 14
    refused(glim("mirror", "stage", NANO, os.path.join(b, "none")))
    assert "the model's own file" in refused(glim("mirror", "stage", NANO, os.path.dirname(NANO))).err


@test
def test_mirror_verify_finds_one_byte():
    b, c = folder("b"), folder("c")
    for where in (b, c):
        ok(glim("mirror", "stage", NANO, where))
    flip(os.path.join(b, "glm-nano.gguf"), 13000001)
    r = glim("mirror", "verify", NANO, b, c)
    assert r.code == 1 and r.err.count("\n") == 1, r
    assert f"{b}/glm-nano.gguf: differs from {NANO} at offset 13000001;" in r.err, r
    assert r.out == f"{c}/glm-nano.gguf: the same, 26.1 MiB\n", r


@test
def test_mirrors_give_the_same_bits():
    b, c = folder("b"), folder("c")
    for where in (b, c):
        ok(glim("mirror", "stage", NANO, where))
    ram, alone = least(NANO)
    r = ok(glim(*LOGITS, "-m", NANO, "--ram", ram, "--mirror", b, "--mirror", c))
    assert r.raw == alone and r.err == "", r.err
    bench = ["bench", "-p", "0", "-n", "16", "-r", "2", "--mtp", "off", "-c", "64", "-m", NANO, "--json"]
    j = document(ok(glim(*bench, "--ram", ram, "--mirror", b, "--mirror", c)))
    read = j["drive_bytes"]
    assert len(read) == 3 and all(n > 0 for n in read) and j["rows"][0]["drive_bytes"] == read, read
    # Shares of slots' reads, prompts' single token aside: two rounds of 16 tokens.
    assert 0.9 < sum(read) / (j["disk_bytes_per_token"] * 32) < 1.1, j
    r = ok(glim(*LOGITS, "-m", NANO, "--mirror", b))
    assert r.raw == alone and r.err == "glim: mirrors are not used: all of the model fits into memory\n", r.err
    flip(os.path.join(c, "glm-nano.gguf"), 99)
    r = refused(glim(*LOGITS, "-m", NANO, "--ram", ram, "--mirror", b, "--mirror", c))
    assert f"mirror: {c}/glm-nano.gguf: differs from {NANO} at offset 99;" in r.err, r


@test
def test_a_mirror_of_some_files():
    first, b = split_model(folder("set")), folder("b")
    second = first.replace("00001-of", "00002-of")
    shutil.copy(second, b)
    ram, alone = least(first)
    r = ok(glim(*LOGITS, "-m", first, "--ram", ram, "--mirror", b))
    assert r.raw == alone == ok(glim(*LOGITS, "-m", NANO)).raw
    assert re.fullmatch(rf"glim: mirror {b}: has 1 of the model's 2 files; [^\n]*\n", r.err), r.err
    out = ok(glim("mirror", "verify", first, b)).out
    assert f"{os.path.basename(first)}: not there" in out and f"{os.path.basename(second)}: the same" in out, out
    assert "1 of" not in ok(glim("mirror", "stage", first, b)).err
    assert sorted(os.listdir(b)) == [os.path.basename(first), os.path.basename(second)]
    r = ok(glim(*LOGITS, "-m", first, "--ram", ram, "--mirror", b))
    assert r.raw == alone and r.err == "", r.err


@test
def test_mirror_usage():
    for args in ([], ["plan"], ["plan", NANO], ["stage", NANO], ["stage", NANO, "a", "b"], ["verify", NANO], ["copy", NANO, "a"],
                 ["stage", NANO, "a", "--json"], ["verify", NANO, "a", "--json"], ["plan", NANO, *"abcdefgh"]):
        refused(glim("mirror", *args), 2)
    refused(glim("run", *["--mirror=x"] * 8, "Hi"), 2)
    refused(glim("run", "--mirror=", "Hi"), 2)
    refused(glim("mirror", "plan", "/nonexistent", TMP))
    refused(glim("run", "--ram", "20M", "-c", "64", "--mirror", "/nonexistent", "-m", NANO, "Hi"))
