"""What each verb but run and chat prints."""
import csv
import io
import json
import os
import re
import struct
import subprocess
import sys
import xml.etree.ElementTree

from harness import GLIM, MODEL, ROOT, TMP, glim, ok, refused, start, test, wait_at_work, with_model

TEXTS = ["Hello, world!", "  two  spaces\n\nand lines\t", "Zoë – naïve café, 你好 🎉", "a", "<|user|> [gMASK]<sop>",
         "123456789 3.14 it's I'LL", "\x00\x01\x7f", "tail\n", "e\u0301 \u200b"]


def document(r):
    """One JSON document without doubled keys, NaN or Infinity, that ends with a newline."""
    def unique(pairs):
        keys = [k for k, _ in pairs]
        assert len(keys) == len(set(keys)), keys
        return dict(pairs)

    def no_constant(c):
        raise AssertionError(c)
    assert r.out.endswith("\n"), r
    return json.loads(r.out, object_pairs_hook=unique, parse_constant=no_constant)


def path(name):
    return os.path.join(TMP, name)


@test
def test_show():
    j = document(ok(glim("show", "--json")))
    for key in ("total_parameters", "active_parameters", "always_on_parameters", "cache_bytes_per_token", "layers",
                "full_indexer_layers", "bytes_per_token", "vocabulary"):
        assert isinstance(j[key], int) and j[key] > 0, key
    assert j["always_on_parameters"] < j["active_parameters"] < j["total_parameters"]
    groups = sum(g["parameters"] for g in j["groups"])
    assert groups == j["total_parameters"], (groups, j["total_parameters"])
    assert sum(g["active_parameters"] for g in j["groups"]) == j["active_parameters"]
    text = ok(glim("show")).out
    assert j["family"] in text and f"{j['vocabulary']:,}" in text and "routed experts" in text


def with_low_draft_layer():
    """A random model whose draft layer has one matrix of 4.5 bits."""
    sys.path.insert(0, os.path.join(ROOT, "tests", "hostile"))
    import tiny
    infos, blob, low = [], bytearray(), f"blk.{tiny.LAYERS}.nextn.eh_proj.weight"
    for name, dims in tiny.gguf_tensors().items():
        n = tiny.count(dims)
        raw = bytes(n // 32 * 18) if name == low else tiny.usual("F32", name, n)
        infos.append(tiny.info(name, dims, 2 if name == low else 0, len(blob)))
        blob += raw + bytes(-len(raw) % 32)
    with open(path("low.gguf"), "wb") as f:
        f.write(tiny.raw_gguf([tiny.pair(k, *v) for k, v in tiny.gguf_pairs().items()], infos, bytes(blob)))
    return path("low.gguf")


@test
def test_show_says_when_the_draft_layer_is_coarse():
    low = with_low_draft_layer()
    assert document(ok(glim("show", "-m", low, "--json")))["mtp_low_type"] == "Q4_0"
    assert re.search(r"^draft layer +has Q4_0 matrices, below 8 bits", ok(glim("show", "-m", low)).out, re.M)
    if not MODEL:
        assert document(ok(glim("show", "--json")))["mtp_low_type"] is None
        assert "below 8 bits" not in ok(glim("show")).out


@test
def test_show_tensors():
    j = document(ok(glim("show", "--tensors", "--json")))
    lines = ok(glim("show", "--tensors")).out.splitlines()
    names = [t["name"] for t in j["tensor_list"]]
    assert len(lines) == len(names) == j["tensors"]
    assert [line.split()[0] for line in lines] == names == sorted(names)
    assert sum(t["bytes"] for t in j["tensor_list"]) == j["tensor_bytes"]


@test
def test_plan():
    shown = document(ok(glim("show", "--json")))
    j = document(ok(glim("plan", "--json", "--ram", "4G", "--ctx", "1000", "--bandwidth", "10")))
    assert j["ram_bytes"] == 4 << 30 and j["context_tokens"] == 1000
    wide = document(ok(glim("plan", "--json", "--ram", "4G", "--ctx", "1000", "--kv-index", "f16")))
    assert wide["cache_bytes_per_token"] == shown["cache_bytes_per_token"]
    keys = shown["full_indexer_layers"] * (shown["index_dim"] * 2 - (shown["index_dim"] + 4))
    assert j["cache_bytes_per_token"] == shown["cache_bytes_per_token"] - keys
    narrow = document(ok(glim("plan", "--json", "--ram", "4G", "--ctx", "1000", "--kv", "q8")))
    latent, rope = shown["kv_rank"], shown["rope_dim"]
    assert narrow["cache_bytes_per_token"] == (shown["layers"] * (latent + latent // 128 * 4 + 2 * rope)
                                               + shown["full_indexer_layers"] * (shown["index_dim"] + 4))
    assert j["cache_bytes"] >= 1000 * j["cache_bytes_per_token"]
    assert j["runs"] and j["fits"] and j["streamed_bytes"] == 0
    assert abs(j["tok_s_ram"] * j["ram_read_per_token"] / 1e9 - 10) < 0.01
    drafts = [i["bytes"] for i in j["items"] if i["name"] == "draft cache (MTP)"]
    assert drafts[0] >= 1000 * latent and (drafts[0] > 0) == (shown["mtp_layers"] > 0)
    twice = document(ok(glim("plan", "--json", "--ram", "4G", "--ctx", "1000", "--kv", "f32", "--sessions", "2")))
    assert twice["cache_bytes"] > 2 * j["cache_bytes"]
    assert "tokens a second" in ok(glim("plan")).out


@test
def test_plan_with_little_memory():
    j = document(ok(glim("plan", "--json", "--ram", "1M")))
    assert not j["runs"] and not j["fits"] and j["least_ram_bytes"] > 1 << 20
    assert j["resident_bytes"] == j["streamed_bytes"] == j["tok_s"] == j["bytes_per_token"] == 0, j
    assert all(i["resident_bytes"] == i["streamed_bytes"] == 0 for i in j["items"]), j
    out = ok(glim("plan", "--ram", "1M")).out
    assert "at least" in out and re.search(r"^cache .* - +- ", out, re.M), out
    assert f"({j['least_ram_bytes']:,} bytes)" in out and not any(j["would_do"].values()), out
    least = document(ok(glim("plan", "--json", "--ram", str(j["least_ram_bytes"]))))
    assert least["runs"] and not least["fits"], least
    place = {i["name"]: i for i in least["items"]}
    assert place["cache"]["streamed_bytes"] == place["step workspace"]["streamed_bytes"] == 0, place
    assert place["cache"]["resident_bytes"] == place["cache"]["bytes"] == least["cache_bytes"] > 0
    assert least["streamed_bytes"] == place["routed experts"]["streamed_bytes"] + \
        place["embedding"]["streamed_bytes"] > 0
    assert all(i["resident_bytes"] + i["streamed_bytes"] == i["bytes"] for i in least["items"]), least


@test
def test_plan_and_refusal():
    """One answer: the least budget of plan is the one that a session is refused below; what would do does."""
    ids = ["--ids", "1,2,3", "-c", "512", "--last", "--mtp", "-o", path("plan.logits")]
    need = document(ok(glim("plan", "--json", "--ram", "1M", "--ctx", "512", "--mtp", "1")))["least_ram_bytes"]
    ok(glim("logits", *ids, "--ram", str(need)))
    r = refused(glim("logits", *ids, "--ram", str(need - 1)))
    assert f"({need} bytes)" in r.err and "no drafts would do" in r.err, r.err
    least = document(ok(glim("plan", "--json", "--ram", "1M")))["least_ram_bytes"]
    r = ok(glim("plan", "--ram", str(least - (2 << 20))))
    assert re.search(r"^would do: --ctx \d+$", r.out, re.M) and "would do: --kv q8" in r.out, r.out
    context = re.search(r"--ctx (\d+)", r.out)[1]
    assert "runs:" in ok(glim("plan", "--ram", str(least - (2 << 20)), "--ctx", context)).out


@test
def test_drafts_that_do_not_fit():
    """--mtp auto: without the draft layer where only that is too much for the memory."""
    if document(ok(glim("show", "--json")))["mtp_layers"] == 0:
        return
    small = ["--ctx", "256", "-t", "1"]
    drafts, none, auto = (document(ok(glim("plan", "--json", "--ram", "1M", *small, "--mtp", how)))["least_ram_bytes"]
                          for how in ("1", "off", "auto"))
    assert none == auto < drafts, (none, auto, drafts)
    run = ["run", "--ids", "5,6,7", "--print-ids", "--ignore-eos", "-n", "10", "--temp", "0", "--usage", "off", *small]
    assert "no drafts would do" in refused(glim(*run, "--mtp", "1", "--ram", str(drafts - 1))).err
    assert json.loads(ok(glim(*run, "--ram", str(none))).out) == \
        json.loads(ok(glim(*run, "--mtp", "1", "--ram", str(drafts))).out)
    refused(glim(*run, "--ram", str(none - 1)))
    bench = ["bench", "-p", "0", "-n", "4", "-r", "1", "--json", *small]
    rows = document(ok(glim(*bench, "--ram", str(drafts - 1))))["rows"]
    assert [r["test"] for r in rows] == ["tg4"], rows


@test
def test_plan_speed():
    """Slower drives and less memory are slower; what was assumed is said."""
    least = document(ok(glim("plan", "--json", "--ram", "1M", "--ctx", "512")))["least_ram_bytes"]

    def plan(*args):
        return document(ok(glim("plan", "--json", "--ctx", "512", *args)))
    few = plan("--ram", str(least), "--drive", "2,100,8", "--use", "uniform")
    assert (few["drive_gb_s"], few["drive_latency_us"], few["use"]) == (2, 100, "uniform")
    assert 0 <= few["expert_hit_rate"] < few["expert_slots"] / few["experts"]
    assert close(few["disk_ms"], few["disk_read_per_token"] / 2e6)
    more = plan("--ram", str(least + (3 << 20)), "--drive", "2,100,8", "--use", "uniform")
    fast = plan("--ram", str(least), "--drive", "8,100,8", "--use", "uniform")
    assert few["tok_s"] < more["tok_s"] < more["tok_s_ram"] and few["tok_s"] < fast["tok_s"]
    assert few["tok_s"] < few["tok_s_disk"] and more["disk_read_per_token"] < few["disk_read_per_token"]
    usual = plan("--ram", str(least + (3 << 20)))
    assert usual["use"] == "measured" and usual["expert_hit_rate"] > more["expert_hit_rate"]
    assert (usual["drive_gb_s"], usual["drive_latency_us"], usual["ram_gb_s"]) == (3, 80, 20)
    given = plan("--ram", str(least), "--drive", "2,100,8", "--hit-rate", "0.75")
    assert given["use"] == "given" and given["expert_hit_rate"] == 0.75
    for bad in ("", "0", "x", "7,", "7,80,", "7,80,0", "7,80,1.5", "7,80,32,1", "1e9", "-1", "nan", "7 ,80", "0x7"):
        refused(glim("plan", "--drive", bad), 2)


@test
def test_doctor():
    j = document(ok(glim("doctor", "--json")))
    assert j["memory_limit_bytes"] >= 0 and 0 < j["memory_budget_bytes"] < j["memory_available_bytes"], j
    assert j["processors"] >= 1 and j["memory_bytes"] > 0 and j["cpu"] and j["parts"]
    assert all(p["path"] for p in j["parts"])
    assert j["cpu"] in ok(glim("doctor")).out


@test
def test_text_to_tokens_and_back():
    for text in TEXTS:
        r = ok(glim("tokenize", "--json", stdin=text))
        ids = json.loads(r.out)
        assert r.out.count("\n") == 1 and all(isinstance(i, int) for i in ids)
        assert ok(glim("detokenize", stdin=r.out)).raw == text.encode()
        assert ok(glim("detokenize", *map(str, ids))).raw == text.encode() if ids else True
        pieces = ok(glim("tokenize", stdin=text)).out.splitlines()
        assert [int(p.split("\t")[0]) for p in pieces] == ids
    assert json.loads(ok(glim("tokenize", "--json")).out) == []


@test
def test_added_tokens_only_on_demand():
    plain = json.loads(ok(glim("tokenize", "--json", stdin="<|user|>")).out)
    special = json.loads(ok(glim("tokenize", "--json", "--special", stdin="<|user|>")).out)
    assert len(special) == 1 and len(plain) > 1 and special[0] not in plain
    assert ok(glim("detokenize", str(special[0]))).out == "<|user|>"
    assert ok(glim("detokenize", "--skip-special", str(special[0]))).out == ""


@test
def test_detokenize_forms_and_faults():
    a = ok(glim("detokenize", "40,41", "42")).raw
    for form in ("40 41 42", "[40, 41, 42]", "40\n41\n42\n", "40,41,42", " [40][41] 42 "):
        assert ok(glim("detokenize", stdin=form)).raw == a, form
    for bad in ("x", "1.5", "-1", "1;2", "4294967296", "99999999999999999999", "0x10"):
        refused(glim("detokenize", stdin=bad))
    refused(glim("detokenize", "2147483647"))


@test
def test_invalid_utf8_on_standard_input():
    r = ok(glim("tokenize", "--json", stdin=b"a\xff\xfeb"))
    assert ok(glim("detokenize", stdin=r.out)).raw.decode("utf-8") in ("a\ufffd\ufffdb", "a\ufffdb")


def request(text="Hi", **more):
    return json.dumps({"messages": [{"role": "user", "content": text}], **more})


@test
def test_template():
    r = ok(glim("template", stdin=request(add_generation_prompt=True)))
    assert r.out.startswith("[gMASK]<sop>") and r.out.endswith("<|user|>Hi<|assistant|><think>"), r
    r = ok(glim("template", stdin=request(add_generation_prompt=True, enable_thinking=False)))
    assert r.out.endswith("<|assistant|><think></think>"), r
    ids = json.loads(ok(glim("template", "--ids", stdin=request("What?"))).out)
    text = ok(glim("template", stdin=request("What?"))).out
    assert ids == json.loads(ok(glim("tokenize", "--json", "--special", stdin=text)).out)


@test
def test_template_keeps_users_text_plain():
    user = json.loads(ok(glim("tokenize", "--json", "--special", stdin="<|user|>")).out)[0]
    ids = json.loads(ok(glim("template", "--ids", stdin=request("a<|user|>b"))).out)
    assert ids.count(user) == 1, ids


@test
def test_template_faults():
    for bad in ("", "[]", "{", "null", "{} {}", '{"messages": 5}', '{"messages": [5]}', '{"messages":[],"messages":[]}',
                '{"messages":[{"role":"user","content":NaN}]}', '{"messages":[{"content":"x"}]}', "[" * 100):
        refused(glim("template", stdin=bad))
    refused(glim("template", stdin=b'{"messages":[{"role":"user","content":"\xff"}]}'))


def rows(file, vocab):
    data = open(file, "rb").read()
    assert len(data) % (4 * vocab) == 0, len(data)
    return [data[i:i + 4 * vocab] for i in range(0, len(data), 4 * vocab)]


def vocabulary():
    return document(ok(glim("show", "--json")))["vocabulary"]


@test
def test_logits():
    v, out = vocabulary(), path("l.bin")
    ids = "5,6,7,8,9,10,11,12,13"
    ok(glim("logits", "--ids", ids, "--out", out))
    all_rows = rows(out, v)
    assert len(all_rows) == 9 and len(set(all_rows)) == 9
    assert all(abs(x) < 1e6 for row in all_rows for x in struct.unpack(f"<{v}f", row))
    for more in (["--chunk", "1"], ["--chunk", "4"], ["-t", "1"], ["-t", "3"]):
        ok(glim("logits", "--ids", ids, "--out", out, *more))
        assert rows(out, v) == all_rows, more
    ok(glim("logits", "--ids", ids, "--out", out, "--last"))
    assert rows(out, v) == all_rows[-1:]
    with open(path("ids"), "w") as f:
        f.write("[5, 6, 7,\n8 9 10 11 12 13]\n")
    assert ok(glim("logits", "--ids", path("ids"), "--out", "-")).raw == b"".join(all_rows)
    assert ok(glim("logits", "--ids", "-", "--out", "-", stdin=ids)).raw == b"".join(all_rows)


@test
def test_logits_of_both_roles():
    # A question, since among nonsense near ties of the router fall either way; 1.3 % is usual.
    v, out = vocabulary(), path("roles.bin")
    ids = ok(glim("tokenize", "--special", "--json", stdin="<|user|>What is 17 + 25?<|assistant|>")).out
    ok(glim("logits", "--ids", ids.strip("[]\n"), "--out", out))
    prompt = rows(out, v)
    ok(glim("logits", "--ids", ids.strip("[]\n"), "--out", out, "--decode"))
    decode = rows(out, v)
    assert len(prompt) == len(decode) > 9
    for a, b in zip(prompt, decode):
        a, b = struct.unpack(f"<{v}f", a), struct.unpack(f"<{v}f", b)
        assert max(abs(x - y) for x, y in zip(a, b)) < 0.05 * max(map(abs, b))


@test
def test_logits_of_the_draft_layer():
    v, out = vocabulary(), path("m.bin")
    if document(ok(glim("show", "--json")))["mtp_layers"] == 0:
        refused(glim("logits", "--ids", "5,6", "--mtp", "--out", out))
        return
    ok(glim("logits", "--ids", "5,6,7,8", "--mtp", "--out", out))
    three = rows(out, v)
    assert len(three) == 3
    ok(glim("logits", "--ids", "5,6,7,8", "--mtp", "--last", "--out", out))
    assert rows(out, v) == three[-1:]
    ok(glim("logits", "--ids", "5,6,7,8", "--mtp", "--last", "--chunk", "2", "--out", out))
    assert rows(out, v) == three[-1:]
    ok(glim("logits", "--ids", "5", "--mtp", "--last", "--out", out))
    assert rows(out, v) == []


@test
def test_logits_faults_leave_no_file():
    for args in (["--ids", "2147483647"], ["--ids", "1,x"], ["--ids", "/nonexistent"], ["--ids", ","],
                 ["--ids", "1,2,3", "--ctx", "2"]):
        refused(glim("logits", *args, "--out", path("never.bin")))
        assert not [f for f in os.listdir(TMP) if f.startswith("never")], args
    refused(glim("logits", "--ids", "1", "--out", "/nonexistent/x"))
    refused(glim("logits", "--ids", "1", "--out", TMP))


def book():
    with open(path("book.txt"), "w") as f:
        f.write("Once there was a little fox named Mira who lived near the harbour. It had an old lantern.\n" * 4)
    return path("book.txt")


@test
def test_ppl():
    j = document(ok(glim("ppl", "-f", book(), "--json", "--ctx", "64")))
    assert j["scored"] == j["tokens"] - j["windows"] and j["window"] == 64
    assert 1 <= j["perplexity"] < 1e9 and j["nll_standard_error"] > 0
    text = ok(glim("ppl", "-f", "-", "--ctx", "64", stdin=open(book()).read())).out
    assert f"{j['perplexity']:.6g}" in text, (j, text)


@test
def test_ppl_equals_what_logits_say():
    import math
    v, text = vocabulary(), "The lantern was old. The fox was not."
    ids = json.loads(ok(glim("tokenize", "--json", stdin=text)).out)
    start_ids = json.loads(ok(glim("tokenize", "--json", "--special", stdin="[gMASK]<sop>")).out)
    for role in ([], ["--decode"]):
        ok(glim("logits", "--ids", ",".join(map(str, start_ids + ids)), "--out", path("p.bin"), *role))
        nll = 0
        for row, token in zip(rows(path("p.bin"), v)[len(start_ids):], ids[1:]):
            x = struct.unpack(f"<{v}f", row)
            top = max(x)
            nll += top + math.log(math.fsum(math.exp(y - top) for y in x)) - x[token]
        j = document(ok(glim("ppl", "-f", "-", "--json", *role, stdin=text)))
        assert abs(j["mean_nll"] - nll / (len(ids) - 1)) < 1e-8, (role, j, nll / (len(ids) - 1))


@test
def test_ppl_of_added_tokens():
    text, saved = "<|user|>What is 17 + 25?<|assistant|>", path("special.logits")
    for special in ([], ["--special"]):
        ids = json.loads(ok(glim("tokenize", "--json", *special, stdin=text)).out)
        r = ok(glim("ppl", "-f", "-", "--json", *special, "--save-logits", saved, stdin=text))
        assert document(r)["tokens"] == len(ids), (special, r.out)
    ok(glim("ppl", "-f", "-", "--special", "--against", saved, stdin=text))
    refused(glim("ppl", "-f", "-", "--against", saved, stdin=text))


@test
def test_ppl_of_conversations():
    parts = ["<|user|>What is 17 + 25?<|assistant|>", "<|user|>Write a story about a fox and a lantern.<|assistant|>"]
    saved = path("talks.logits")
    one = [document(ok(glim("ppl", "-f", "-", "--special", "--json", stdin=p))) for p in parts]
    text = "".join("[gMASK]<sop>" + p for p in parts)
    both = document(ok(glim("ppl", "-f", "-", "--special", "--json", "--save-logits", saved, stdin=text)))
    assert both["windows"] == 2 and both["scored"] == one[0]["scored"] + one[1]["scored"], both
    mean = sum(j["mean_nll"] * j["scored"] for j in one) / both["scored"]
    assert abs(both["mean_nll"] - mean) < 1e-8, (both, one)
    assert document(ok(glim("ppl", "--against", saved, "--json")))["mean_kl"] == 0
    refused(glim("ppl", "-f", "-", "--special", stdin="[gMASK]<sop>" * 3))


@test
def test_ppl_of_two_models():
    saved = path("saved.logits")
    own = document(ok(glim("ppl", "-f", book(), "--json", "--ctx", "48", "--save-logits", saved)))
    same = document(ok(glim("ppl", "--against", saved, "--json")))
    assert same["mean_kl"] == 0 and same["max_kl"] == 0 and same["top1_agreement"] == 1
    assert same["perplexity"] == own["perplexity"] == same["against_perplexity"]
    other = document(ok(glim("ppl", "--against", saved, "--json", "--latent-eps", "0.01", "-f", book())))
    assert other["mean_kl"] > 0 and other["max_kl"] >= other["mean_kl"] and 0 <= other["top1_agreement"] <= 1
    assert other["against_perplexity"] == own["perplexity"]
    text = ok(glim("ppl", "--against", saved)).out
    assert "mean KL" in text and "100.0000 %" in text, text


@test
def test_ppl_faults():
    saved = path("s.logits")
    ok(glim("ppl", "-f", book(), "--ctx", "48", "--save-logits", saved))
    whole = open(saved, "rb").read()
    for name, data in (("short", whole[:-1]), ("long", whole + b"x"), ("head", whole[:20]), ("empty", b""),
                       ("magic", b"x" + whole[1:]), ("ids", whole[:48] + b"\xff" * 4 + whole[52:]),
                       ("vocab", whole[:8] + b"\xff" * 8 + whole[16:]), ("count", whole[:32] + b"\xff" * 8 + whole[40:]),
                       ("window", whole[:16] + bytes(8) + whole[24:])):
        with open(path("bad.logits"), "wb") as f:
            f.write(data)
        r = refused(glim("ppl", "--against", path("bad.logits")))
        assert "bad.logits" in r.err, (name, r)
    refused(glim("ppl", "--against", saved, "--ctx", "50"))
    refused(glim("ppl", "--against", saved, "-f", "-", stdin="another text altogether"))
    refused(glim("ppl", "-f", "-", stdin=""))
    refused(glim("ppl", "-f", "-", "--ctx", "2", stdin="some text"))
    refused(glim("ppl", "-f", "/nonexistent"))
    refused(glim("ppl", "-f", TMP))


STREAM_KEYS = ("hit_rate", "disk_bytes_per_token", "disk_gb_s", "disk_share", "exposed_wait_share")
BENCH_KEYS = ("prefill_tok_s", "prefill_matrix_share", "decode_tok_s", "decode_bandwidth_share", "read_bandwidth_gb_s",
              "matrix_peak_tflop_s", "bytes_per_token")


def least_ram(*args):
    """The bytes with which glim plan says that the model runs."""
    return str(document(ok(glim("plan", "--json", "--ram", "1M", *args)))["least_ram_bytes"])


def close(a, b):
    return abs(a - b) <= 1e-6 * abs(b)


@test
def test_bench():
    j = document(ok(glim("bench", "-p", "16", "-n", "4", "-r", "2", "-d", "8", "--mtp", "off", "--json")))
    for key in BENCH_KEYS:
        assert j[key] > 0, key
    prompt, decode = j["rows"]
    assert (prompt["test"], decode["test"]) == ("pp16 @ d8", "tg4 @ d8")
    assert prompt["gb_s"] is None and prompt["tok_s"] == j["prefill_tok_s"] and decode["tok_s"] == j["decode_tok_s"]
    for row in j["rows"]:
        assert len(row["runs"]) == 2 and close(row["tok_s"], sum(row["runs"]) / 2)
        assert close(row["matrix_share"], row["tflop_s"] / j["matrix_peak_tflop_s"])
    assert close(decode["gb_s"], j["decode_tok_s"] * j["bytes_per_token"] / 1e9)
    assert close(j["decode_bandwidth_share"], decode["gb_s"] / j["read_bandwidth_gb_s"])
    assert close(decode["tflop_s"], 2 * j["active_parameters"] * decode["tok_s"] / 1e12)
    head = next(s["parameters"] for s in prompt["stages"] if s["stage"] == "head")
    a_token = 2 * (j["active_parameters"] - head + head / 16)
    assert close(prompt["tflop_s"], a_token * prompt["tok_s"] / 1e12)


@test
def test_bench_streamed():
    """Experts from disk: how many were in memory, and what the drive gave; nothing of it where all is mapped."""
    args = ["bench", "-p", "16", "-n", "8", "-r", "1", "--mtp", "off", "-t", "1", "-c", "64", "--json"]
    mapped = document(ok(glim(*args)))
    assert all(mapped[key] is None for key in STREAM_KEYS), mapped
    r = glim(*args, "--ram", "1M")
    assert r.code == 1 and "this needs at least 0.0" in r.err, r.err
    j = document(ok(glim(*args, "--ram", least_ram("-c", "64", "--mtp", "off", "-t", "1"))))
    assert j["hit_rate"] is not None, j
    assert 0 <= j["hit_rate"] < 1 and j["disk_bytes_per_token"] > 4096 and j["disk_gb_s"] > 0, j
    assert j["disk_share"] > 0 and 0 <= j["exposed_wait_share"] <= 1, j
    decode = j["rows"][1]
    assert close(decode["disk_share"], decode["disk_gb_s"] / decode["drive_gb_s"])


@test
def test_usage():
    """Answers of a streamed model keep what they used, and are the same whatever is wrong with the file."""
    own = os.path.join(os.environ["XDG_STATE_HOME"], "glim", "usage.db")
    args = ["run", "--ids", "1,2,3", "-n", "20", "--temp", "0", "--print-ids", "--mtp", "off", "-t", "1", "-c", "64"]
    whole = ok(glim(*args))
    assert not os.path.exists(own)
    args += ["--ram", least_ram("-c", "64", "--mtp", "off", "-t", "1")]
    r = ok(glim(*args))
    assert r.out == whole.out and r.err == "", r
    assert os.stat(own).st_mode & 0o777 == 0o600 and os.stat(os.path.dirname(own)).st_mode & 0o777 == 0o700
    size = os.stat(own).st_mtime_ns
    assert ok(glim(*args, "--usage", "off")).out == whole.out and os.stat(own).st_mtime_ns == size
    other = os.path.join(TMP, "other.db")
    r = ok(glim(*args, "--usage", other, "--workload", "code"))
    assert r.out == whole.out and r.err == "" and os.stat(own).st_mtime_ns == size and os.path.getsize(other) > 4096
    with open(other, "wb") as f:
        f.write(os.urandom(9000))
    r = ok(glim(*args, "--usage", other))
    assert r.out == whole.out and r.err.count("\n") == 1 and "going on without" in r.err and other in r.err, r
    refused(glim("run", "--usage", "", "x"), 2)


@test
def test_bench_simulated():
    """A simulated drive gives what it was told to, and is said to be one."""
    args = ["bench", "-p", "0", "-n", "8", "-r", "1", "--mtp", "off", "-t", "1", "-c", "64", "--ram"]
    least = least_ram("-c", "64", "--mtp", "off", "-t", "1")
    for _ in range(5):  # on a busy machine it may be late, never early
        j = document(ok(glim(*args, least, "--drive", "0.05,500", "--json")))
        assert j["drive"] == "simulated" and j["drive_gb_s"] / 0.05 < 1.01, j["drive_gb_s"]
        if j["drive_gb_s"] / 0.05 > 0.8:
            break
    assert j["drive_gb_s"] / 0.05 > 0.8, j["drive_gb_s"]
    assert j["disk_gb_s"] / 0.05 < 1.01 and j["exposed_wait_share"] > 0.5, j
    assert abs(j["disk_share"] - j["disk_gb_s"] / j["drive_gb_s"]) < 0.001, j
    assert "simulated" in ok(glim(*args, least, "--drive", "0.05,500", "-n", "1")).out
    assert document(ok(glim(*args, least, "--json")))["drive"] == "true"


@test
def test_bench_stages():
    """Where the time goes is all of it, and each token is counted."""
    row, = document(ok(glim("bench", "-p", "0", "-n", "8", "-r", "1", "--mtp", "off", "-t", "1", "--json")))["rows"]
    stages = {s["stage"]: s for s in row["stages"]}
    for name in ("attention", "indexer", "router", "experts", "head", "outside"):
        assert stages[name]["work_ms"] > 0, name
    assert all(s["wait_ms"] == 0 for s in stages.values())
    total, whole = sum(s["work_ms"] for s in stages.values()), 1000 / row["tok_s"]
    assert 0.99 * whole < total < 1.5 * whole, (total, whole)


@test
def test_bench_lists():
    """A row for each combination, in llama-bench's words; the same in every form."""
    args = ["bench", "-p", "0,8,4", "-n", "2,0", "-d", "3,0,5", "-t", "2,1", "-r", "1", "--mtp", "off"]
    want = [(t, name + d) for t in (2, 1) for d in (" @ d3", "", " @ d5") for name in ("pp8", "pp4", "tg2")]
    rows = document(ok(glim(*args, "--json")))["rows"]
    assert [(r["threads"], r["test"]) for r in rows] == want
    table = list(csv.DictReader(io.StringIO(ok(glim(*args, "--csv")).out)))
    assert [(int(r["threads"]), r["test"]) for r in table] == want
    for r in table:
        assert float(r["tok_s"]) > 0 and float(r["read_bandwidth_gb_s"]) > 0 and float(r["experts_ms"]) > 0, r
        assert (r["gb_s"] == "") == r["test"].startswith("pp"), r
    out = ok(glim(*args)).out
    assert re.findall(r"^((?:pp|tg)\d+(?: @ d\d+)?) +(\d) ", out, re.M) == [(name, str(t)) for t, name in want] * 2, out
    refused(glim("bench", "-p", "0", "-n", "0"), 2)
    refused(glim("bench", "--json", "--csv"), 2)
    refused(glim("bench", "-p", ",".join(["1"] * 33)), 2)


@test
def test_bench_drawing():
    svg = path("bench.svg")
    ok(glim("bench", "-p", "8", "-n", "2", "-r", "1", "-t", "1", "--svg", svg, "--csv"))
    root = xml.etree.ElementTree.parse(svg).getroot()
    words = " ".join(t.text for t in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "pp8, 1 thread: " in words and "tg2, 1 thread: " in words and "of the read bandwidth" in words, words
    assert all(w in words for w in ("attention", "experts", "waiting")), words
    bars = [float(r.get("width")) for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("width") != "100%"]
    assert all(0 <= w <= 900 for w in bars), bars
    assert "nonexistent" in refused(glim("bench", "--svg", "/nonexistent/b.svg", timeout=5)).err


@test
def test_bench_with_drafts():
    bench = ["bench", "-p", "8", "-n", "6", "-r", "1"]
    assert "drafting_tok_s" not in document(ok(glim(*bench, "--mtp", "off", "--json")))
    if document(ok(glim("show", "--json")))["mtp_layers"] == 0:
        refused(glim(*bench, "--mtp", "2"))
        return
    j = document(ok(glim(*bench, "--mtp", "2", "--json")))
    row = j["rows"][2]
    assert row["test"] == "tg6 +mtp" and row["tok_s"] == j["drafting_tok_s"] > 0 and len(row["runs"]) == 1
    assert 1 <= row["verifications"] <= 6 and 0 <= row["accepted_per_verification"] <= 2
    assert "drafts accepted in each" in ok(glim(*bench)).out
    # The least memory has room for one session: they take turns, at every depth.
    least = least_ram("-c", "64", "--mtp", "2")
    j = document(ok(glim(*bench, "-d", "9,4", "-c", "64", "--mtp", "2", "--ram", least, "--json")))
    assert [r["test"] for r in j["rows"]] == [f"{t} @ d{d}" for d in (9, 4) for t in ("pp8", "tg6", "tg6 +mtp")], j
    assert all(r["hit_rate"] is not None and r["tok_s"] > 0 for r in j["rows"]), j
    assert "drive_bytes" not in j


@test
def test_interrupted_work():
    """Ctrl-C in the middle: 130, and no half file."""
    for args in (["bench", "-p", "4096", "-r", "100"], ["bench", "-p", "400", "-n", "0", "-r", "1000"],
                 ["ppl", "-f", "-", "--save-logits", path("int.logits")]):
        p = start(*args)
        if args[0] == "ppl":
            p.stdin.write(open(book(), "rb").read() * 500)
        p.stdin.close()
        p.stdin = None
        wait_at_work(p, 0.5)
        p.send_signal(2)
        out, err = p.communicate(timeout=60)
        assert p.returncode == 130 and out == b"" and err == b"", (args, p.returncode, out, err)
        assert not [f for f in os.listdir(TMP) if f.startswith("int.")]


@test
def test_progress_only_on_a_terminal():
    from harness import Terminal
    r = ok(glim("bench", "-p", "8", "-n", "2", "-r", "1"))
    assert r.err == "" and "\x1b" not in r.out and "\r" not in r.out
    bench = ["bench", "-p", "192", "-n", "0", "-r"]
    t = Terminal(*bench, "1000")
    t.read_until("\x1b[Kpp192 on ")
    rounds = int(re.search(r"round (\d+) / ", t.read_until(" / 1000"))[1])
    t.send("\x03")
    assert t.rest()[0] == 130
    code, text = Terminal(*bench, str(rounds + 2), "-q").rest()  # as long as that took
    assert code == 0 and "pp192 on " not in text and "pp192 " in text, text


def tokenizer_folder():
    """A folder with GLM-5.2's tokenizer files and nothing else."""
    folder, data = path("tokenizer"), os.path.join(ROOT, "tests", "data", "glm52")
    if not os.path.isdir(folder):
        os.mkdir(folder)
        subprocess.run(["python3", f"{data}/make_tokenizer.py", f"{folder}/tokenizer.json"], check=True,
                       stdout=subprocess.DEVNULL)
        with open(f"{data}/chat_template.jinja", "rb") as a, open(f"{folder}/chat_template.jinja", "wb") as b:
            b.write(a.read())
    return folder


@test
def test_folder_that_holds_only_tokenizer_files():
    folder = tokenizer_folder()
    with open(os.path.join(ROOT, "tests", "data", "glm52", "tokenizer_goldens.tsv")) as f:
        goldens = [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]
    for name, text, ids in goldens[:1]:
        r = ok(glim("tokenize", "-m", folder, "--json", "--special", stdin=bytes.fromhex(text)))
        assert json.loads(r.out) == [int(i) for i in ids.split(",")], (name, r)
    assert ok(glim("detokenize", "-m", folder, "9703,11,1879,0")).out == "Hello, world!"
    assert ok(glim("template", "-m", folder, stdin=request())).out.endswith("<|user|>Hi")
    refused(glim("show", "-m", folder))


@test
def test_template_is_the_official_one():
    with open(os.path.join(ROOT, "tests", "data", "glm52", "chat_template_goldens.json")) as f:
        goldens = json.load(f)
    for g in goldens:
        body = {"messages": g["messages"], **({"tools": g["tools"]} if g.get("tools") else {}), **g.get("kwargs", {})}
        if isinstance(g["output"], str):
            r = ok(glim("template", stdin=json.dumps(body)))
            assert r.raw == g["output"].encode(), (g["name"], r)


@test
def test_names_in_a_file_do_not_drive_the_terminal():
    from harness import Terminal
    source = MODEL or os.path.join(ROOT, "models", "glm-nano.gguf")
    data = open(source, "rb").read()
    at = data.find(b"glm-nano")
    if at < 0:
        return
    with open(path("hostile.gguf"), "wb") as f:
        f.write(data[:at] + b"\x1b[31mX\x07Y" + data[at + 8:])
    for verb in ("show", "plan", "doctor"):
        code, text = Terminal(verb, "-m", path("hostile.gguf")).rest()
        assert code == 0 and "\x1b" not in text and "\x07" not in text, (verb, text)
    with open(path("latin.gguf"), "wb") as f:
        f.write(data[:at] + b"gl\xe4m-\xff\xc3\x28" + data[at + 8:])
    r = glim("show", "--json", "-m", path("latin.gguf"))
    assert r.code == 1 or r.raw.decode("utf-8") and document(r), r
    t = Terminal("chat", "-m", path("hostile.gguf"))
    seen = t.read_until("> ")
    assert "\x1b[31m" not in seen and "\x07" not in seen, seen
    t.send("\x04")
    assert t.rest()[0] == 0
