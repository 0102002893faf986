#!/usr/bin/env python3
"""Write GLM-5.2's complete checkpoint with every name, shape and size as released, and no weights.

  sparse_checkpoint.py {bf16|fp8|gguf} OUT [--indexer all|full] [--shards N] [--experts TYPE] [--rest TYPE]

The files have their true length, but only the headers are written: the rest are holes that take no disk space and read
as zeros. bf16: 282 shards, 59,585 tensors, 1,506,659,919,872 bytes. fp8: 141 shards, 118,629 tensors, 755,617,140,416
bytes; one scale in a hundred lies in another shard than its weight, as the format allows. gguf: 1,809 tensors, experts
in Q4_K, the rest in Q8_0, some 434 GB in 10 parts; `--indexer full` leaves the indexer out of the layers that share,
`--experts` and `--rest` choose other types.

The configuration is the released one (tests/data/glm52). There is no tokenizer in the folders, and the GGUF file's
token list has the true length and special tokens but made-up words and no merges: enough to open, show and plan.
Needs only the Python standard library.
"""
import argparse
import json
import math
import os
import shutil
import struct

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "glm52")
BF16 = {"tensors": 59585, "payload": 1506659919872, "shards": 282}
FP8 = {"tensors": 118629, "payload": 755617140416, "shards": 141}
GGUF_TENSORS = {"all": 1809, "full": 1809 - 57 * 5}
SIZE = {"F32": 4, "BF16": 2, "F8_E4M3": 1}
PLACES = {}  # of the tensors that were written: name -> (file, offset in it, shape with the fastest last, type)


def read_config(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return json.load(f)


# ---- safetensors ----

def attention(c, p, indexer):
    """(name, shape, stored in FP8 by the FP8 release)"""
    d, heads, rq, rk = c["hidden_size"], c["num_attention_heads"], c["q_lora_rank"], c["kv_lora_rank"]
    nope, rope, v = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
    yield p + "q_a_proj.weight", (rq, d), True
    yield p + "q_a_layernorm.weight", (rq,), False
    yield p + "q_b_proj.weight", (heads * (nope + rope), rq), True
    yield p + "kv_a_proj_with_mqa.weight", (rk + rope, d), True
    yield p + "kv_a_layernorm.weight", (rk,), False
    yield p + "kv_b_proj.weight", (heads * (nope + v), rk), True
    yield p + "o_proj.weight", (d, heads * v), True
    if indexer:
        hi, di = c["index_n_heads"], c["index_head_dim"]
        yield p + "indexer.wq_b.weight", (hi * di, rq), True
        yield p + "indexer.wk.weight", (di, d), True
        yield p + "indexer.weights_proj.weight", (hi, d), False
        yield p + "indexer.k_norm.weight", (di,), False
        yield p + "indexer.k_norm.bias", (di,), False


def ffn(c, p, width):
    for name, shape in (("gate_proj", (width, c["hidden_size"])), ("up_proj", (width, c["hidden_size"])),
                        ("down_proj", (c["hidden_size"], width))):
        yield f"{p}{name}.weight", shape, True


def layer(c, i):
    d, p, last = c["hidden_size"], f"model.layers.{i}.", c["num_hidden_layers"]
    yield p + "input_layernorm.weight", (d,), False
    yield p + "post_attention_layernorm.weight", (d,), False
    yield from attention(c, p + "self_attn.", i == last or c["indexer_types"][i] == "full")
    if i < c["first_k_dense_replace"]:
        yield from ffn(c, p + "mlp.", c["intermediate_size"])
        return
    experts = c["n_routed_experts"]
    yield p + "mlp.gate.weight", (experts, d), False
    yield p + "mlp.gate.e_score_correction_bias", (experts,), False
    yield from ffn(c, p + "mlp.shared_experts.", c["moe_intermediate_size"] * c["n_shared_experts"])
    for e in range(experts):
        yield from ffn(c, f"{p}mlp.experts.{e}.", c["moe_intermediate_size"])
    if i == last:
        for name in ("enorm", "hnorm", "shared_head.norm"):
            yield f"{p}{name}.weight", (d,), False
        yield p + "eh_proj.weight", (d, 2 * d), False


def inventory(c):
    d, v = c["hidden_size"], c["vocab_size"]
    yield "model.embed_tokens.weight", (v, d), False
    for i in range(c["num_hidden_layers"] + c["num_nextn_predict_layers"]):
        yield from layer(c, i)
    yield "model.norm.weight", (d,), False
    yield "lm_head.weight", (v, d), False


def stored(c, fp8):
    """(name, dtype, shape) in the order in which they are spread over the shards."""
    late, n = [], 0
    for name, shape, quantised in inventory(c):
        dtype = "F32" if name.endswith("e_score_correction_bias") else "BF16"
        if not (fp8 and quantised):
            yield name, dtype, shape
            continue
        n += 1
        yield name, "F8_E4M3", shape
        scale = name + "_scale_inv", "F32", tuple(-(-s // 128) for s in shape)
        if n % 100 == 0:
            late.append(scale)  # some 3,000 tensors later: in another shard
        else:
            yield scale
        if n % 2950 == 0:
            yield from late
            late = []
    yield from late


def tensor_bytes(dtype, shape):
    return math.prod(shape) * SIZE[dtype]


def write_shard(path, tensors):
    """Wider types first, so that all are aligned. Returns the file's size."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape in sorted(tensors, key=lambda t: (-SIZE[t[1]], t[0])):
        end = at + tensor_bytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    for name, dtype, shape in tensors:
        PLACES[name] = path, 8 + len(text) + header[name]["data_offsets"][0], tuple(shape), dtype
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)
    return 8 + len(text) + at


def cut(tensors, total, shards):
    """Consecutive tensors in `shards` parts of about the same size."""
    part, done, number = [], 0, 1
    for t in tensors:
        part.append(t)
        done += tensor_bytes(*t[1:])
        if done * shards >= total * number and number < shards:
            yield part
            part, number = [], number + 1
    yield part


def write_safetensors(out, fp8, shards):
    want = FP8 if fp8 else BF16
    c = read_config("config.fp8.derived.json" if fp8 else "config.json")
    tensors = list(stored(c, fp8))
    total = sum(tensor_bytes(d, s) for _, d, s in tensors)
    assert (len(tensors), total) == (want["tensors"], want["payload"]), (len(tensors), total)
    count, size, weight_map = shards or want["shards"], 0, {}
    for i, part in enumerate(cut(tensors, total, count), 1):
        name = f"model-{i:05d}-of-{count:05d}.safetensors"
        size += write_shard(os.path.join(out, name), part)
        weight_map.update((t[0], name) for t in part)
    assert len(weight_map) == len(tensors) and len(set(weight_map.values())) == count
    apart = sum(weight_map[n] != weight_map[n[:-10]] for n in weight_map if n.endswith("_scale_inv"))
    with open(os.path.join(out, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}, f, indent=2)
    shutil.copyfile(os.path.join(DATA, "config.fp8.derived.json" if fp8 else "config.json"),
                    os.path.join(out, "config.json"))
    shutil.copyfile(os.path.join(DATA, "generation_config.json"), os.path.join(out, "generation_config.json"))
    print(f"{out}: {len(tensors)} tensors, {total} bytes of weights, {count} shards of {size} bytes"
          + (f", {apart} scales apart from their weight" if fp8 else ""))


# ---- GGUF ----

TYPES = {"F32": (0, 1, 4), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "IQ2_XXS": (16, 256, 66)}
ALIGN = 32


def block(c, i, indexer):
    """(name, dimensions fastest first, type)"""
    d, heads, rq, rk = c["hidden_size"], c["num_attention_heads"], c["q_lora_rank"], c["kv_lora_rank"]
    nope, rope, v, f = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["moe_intermediate_size"]
    experts, hi, di, b = c["n_routed_experts"], c["index_n_heads"], c["index_head_dim"], f"blk.{i}."
    yield b + "attn_norm.weight", (d,), "F32"
    yield b + "attn_q_a.weight", (d, rq), "Q8_0"
    yield b + "attn_q_a_norm.weight", (rq,), "F32"
    yield b + "attn_q_b.weight", (rq, heads * (nope + rope)), "Q8_0"
    yield b + "attn_kv_a_mqa.weight", (d, rk + rope), "Q8_0"
    yield b + "attn_kv_a_norm.weight", (rk,), "F32"
    yield b + "attn_k_b.weight", (nope, rk, heads), "Q8_0"
    yield b + "attn_v_b.weight", (rk, v, heads), "Q8_0"
    yield b + "attn_output.weight", (heads * v, d), "Q8_0"
    yield b + "ffn_norm.weight", (d,), "F32"
    if indexer:
        yield b + "indexer.attn_q_b.weight", (rq, hi * di), "Q8_0"
        yield b + "indexer.attn_k.weight", (d, di), "Q8_0"
        yield b + "indexer.proj.weight", (d, hi), "F32"
        yield b + "indexer.k_norm.weight", (di,), "F32"
        yield b + "indexer.k_norm.bias", (di,), "F32"
    if i < c["first_k_dense_replace"]:
        w = c["intermediate_size"]
        yield b + "ffn_gate.weight", (d, w), "Q8_0"
        yield b + "ffn_up.weight", (d, w), "Q8_0"
        yield b + "ffn_down.weight", (w, d), "Q8_0"
        return
    yield b + "ffn_gate_inp.weight", (d, experts), "F32"
    yield b + "exp_probs_b.bias", (experts,), "F32"
    yield b + "ffn_gate_exps.weight", (d, f, experts), "Q4_K"
    yield b + "ffn_up_exps.weight", (d, f, experts), "Q4_K"
    yield b + "ffn_down_exps.weight", (f, d, experts), "Q4_K"
    yield b + "ffn_gate_shexp.weight", (d, f), "Q8_0"
    yield b + "ffn_up_shexp.weight", (d, f), "Q8_0"
    yield b + "ffn_down_shexp.weight", (f, d), "Q8_0"
    if i == c["num_hidden_layers"]:
        yield b + "nextn.eh_proj.weight", (2 * d, d), "Q8_0"
        for name in ("enorm", "hnorm", "shared_head_norm"):
            yield f"{b}nextn.{name}.weight", (d,), "F32"


def gguf_tensors(c, indexer):
    d, v = c["hidden_size"], c["vocab_size"]
    yield "token_embd.weight", (d, v), "Q8_0"
    for i in range(c["num_hidden_layers"] + 1):
        own = i == c["num_hidden_layers"] or c["indexer_types"][i] == "full"
        yield from block(c, i, own or indexer == "all")
    yield "output_norm.weight", (d,), "F32"
    yield "output.weight", (d, v), "Q8_0"


def string(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(v):
    """A value with its GGUF type in front."""
    if isinstance(v, bool):
        return struct.pack("<I?", 7, v)
    if isinstance(v, int):
        return struct.pack("<II", 4, v)
    if isinstance(v, float):
        return struct.pack("<If", 6, v)
    if isinstance(v, str):
        return struct.pack("<I", 8) + string(v)
    if isinstance(v, bytes):  # already packed
        return v
    kind = 8 if v and isinstance(v[0], str) else 7 if v and isinstance(v[0], bool) else 5 if v else 8
    body = b"".join(string(x) for x in v) if kind == 8 else struct.pack(f"<{len(v)}{'?' if kind == 7 else 'i'}", *v)
    return struct.pack("<IIQ", 9, kind, len(v)) + body


SPECIAL = {154820: "<|endoftext|>", 154821: "[MASK]", 154822: "[gMASK]", 154823: "[sMASK]", 154824: "<sop>",
           154825: "<eop>", 154826: "<|system|>", 154827: "<|user|>", 154828: "<|assistant|>",
           154829: "<|observation|>", 154841: "<think>", 154842: "</think>", 154843: "<tool_call>",
           154844: "</tool_call>", 154845: "<tool_response>", 154846: "</tool_response>", 154847: "<arg_key>",
           154848: "</arg_key>", 154849: "<arg_value>", 154850: "</arg_value>", 154851: "/nothink"}


def vocabulary(n):
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
    extra = iter(range(256, 512))
    tokens = [chr(b) if b in plain else chr(next(extra)) for b in range(256)]
    tokens += [SPECIAL.get(i, f"word{i}") for i in range(256, n)]
    return tokens, [3 if i in SPECIAL else 1 for i in range(n)]


def metadata(c):
    tokens, kinds = vocabulary(c["vocab_size"])
    p = {
        "block_count": 79, "nextn_predict_layers": 1, "context_length": c["max_position_embeddings"],
        "embedding_length": c["hidden_size"], "feed_forward_length": c["intermediate_size"],
        "attention.head_count": c["num_attention_heads"], "attention.head_count_kv": 1,
        "attention.key_length": c["kv_lora_rank"] + c["qk_rope_head_dim"], "attention.value_length": c["kv_lora_rank"],
        "attention.key_length_mla": c["qk_nope_head_dim"] + c["qk_rope_head_dim"],
        "attention.value_length_mla": c["v_head_dim"], "attention.q_lora_rank": c["q_lora_rank"],
        "attention.kv_lora_rank": c["kv_lora_rank"], "attention.layer_norm_rms_epsilon": c["rms_norm_eps"],
        "rope.freq_base": float(c["rope_parameters"]["rope_theta"]), "rope.dimension_count": c["qk_rope_head_dim"],
        "expert_count": c["n_routed_experts"], "expert_used_count": c["num_experts_per_tok"],
        "expert_shared_count": c["n_shared_experts"], "expert_group_count": 1, "expert_group_used_count": 1,
        "expert_gating_func": 2, "expert_weights_scale": c["routed_scaling_factor"], "expert_weights_norm": True,
        "expert_feed_forward_length": c["moe_intermediate_size"],
        "leading_dense_block_count": c["first_k_dense_replace"], "vocab_size": c["vocab_size"],
        "attention.indexer.head_count": c["index_n_heads"], "attention.indexer.key_length": c["index_head_dim"],
        "attention.indexer.top_k": c["index_topk"],
        "attention.indexer.types": [t == "full" for t in c["indexer_types"]],
    }
    general = {"general.architecture": "glm-dsa", "general.name": "GLM-5.2 (no weights)",
               "general.quantization_version": 2}
    tokenizer = {"model": "gpt2", "pre": "glm4", "tokens": tokens, "token_type": kinds, "merges": [],
                 "eos_token_id": 154820, "padding_token_id": 154821, "bos_token_id": 154822, "eot_token_id": 154827,
                 "unknown_token_id": 154820, "eom_token_id": 154829}
    return general | {"glm-dsa." + k: v for k, v in p.items()} | {"tokenizer.ggml." + k: v for k, v in tokenizer.items()}


def gguf_bytes(dims, kind):
    _, weights, size = TYPES[kind]
    assert dims[0] % weights == 0, (dims, kind)
    return math.prod(dims) // weights * size


def write_part(path, pairs, tensors):
    infos, at, starts = b"", 0, {}
    for name, dims, kind in tensors:
        starts[name] = at
        infos += string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        infos += struct.pack("<IQ", TYPES[kind][0], at)
        at += -(-gguf_bytes(dims, kind) // ALIGN) * ALIGN
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(string(k) + value(v) for k, v in pairs.items()) + infos
    data = len(head) + -len(head) % ALIGN
    for name, dims, kind in tensors:
        PLACES[name] = path, data + starts[name], tuple(reversed(dims)), kind
    with open(path, "wb") as f:
        f.write(head)
        f.truncate(data + at)
    return data + at


def retyped(dims, kind, experts, rest):
    """Rows that are not whole blocks keep their type."""
    other = {"Q4_K": experts, "Q8_0": rest}.get(kind, kind)
    return other if dims[0] % TYPES[other][1] == 0 else kind


def write_gguf(out, indexer, shards, experts="Q4_K", rest="Q8_0"):
    c = read_config("config.json")
    tensors = [(n, d, retyped(d, k, experts, rest)) for n, d, k in gguf_tensors(c, indexer)]
    assert len(tensors) == GGUF_TENSORS[indexer], len(tensors)
    count = shards or 10
    total, size, done, parts = sum(gguf_bytes(d, k) for _, d, k in tensors), 0, 0, [[] for _ in range(count)]
    for t in tensors:
        parts[min(done * count // total, count - 1)].append(t)
        done += gguf_bytes(*t[1:])
    u16 = lambda v: struct.pack("<IH", 2, v)
    for i, part in enumerate(parts):
        pairs = metadata(c) if i == 0 else {}
        if count > 1:
            pairs |= {"split.no": u16(i), "split.count": u16(count), "split.tensors.count": len(tensors)}
        name = f"GLM-5.2-{experts}-{i + 1:05d}-of-{count:05d}.gguf" if count > 1 else f"GLM-5.2-{experts}.gguf"
        size += write_part(os.path.join(out, name), pairs, part)
    print(f"{out}: {len(tensors)} tensors, {total} bytes of weights, {count} parts of {size} bytes")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("kind", choices=["bf16", "fp8", "gguf"])
    a.add_argument("out", help="folder; made if absent")
    a.add_argument("--indexer", choices=["all", "full"], default="all",
                   help="gguf: indexer tensors in all blocks, or in those that own one")
    a.add_argument("--shards", type=int, default=0, help="number of files, instead of the release's")
    a.add_argument("--experts", choices=list(TYPES), default="Q4_K", help="gguf: type of routed experts")
    a.add_argument("--rest", choices=list(TYPES), default="Q8_0", help="gguf: type of all other matrices")
    o = a.parse_args()
    os.makedirs(o.out, exist_ok=True)
    if o.kind == "gguf":
        write_gguf(o.out, o.indexer, o.shards, o.experts, o.rest)
    else:
        write_safetensors(o.out, o.kind == "fp8", o.shards)


if __name__ == "__main__":
    main()
