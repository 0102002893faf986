"""A sparse checkpoint of GLM-5.2 (tools/sparse_checkpoint.py) in which a few tokens live: they choose experts of their own
in every layer, one expert in eight answers, and logits say what came of it. All else stays holes.

Written are: embedding and head of the TOKENS; ones for the norms that stand before routers and the head; of each router
row one value; of the experts that answer a block of each matrix. Attention and shared experts add nothing.
"""
import json
import os
import random
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests", "hostile")]
sys.dont_write_bytecode = True
import sparse_checkpoint as sparse  # noqa: E402
import tiny  # noqa: E402

TOKENS = [i * 2417 + 100 for i in range(64)]
ANSWERS = 8  # one expert in so many does
BLOCK = 256  # values that are written together
# type: values and bytes of a block
SHAPE = {"F32": (1, 4), "BF16": (1, 2), "F8_E4M3": (1, 1), "Q8_0": (32, 34), "Q4_K": (256, 144)}
HF = {"embed": "model.embed_tokens.weight", "head": "lm_head.weight", "norm": "model.norm.weight",
      "ffn_norm": "model.layers.{}.post_attention_layernorm.weight", "router": "model.layers.{}.mlp.gate.weight",
      "experts": "model.layers.{}.mlp.experts.{}.{}_proj.weight"}
GGUF = {"embed": "token_embd.weight", "head": "output.weight", "norm": "output_norm.weight",
        "ffn_norm": "blk.{}.ffn_norm.weight", "router": "blk.{}.ffn_gate_inp.weight",
        "experts": "blk.{0}.ffn_{2}_exps.weight"}


def some(rng, kind, n):
    """Bytes of n random values, most of them between 0.1 and 1 either way."""
    raw = rng.randbytes(n)
    if kind == "F8_E4M3":
        return bytes(0x28 | b & 0x87 for b in raw)
    if kind == "Q8_0":
        return b"".join(struct.pack("<e", 2 ** -8) + raw[i:i + 32] for i in range(0, n, 32))
    if kind == "Q4_K":
        return b"".join(struct.pack("<ee", 2 ** -9, 2 ** -6) + rng.randbytes(140) for _ in range(0, n, 256))
    return b"".join(number(kind, (-1 if b & 0x80 else 1) * (0.25 + (b & 0x7f) / 512)) for b in raw)


def number(kind, x):
    raw = struct.pack("<f", x)
    return raw if kind == "F32" else raw[2:]


class Writer:
    def __init__(self):
        self.open = {}

    def put(self, name, at, raw):
        """at: index of the first value."""
        path, offset, _, kind = sparse.PLACES[name]
        values, size = SHAPE[kind]
        if path not in self.open:
            self.open[path] = open(path, "r+b")
        self.open[path].seek(offset + at // values * size)
        self.open[path].write(raw)

    def close(self):
        for f in self.open.values():
            f.close()


def shape_of(name):
    return sparse.PLACES[name][2]


def write_rows(w, rng, name):
    for token in TOKENS:
        w.put(name, token * shape_of(name)[1], some(rng, sparse.PLACES[name][3], shape_of(name)[1]))


def write_block(w, rng, name, row, col):
    """BLOCK values of a matrix, or of a stack of them whose rows count on."""
    cols, kind = shape_of(name)[-1], sparse.PLACES[name][3]
    col = col // BLOCK * BLOCK
    w.put(name, row * cols + col, some(rng, kind, BLOCK))
    if kind == "F8_E4M3":
        scales = name + "_scale_inv"
        for c in range(col // 128, (col + BLOCK) // 128):
            w.put(scales, row // 128 * shape_of(scales)[1] + c, struct.pack("<f", 1))


def write_expert(w, rng, name, layer, expert):
    """One of its hidden values gets something, and adds to some of the output's."""
    stacked = name is GGUF
    for matrix in ("gate", "up", "down"):
        n = name["experts"].format(layer, expert, matrix)
        rows, cols = shape_of(n)[-2:]
        hidden = (expert * 7 + layer) % (rows if matrix != "down" else cols)
        place = (hidden, expert * 24) if matrix != "down" else ((expert * 23 + layer * 101) % rows, hidden)
        write_block(w, rng, n, place[0] + (expert * rows if stacked else 0), place[1])


def write_layer(w, rng, name, layer, experts):
    ffn_norm, router = name["ffn_norm"].format(layer), name["router"].format(layer)
    kind, cols = sparse.PLACES[router][3], shape_of(router)[1]
    w.put(ffn_norm, 0, number(sparse.PLACES[ffn_norm][3], 1) * shape_of(ffn_norm)[0])
    for expert in range(experts):
        w.put(router, expert * cols + (expert * 23 + layer * 101) % cols, number(kind, 1))
        if (expert + layer) % ANSWERS == 0:
            write_expert(w, rng, name, layer, expert)


def write_tokenizer(folder, n):
    """The true number of tokens, with made-up words; what GGUF has in the file."""
    t, words, first = tiny.tokenizer(), sparse.vocabulary(n)[0], min(sparse.SPECIAL)
    t["model"] |= {"vocab": {w: i for i, w in enumerate(words[:first])}, "merges": []}
    t["added_tokens"] = [dict(t["added_tokens"][0], id=i, content=words[i]) for i in range(first, n)]
    with open(f"{folder}/tokenizer.json", "w", encoding="utf-8") as f:
        json.dump(t, f)


def make(kind, folder):
    """kind: fp8 or gguf. Returns the path to open."""
    os.makedirs(folder, exist_ok=True)
    sparse.PLACES.clear()
    if kind == "gguf":
        sparse.write_gguf(folder, "all", 0)
    else:
        sparse.write_safetensors(folder, True, 0)
        write_tokenizer(folder, sparse.read_config("config.json")["vocab_size"])
    name, rng, w = GGUF if kind == "gguf" else HF, random.Random(1), Writer()
    c = sparse.read_config("config.json")
    for each in ("embed", "head"):
        write_rows(w, rng, name[each])
    w.put(name["norm"], 0, number(sparse.PLACES[name["norm"]][3], 1) * c["hidden_size"])
    for layer in range(c["first_k_dense_replace"], c["num_hidden_layers"]):
        write_layer(w, rng, name, layer, c["n_routed_experts"])
    w.close()
    return f"{folder}/GLM-5.2-Q4_K-00001-of-00010.gguf" if kind == "gguf" else folder


if __name__ == "__main__":
    print(make(*sys.argv[1:]))
