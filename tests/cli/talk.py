"""run and chat: prompts, answers, Ctrl-C, terminals."""
import json
import os
import re
import stat
import subprocess

from harness import GLIM, ROOT, TMP, Terminal, glim, ok, refused, start, test, wait_at_work, with_model
from verbs import document, path, request


def ids_of(r):
    return json.loads(ok(r).out)


@test
def test_ids_in_and_out():
    raw = ["run", "--ids", "5,6,7", "--print-ids", "--temp", "0", "--ignore-eos"]
    eight = ids_of(glim(*raw, "-n", "8"))
    assert len(eight) == 8
    assert ids_of(glim(*raw, "-n", "4")) == eight[:4]
    for more in (["-t", "1"], ["-t", "4"], ["--chunk", "1"], ["--seed", "9"], ["--kv", "f16"]):
        assert ids_of(glim(*raw, "-n", "8", *more)) == eight, more
    assert ids_of(glim("run", "--ids", "-", *raw[3:], "-n", "8", stdin="[5, 6, 7]\n")) == eight
    goes_on = ids_of(glim("run", "--ids", ",".join(map(str, [5, 6, 7] + eight[:4])), *raw[3:], "-n", "4"))
    assert goes_on == eight[4:]
    text = ok(glim(*[a for a in raw if a != "--print-ids"], "-n", "8"))
    assert text.raw.rstrip(b"\n").decode("utf-8") == \
        ok(glim("detokenize", *map(str, eight))).raw.decode("utf-8", "replace").rstrip("\n")


@test
def test_greedy_is_the_largest_logit():
    import struct
    first = ids_of(glim("run", "--ids", "5,6,7", "--print-ids", "--temp", "0", "-n", "1", "--ignore-eos"))
    raw = ok(glim("logits", "--ids", "5,6,7", "--last", "--out", "-")).raw
    x = struct.unpack(f"<{len(raw) // 4}f", raw)
    assert x[first[0]] == max(x)


@test
def test_seeds():
    def answer(seed):
        return ids_of(glim("run", "--ids", "5,6", "--print-ids", "--temp", "1", "--seed", str(seed), "-n", "12",
                           "--ignore-eos"))
    assert answer(1) == answer(1)
    assert len({tuple(answer(s)) for s in range(4)}) > 1


def drafts():
    return document(ok(glim("show", "--json")))["mtp_layers"] > 0


@test
def test_drafts_change_no_answer():
    for sampling in (["--temp", "0"], ["--temp", "1.2", "--seed", "4", "--frequency-penalty", "0.3"]):
        raw = ["run", "--ids", "5,6,7", "--print-ids", "--ignore-eos", "-n", "10", *sampling]
        plain = ids_of(glim(*raw, "--mtp", "off"))
        for n in ("auto", "3") if drafts() else ("auto",):
            assert ids_of(glim(*raw, "--mtp", n)) == plain, (sampling, n)


@test
def test_draft_counts():
    def usage(*more):
        return document(ok(glim("run", "--json", "-n", "8", "--temp", "0", "--ignore-eos", *more, "Hi")))["usage"]
    if not drafts():
        refused(glim("run", "--mtp", "3", "Hi"))
        return
    off, three = usage("--mtp", "off"), usage("--mtp", "3")
    assert off["verifications"] == off["drafted_tokens"] == off["accepted_tokens"] == 0, off
    assert 0 < three["verifications"] <= three["drafted_tokens"] <= 3 * three["verifications"], three
    assert three["accepted_tokens"] <= three["drafted_tokens"], three
    assert re.search(r"\d+ of \d+ drafts right \(\d\.\d\d a verification\)",
                     glim(*CHAT, "--mtp", "2", stdin="Hello\n/stats\n").err)


@test
def test_prompt_from_arguments_and_standard_input():
    short = ["-n", "6", "--temp", "0", "--print-ids"]
    a = ids_of(glim("run", *short, "What", "is", "this?"))
    assert a == ids_of(glim("run", "What", "is", "this?", *short))
    assert a == ids_of(glim("run", *short, "What is this?"))
    assert a == ids_of(glim("run", *short, stdin="What is this?"))
    assert a == ids_of(glim("run", *short, stdin="What is this?\n"))
    assert a == ids_of(glim("run", *short, "-", stdin="What is this?"))
    refused(glim("run", stdin=""))
    refused(glim("run", stdin="\n"))
    prompt = ids_of(glim("template", "--ids", stdin=request("What is this?", add_generation_prompt=True)))
    assert a == ids_of(glim("run", *short, "--ids", ",".join(map(str, prompt))))


@test
def test_messages_files():
    short = ["-n", "6", "--temp", "0", "--print-ids"]
    plain = ids_of(glim("run", *short, "--system", "Be brief.", "Hi"))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    for data in (messages, {"messages": messages}, {"messages": messages, "add_generation_prompt": False}):
        assert plain == ids_of(glim("run", *short, "--messages", "-", stdin=json.dumps(data))), data
    assert plain == ids_of(glim("run", *short, "--system", "Be brief.", "--messages", "-",
                                stdin=json.dumps(messages[1:])))
    for bad in ("5", "{}", "[5]", "", "{"):
        refused(glim("run", "--messages", "-", stdin=bad))
    refused(glim("run", "--messages", "/nonexistent"))
    with open(path("tools.json"), "w") as f:
        f.write('{"not": "an array"}')
    refused(glim("run", "--tools", path("tools.json"), "Hi"))


@test
def test_json():
    j = document(ok(glim("run", "--json", "--print-ids", "-n", "5", "--temp", "0", "Hi")))
    assert j["finish"] in ("stop", "length", "tool_calls")
    assert j["usage"]["output_tokens"] <= 5 and j["usage"]["prompt_tokens"] > 0
    assert isinstance(j["content"], str) and isinstance(j["tool_calls"], list) and isinstance(j["ids"], list)
    assert "reasoning" not in document(ok(glim("run", "--json", "--no-reasoning", "-n", "5", "Hi")))
    assert "reasoning" not in document(ok(glim("run", "--json", "--no-think", "-n", "5", "Hi")))


@test
def test_reasoning_is_marked_or_absent():
    shown = ok(glim("run", "-n", "8", "--temp", "0", "--ignore-eos", "Hi")).out
    assert shown.startswith("<think>") and "</think>" in shown and shown.endswith("\n"), shown
    j = document(ok(glim("run", "-n", "8", "--temp", "0", "--ignore-eos", "--json", "Hi")))
    assert shown.startswith("<think>" + j["reasoning"] + "</think>"), (shown, j)
    hidden = ok(glim("run", "-n", "8", "--temp", "0", "--ignore-eos", "--no-reasoning", "Hi")).out
    assert "<think>" not in hidden and hidden == (j["content"].rstrip("\n") + "\n" if j["content"] else ""), hidden
    assert "think>" not in ok(glim("run", "-n", "4", "--no-think", "Hi")).out


@test
def test_stop_text():
    full = ok(glim("run", "--ids", "5,6,7", "--temp", "0", "-n", "12", "--ignore-eos")).out
    word = full.rstrip("\n")[len(full) // 3:][:2]
    cut = ok(glim("run", "--ids", "5,6,7", "--temp", "0", "-n", "12", "--ignore-eos", "--stop", word)).out
    assert cut.rstrip("\n") == full[:full.index(word)].rstrip("\n"), (full, word, cut)


@test
def test_prompt_longer_than_the_context():
    r = refused(glim("run", "--ctx", "16", "word " * 200))
    assert "16" in r.err, r


def endless(*more):
    return start("run", "--ids", "5,6,7", "--ignore-eos", "-n", "100000", "--ctx", "32000", *more)


@test
def test_interrupted_answer():
    p = endless()
    assert os.read(p.stdout.fileno(), 1)
    p.send_signal(2)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 130 and err == b"" and out.endswith(b"\n"), (p.returncode, out[-50:], err)


@test
def test_interrupted_answer_as_ids_and_json():
    p = endless("--print-ids")
    first = os.read(p.stdout.fileno(), 1)
    p.send_signal(2)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 130 and json.loads(first + out) and err == b"", (first, out[-99:], err)
    p = endless("--json")
    wait_at_work(p, 0.5)
    p.send_signal(2)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 130 and err == b"", (p.returncode, err)
    assert json.loads(out)["finish"] == "stopped"


@test
def test_interrupted_while_reading():
    for args in (["run"], ["tokenize"], ["template"], ["ppl", "-f", "-"]):
        p = start(*args)
        wait_at_work(p, 0)
        p.send_signal(2)
        out, err = p.communicate(timeout=30)
        assert p.returncode == 130 and out == b"" and err == b"", (args, p.returncode, out, err)


@test
def test_terminated():
    p = endless()
    os.read(p.stdout.fileno(), 1)
    p.terminate()
    p.communicate(timeout=30)
    assert p.returncode == -15


@test
def test_colour():
    args = ["run", "-n", "6", "--temp", "0", "--ignore-eos", "Hi"]
    code, text = Terminal(*args).rest()
    assert code == 0 and "\x1b[2m" in text and "\x1b[0m" in text and "<think>" not in text, text
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        code, text = Terminal(*args, env=env).rest()
        assert code == 0 and "\x1b[2m" not in text and "<think>" in text, (env, text)
    code, text = Terminal(*args, env={"NO_COLOR": ""}).rest()
    assert "\x1b[2m" in text
    assert re.search(r"of answer in .* a second", text), text
    assert "of answer" not in Terminal(*args[:1], "-q", *args[1:]).rest()[1]


@test
def test_terminal_without_prompt():
    code, text = Terminal("run").rest()
    assert code == 2 and "no prompt" in text, text


CHAT = ["chat", "--no-think", "--temp", "0", "-n", "8"]


@test
def test_chat_without_a_terminal():
    one = ok(glim(*CHAT, stdin="Hello\n"))
    assert one.err == "" and one.out.endswith("\n")
    assert one.out == ok(glim(*CHAT, stdin="Hello")).out
    assert one.out == ok(glim(*CHAT, stdin="\n  \nHello\n/quit\nmore\n")).out
    assert one.out.rstrip("\n") == ok(glim("run", *CHAT[1:], "Hello")).out.rstrip("\n")
    two = ok(glim(*CHAT, stdin="Hello\nAnd again\n"))
    assert two.out.startswith(one.out) and len(two.out) > len(one.out)
    assert ok(glim(*CHAT, stdin="")).out == ""


@test
def test_chat_commands():
    r = ok(glim(*CHAT, stdin="/undo\n/efort\n/effort high\n/effort sideways\n/stats\n/help\nHello\n/undo\n/stats\n/reset\n"))
    for word in ("nothing to take back", "did you mean /effort?", "effort: high", "effort is high", "context  ", "/reset",
                 "the last exchange is taken back", "a new conversation"):
        assert word in r.err, (word, r)


@test
def test_chat_reuses_what_is_cached():
    r = ok(glim(*CHAT, stdin="Hello there, my friend\nAnd again\n/stats\n"))
    assert int(re.search(r"; ([\d,]+) reused", r.err).group(1).replace(",", "")) > 5, r


@test
def test_chat_after_reset_or_undo_is_as_new():
    """The same greedy answer whatever was on the timeline before."""
    fresh = ok(glim(*CHAT, stdin="Hello\n")).out
    for before in ("Something else entirely\n/reset\n", "Something else entirely\n/undo\n"):
        out = ok(glim(*CHAT, stdin=before + "Hello\n")).out
        assert out.endswith(fresh), (before, out, fresh)


@test
def test_chat_lines_that_belong_together():
    want = ok(glim(*CHAT, stdin='"""\none\ntwo\n"""\n')).out
    assert want == ok(glim(*CHAT, stdin="one\\\ntwo\n")).out
    assert want.rstrip("\n") == ok(glim("run", *CHAT[1:], "one\ntwo")).out.rstrip("\n")
    assert ok(glim(*CHAT, stdin='"""Hello"""\n')).out == ok(glim(*CHAT, stdin="Hello\n")).out
    assert ok(glim(*CHAT, stdin="//Hello\n")).out == ok(glim("run", *CHAT[1:], "/Hello")).out


@test
def test_chat_on_a_terminal():
    t = Terminal(*CHAT)
    t.read_until("> ")
    t.send("Hellp\x7fo\n")
    t.read_until("Hell")
    t.read_until("> ")
    t.send("/stats\n")
    t.read_until("context")
    t.read_until("> ")
    t.send("dropped line\x03")
    t.read_until("> ")
    t.send("one\\\n")
    t.read_until("... ")
    t.send("two\n")
    t.read_until("> ")
    t.send("\x1b[A")  # up: the last entry
    t.read_until("two")
    t.send("\x03")
    t.read_until("> ")
    t.send("\x04")
    code, text = t.rest()
    assert code == 0, (code, text)
    file = os.path.join(TMP, "state", "glim", "history")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert "dropped" not in open(file).read() and "/stats" in open(file).read()


@test
def test_chat_interrupt_stops_the_answer_only():
    t = Terminal("chat", "-n", "4000", "--ctx", "8000", "--temp", "1")
    t.read_until("> ")
    t.send("Hello there\n")
    t.read_until("\x1b[2m")
    t.read_until("e", timeout=30)
    for _ in range(2):
        t.send("\x03")
        t.read_until("> ", timeout=30)
    t.send("/stats\n")
    t.read_until("context")
    t.read_until("> ")
    t.send("\x04")
    code, text = t.rest()
    assert code == 0, (code, text)


@test
def test_chat_survives_a_full_context():
    r = glim("chat", "--no-think", "--ctx", "48", "--temp", "0", stdin="Hello\n" + "word " * 100 + "\nHello\n/reset\nHello\n")
    assert r.code == 1 and "glim: " in r.err, r


@test
def test_chat_history_that_cannot_be_kept():
    with open(path("plain"), "w"):
        pass
    for env in ({"XDG_STATE_HOME": path("plain")}, {"XDG_STATE_HOME": "", "HOME": ""}):
        t = Terminal("chat", "-n", "4", env=env)
        t.read_until("> ")
        t.send("/stats\n")
        t.read_until("context")
        t.read_until("> ")
        t.send("\x04")
        assert t.rest()[0] == 0
