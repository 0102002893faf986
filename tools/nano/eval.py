"""Held-out figures of glm-nano, skill by skill.

  eval.py --model models/glm-nano.gguf [--n 100] [--table OUT.md]
      decode greedily in PyTorch (f32) from the weights the file holds, and grade
  eval.py --engine build/glim --model models/glm-nano.gguf --prompts tests/data/nano/heldout.jsonl
      grade the C engine on the committed prompts instead
  eval.py --write tests/data/nano/heldout.jsonl
      write that small set: one JSON object a line with skill, prompt (rendered), reference (text), check
"""
import argparse
import json
import os
import random
import re
import subprocess
import time

import torch

import skills as S
import world as W
from chat import Chat, render, text_of

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = set(W.NAMES_F + W.NAMES_M)


def cases(n, seed=99, chat=None, lengths=(512, 1024, 2048, 4096, 8192), n_recall=None):
    """skill -> list of cases. Seeds, story pairs and made-up tool names differ from the training stream's."""
    def count(s):
        return len(chat.encode(s))

    def recall(length, planted):
        def make(r, i, m):
            return S.recall(r, length - 60, n_facts=planted, depth=i / max(1, m - 1), count=count)
        return make
    sets = {"story": (lambda r, i, m: S.story(r, "heldout"), "on"),
            "arithmetic, thinking": (lambda r, i, m: S.arithmetic(r), "on"),
            "arithmetic, no thinking": (lambda r, i, m: S.arithmetic(r), "off"),
            "tool call, known tools": (lambda r, i, m: S.tools(r, "heldout", False, "call"), "mix"),
            "tool call, unseen tools": (lambda r, i, m: S.tools(r, "heldout", True, "call"), "mix"),
            "sentence from a tool result": (lambda r, i, m: S.tools(r, "heldout", None, "answer"), "mix"),
            "JSON": (lambda r, i, m: S.json_skill(r), "mix"),
            "small talk": (lambda r, i, m: r.choice([S.greeting, S.capital, S.unknown])(r), "mix")}
    for L in lengths:
        sets[f"recall in {L} tokens"] = (recall(L, 1), "mix")
    for L in lengths:
        sets[f"recall in {L} tokens, one of six"] = (recall(L, 6), "mix")
    out = {}
    for name, (make, mode) in sets.items():
        r = random.Random(f"{seed}/{name}")
        m = (n_recall or n) if name.startswith("recall") else n
        if name.startswith("recall") and int(name.split()[2]) > 2048:
            m = max(10, m // 2)
        out[name] = []
        for i in range(m):
            conv = make(r, i, m)
            thinking = mode == "on" or mode == "mix" and i % 2 == 0
            head = dict(conv, messages=conv["messages"][:-1])
            prompt = text_of(render(head, thinking, r.choice(["max", "high"]), generate=True))
            whole = text_of(render(conv, thinking))
            ref = whole[whole.rindex("<|assistant|><think>") + len("<|assistant|><think>" + ("" if thinking else "</think>")):]
            out[name].append({"skill": name, "prompt": prompt, "reference": ref.replace("<|user|>", "").replace(
                "<|observation|>", ""), "check": conv["check"]})
    return out


def parse_call(text):
    m = re.fullmatch(r"(?s)<tool_call>(.*?)((?:<arg_key>.*?</arg_key><arg_value>.*?</arg_value>)*)</tool_call>", text)
    return m and (m[1], dict(re.findall(r"(?s)<arg_key>(.*?)</arg_key><arg_value>(.*?)</arg_value>", m[2])))


def story_ok(text, check):
    """A checkable proxy of coherence: both topics named, one hero name used again and no other, pronouns agree, ends."""
    named = re.search(r"named (\w+)", text)
    if not named or not text.endswith((".", "!", '"')):
        return False
    words = re.findall(r"\w+", text)
    names = [w for w in words if w in NAMES]
    low = [w.lower() for w in words]
    she, he = sum(w in ("she", "her") for w in low), sum(w in ("he", "his", "him") for w in low)
    girl = named[1] in W.NAMES_F
    return (check["hero"] in low and check["thing"] in low and set(names) == {named[1]} and len(names) >= 3
            and not (he if girl else she) and 4 <= text.count(".") <= 12)


def grade(text, check):
    """text: the model's output up to (not with) its stop token, the think block included."""
    if text is None:
        return False
    answer = text.split("</think>")[-1].strip()
    kind = check["kind"]
    if kind == "exact":
        return answer == check["value"]
    if kind == "number":
        nums = re.findall(r"\d+", answer)
        return bool(nums) and nums[-1] == check["value"]
    if kind == "contains":
        return all(re.search(rf"(?<!\w){re.escape(v)}(?!\w)", answer) for v in check["values"])
    if kind == "call":
        want = {k: v if isinstance(v, str) else json.dumps(v) for k, v in check["args"].items()}
        return parse_call(answer) == (check["name"], want)
    if kind == "json":
        try:
            return json.loads(answer) == check["value"]
        except ValueError:
            return False
    return story_ok(answer, check)


def partly(text, check):
    """A weaker grade for two skills: the JSON parses and has the fields asked for; the right function is called."""
    answer = (text or "").split("</think>")[-1].strip()
    if check["kind"] == "call":
        call = parse_call(answer)
        return bool(call) and call[0] == check["name"] and set(call[1]) == set(check["args"])
    try:
        got = json.loads(answer)
    except ValueError:
        return False
    want = check["value"]
    return type(got) is type(want) and (isinstance(got, list) or set(got) == set(want))


WEAKER = {"json": "JSON: parses, has the fields asked for", "call": "{}: right function and argument names"}


def torch_answers(dec, chat, items, limit):
    """Greedy answers in PyTorch; prompts of similar length share a batch."""
    ids = [chat.encode(c["prompt"]) for c in items]
    order = sorted(range(len(items)), key=lambda i: len(ids[i]))
    answers, at = [None] * len(items), 0
    while at < len(order):
        size = max(1, min(32, 12000 // len(ids[order[min(len(order) - 1, at + 31)]])))
        part = order[at:at + size]
        for i, o in zip(part, dec.run([ids[i] for i in part], limit)):
            done = o and o[-1] in chat.stops
            answers[i] = chat.decode(o[:-1]) if done else None
        at += size
    return answers, [len(x) for x in ids]


def engine_answer(engine, model, chat, case, limit):
    """Drive the C engine: `run -m MODEL --ids FILE -n N --temp 0 --print-ids` reads prompt ids, prints output ids."""
    ids = ",".join(map(str, chat.encode(case["prompt"])))
    r = subprocess.run([engine, "run", "-m", model, "--ids", "-", "-n", str(limit), "--temp", "0", "--print-ids"],
                       input=ids, capture_output=True, text=True, timeout=600)
    out = [int(t) for t in re.findall(r"\d+", r.stdout)]
    stop = next((i for i, t in enumerate(out) if t in chat.stops), None)
    return chat.decode(out[:stop])


@torch.no_grad()
def mtp_rate(model, chat, per_skill):
    """Share of output positions where the MTP layer's draft equals the main model's own next choice (text given)."""
    same = total = 0
    for items in per_skill.values():
        for c in items[:10]:
            p, whole = len(chat.encode(c["prompt"])), chat.encode(c["prompt"] + c["reference"] + "<|user|>")
            if len(whole) > 2300:
                continue
            t = torch.tensor([whole])
            h, z, _ = model(t, torch.arange(len(whole))[None], torch.zeros_like(t), sparse=True)
            main, draft = model.logits(h[0]).argmax(-1), model.logits(z[0]).argmax(-1)
            # draft at j (which saw token j+1) against the choice made at j+1, inside the answer
            same += (draft[p - 1:-2] == main[p:-1]).sum().item()
            total += len(whole) - 1 - p
    return same / total if total else float("nan")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--model", help="GGUF file or checkpoint")
    ap.add_argument("--tokenizer", default=os.path.join(HERE, "tokenizer.json"))
    ap.add_argument("--n", type=int, default=100, help="cases a skill")
    ap.add_argument("--n-recall", type=int, help="cases a recall length (default as --n)")
    ap.add_argument("--lengths", default="512,1024,2048,4096,8192")
    ap.add_argument("--only", default="", help="skills whose name contains this")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--show", type=int, default=0, help="print this many outputs (and failures) a skill")
    ap.add_argument("--table", help="write the figures as a Markdown table")
    ap.add_argument("--engine", help="path of the C engine to grade instead of PyTorch")
    ap.add_argument("--prompts", help="JSONL of cases to use instead of generated ones")
    ap.add_argument("--write", help="write a small committed set of cases and exit")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    chat = Chat(a.tokenizer)
    lengths = [int(x) for x in a.lengths.split(",") if x]
    if a.write:
        os.makedirs(os.path.dirname(a.write) or ".", exist_ok=True)
        small = cases(12, seed=7, chat=chat, lengths=(512, 2048), n_recall=11)
        with open(a.write, "w", encoding="utf-8") as f:
            for items in small.values():
                for c in items:
                    f.write(json.dumps(c, ensure_ascii=False) + "\n")
        return
    if a.prompts:
        per_skill = {}
        for line in open(a.prompts, encoding="utf-8"):
            c = json.loads(line)
            per_skill.setdefault(c["skill"], []).append(c)
    else:
        per_skill = cases(a.n, chat=chat, lengths=lengths, n_recall=a.n_recall)
    per_skill = {k: v for k, v in per_skill.items() if a.only in k}
    if not a.engine:
        from export import load
        from generate import Decoder
        dec = Decoder(load(a.model), chat)
    rows = []
    for name, items in per_skill.items():
        t = time.time()
        limit = 220 if name == "story" else 110
        if a.engine:
            answers = [engine_answer(a.engine, a.model, chat, c, limit) for c in items]
            lens = [len(chat.encode(c["prompt"])) for c in items]
        else:
            answers, lens = torch_answers(dec, chat, items, limit)
        good = [grade(x, c["check"]) for x, c in zip(answers, items)]
        kind = items[0]["check"]["kind"]
        if kind in WEAKER:
            weak = sum(partly(x, c["check"]) for x, c in zip(answers, items))
            rows.append((WEAKER[kind].format(name), len(items), weak))
            print(f"{rows[-1][0]:60s} {weak:4d} / {len(items):4d}")
        rows.append((name + (": and every value" if kind in WEAKER else ""), len(items), sum(good)))
        print(f"{name:30s} {sum(good):4d} / {len(items):4d} = {sum(good) / len(items):6.1%}   "
              f"prompts of {min(lens)}..{max(lens)} tokens, {time.time() - t:.0f} s", flush=True)
        if name.startswith("recall"):
            print("    by depth: " + "".join("+" if g else "-" for g in good))
        bad = [i for i, g in enumerate(good) if not g]
        for i in (bad + [i for i, g in enumerate(good) if g])[:a.show]:
            print(f"    {'ok ' if good[i] else 'BAD'} {items[i]['prompt'][-120:]!r}\n        -> {answers[i]!r}"
                  f"\n      want {items[i]['reference']!r}")
    if not a.engine:
        rate = mtp_rate(dec.m, chat, per_skill)
        print(f"MTP draft equals the model's choice: {rate:.1%}")
    if a.table:
        with open(a.table, "w") as f:
            f.write("| skill | held-out cases | right | share |\n|---|---|---|---|\n")
            for name, n, g in rows:
                f.write(f"| {name} | {n} | {g} | {g / n:.1%} |\n")
            if not a.engine:
                f.write(f"| MTP draft accepted (answer tokens) | | | {rate:.1%} |\n")


if __name__ == "__main__":
    main()
