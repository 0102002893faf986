"""The training stream: deterministic batches of rendered, tokenised, packed conversations.

Batch number n depends on the seed and n alone, so a resumed run continues with the batches it has not seen. Run as a
script, `data.py --tokenizer OUT.json` trains the tokenizer.
"""
import argparse
import json
import random

import numpy as np

import skills as S
from chat import Chat, check_template, render, text_of, train_tokenizer

MIX = {"recall": 0.25, "pairs": 0.09, "copy": 0.03, "story": 0.04, "arithmetic": 0.26, "tool": 0.16, "json": 0.14,
       "talk": 0.02, "raw": 0.01}


def conversation(r, skill, length, chat):
    """One training conversation of the given skill, `length` tokens at most wanted (only recall stretches to it)."""
    if skill == "recall":
        want = max(40, int(length * r.choice([0.3, 0.5, 0.8]) if length <= 512 else length * r.uniform(0.4, 0.95)) - 160)
        dense = max(2, min(14, want // 35))
        count = lambda s: int(len(s) / 4.1) + 1
        return S.recall(r, want, n_facts=r.randrange(2, dense + 1), n_ask=r.randrange(2, 8), count=count,
                        kinds=(0, 1, 2, 2, 2, 2, 2, 3))            # a number after a name is the hardest to find
    if skill == "talk":
        return r.choice([S.greeting, S.capital, S.unknown])(r)
    if skill == "tool":
        return S.tools(r, "train", turns=r.randrange(1, 5))
    return {"story": S.story, "arithmetic": S.arithmetic, "json": S.json_skill,
            "copy": S.copy, "pairs": S.pairs}[skill](r, "train")


def merge(a, b):
    """Two conversations as one of several turns (without tools in the second)."""
    return {"skill": b["skill"], "tools": a.get("tools"), "messages": a["messages"] + b["messages"], "check": b["check"]}


def sample(r, length, chat, mix):
    """(ids, weights) of one document; weight t is that of predicting token t."""
    skill = r.choices(list(mix), list(mix.values()))[0]
    if skill == "tool" and length < 512:        # would not fit
        skill = r.choice(["pairs", "copy", "arithmetic"])
    if skill == "raw":
        text = " ".join(S.story_parts(r)[0]) if r.random() < 0.8 else " ".join(
            S.capital(r)["messages"][1]["content"] for _ in range(4))
        ids = chat.encode(text) + [chat.id["<|endoftext|>"]]
        return ids, [1.0] * len(ids)
    conv = conversation(r, skill, length, chat)
    if r.random() < 0.15 and skill != "recall":
        other = r.choices(["story", "arithmetic", "json", "talk"], [1, 2, 2, 2])[0]
        conv = merge(conv, conversation(r, other, length, chat))
    ids, flags = chat.encode_pieces(render(conv, thinking=r.random() < 0.65, effort=r.choice(["max", "max", "high"])))
    low = 0.05 if skill == "recall" else 0.1
    return ids, [1.0 if f else low for f in flags]


def batch(seed, n, rows, length, chat, mix=MIX):
    """Arrays [rows, length + 2]: tokens, weights, document ids, positions. Documents never attend to each other."""
    r = random.Random(seed * 1_000_003 + n)
    L = length + 2
    tok = np.full((rows, L), chat.id["<|endoftext|>"], np.int64)
    wgt, doc, pos = np.zeros((rows, L), np.float32), np.full((rows, L), -1, np.int64), np.zeros((rows, L), np.int64)
    waiting = []
    for b in range(rows):
        at, d = 0, 0
        while at < L:
            room = L - at
            k = next((k for k, (i, _) in enumerate(waiting) if len(i) <= room), None)
            ids, w = waiting.pop(k) if k is not None else sample(r, length, chat, mix)
            if len(ids) > room and at and len(waiting) < 24:
                if room < 24:
                    break
                waiting.append((ids, w))
                continue
            if len(ids) > room and at:
                break
            if len(ids) > room:                 # too long even for an empty row: keep its end, where the answers are
                ids, w = ids[-room:], w[-room:]
            n_ = len(ids)
            tok[b, at:at + n_], wgt[b, at:at + n_], doc[b, at:at + n_] = ids, w, d
            wgt[b, at] = 0
            pos[b, at:at + n_] = np.arange(n_)
            at, d = at + n_, d + 1
        if at < L:
            pos[b, at:] = np.arange(L - at)
            doc[b, at:] = d + 1
    return tok, wgt, doc, pos


def tokenizer_texts(seed, n):
    """Generated conversations, plus the Python standard library's docstrings for ordinary English."""
    import ast, os, sysconfig
    r = random.Random(seed)
    for _ in range(n):
        skill = r.choices(list(MIX), list(MIX.values()))[0]
        if skill != "raw":
            yield text_of(render(conversation(r, skill, 256, None), thinking=r.random() < 0.6))
    lib = sysconfig.get_paths()["stdlib"]
    for name in sorted(os.listdir(lib)):
        if name.endswith(".py"):
            try:
                tree = ast.parse(open(os.path.join(lib, name), encoding="utf-8").read())
            except (SyntaxError, UnicodeDecodeError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                    yield ast.get_docstring(node)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--tokenizer", required=True, help="file to write")
    ap.add_argument("--entries", type=int, default=4048, help="BPE entries; the added tokens follow")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    train_tokenizer(tokenizer_texts(a.seed, 12000), a.entries, a.tokenizer)
    chat = Chat(a.tokenizer)
    r = random.Random(a.seed + 1)
    for i in range(200):
        skill = r.choice([k for k in MIX if k != "raw"])
        conv = conversation(r, skill, 256, chat)
        for thinking in (True, False):
            for generate in (True, False):
                c = dict(conv, messages=conv["messages"][:-1]) if generate else conv
                check_template(c, thinking, r.choice(["max", "high"]), generate)
        if i < 20:
            ids, flags = chat.encode_pieces(render(conv))
            assert ids == chat.encode(text_of(render(conv)))
            print(skill, len(ids), sum(flags), json.dumps([chat.decode([t]) for t, f in zip(ids, flags) if f][:60]))


if __name__ == "__main__":
    main()
