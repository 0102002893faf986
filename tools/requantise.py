#!/usr/bin/env python3
"""Write a GGUF file again with its matrices in another type.

  requantise.py IN.gguf OUT.gguf --type Q4_K

The input's values, whatever its types, are taken as exact. Vectors, routers and the indexers' weights stay as they are, and
so do matrices whose rows are no multiple of the type's block; their names are printed. Metadata is copied byte for byte.
Rounding is to the nearest (encoders.py): such files are for comparing arithmetic, not for use.

The last line holds the relative error of what was encoded, decoded by the gguf package: |decoded - exact| / |exact|.
Needs numpy and gguf (tools/oracle/requirements.txt); half a minute for the bundled model in the slowest type.
"""
import argparse
import struct

import gguf
import numpy as np

from encoders import ENCODERS

ALIGN = 32
KEEP = ("ffn_gate_inp", "indexer.proj", "exp_probs_b", "norm")
ROWS_AT_ONCE = 1 << 14  # blocks


def encode(x, kind):
    """[..., row] f32 -> bytes of that type."""
    block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    x = x.reshape(-1, block)
    out = np.empty((len(x), size), dtype=np.uint8)
    for i in range(0, len(x), ROWS_AT_ONCE):
        out[i:i + ROWS_AT_ONCE] = ENCODERS[kind](x[i:i + ROWS_AT_ONCE]).reshape(-1, size)
    return out.reshape(-1)


class Errors:
    def __init__(self):
        self.off = self.all = 0.0

    def add(self, x, raw, kind):
        block, size = gguf.GGML_QUANT_SIZES[kind]
        y = gguf.quants.dequantize(raw.reshape(-1, size), kind).reshape(-1)
        x = x.reshape(-1)
        self.off += float(np.square(y - x, dtype=np.float64).sum())
        self.all += float(np.square(x, dtype=np.float64).sum())

    def relative(self):
        return (self.off / self.all) ** 0.5 if self.all else 0.0


def converted(reader, kind, errors):
    """(name, dims, type, bytes) of every tensor, in the file's order; dims as GGUF has them."""
    want = gguf.GGMLQuantizationType[kind]
    block = gguf.GGML_QUANT_SIZES[want][0]
    for t in reader.tensors:
        dims = [int(d) for d in t.shape]
        raw = np.ascontiguousarray(t.data).view(np.uint8).reshape(-1)
        if len(dims) < 2 or any(k in t.name for k in KEEP):
            yield t.name, dims, t.tensor_type, raw
        elif dims[0] % block:
            print(f"{t.name}: rows of {dims[0]}, blocks of {block}: stays {t.tensor_type.name}")
            yield t.name, dims, t.tensor_type, raw
        else:
            x = np.asarray(gguf.quants.dequantize(t.data, t.tensor_type), dtype=np.float32)
            raw = encode(x, kind)
            errors.add(x, raw, want)
            yield t.name, dims, want, raw


def header(reader, tensors):
    """All before the first tensor's bytes. The metadata are the input's bytes."""
    first = reader.tensors[0].field.offset
    out = bytearray(bytes(reader.data[:first]))
    out[8:16] = struct.pack("<Q", len(tensors))
    at = 0
    for name, dims, kind, raw in tensors:
        text = name.encode()
        out += struct.pack("<Q", len(text)) + text + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        out += struct.pack("<IQ", int(kind), at)
        at += -(-len(raw) // ALIGN) * ALIGN
    return out + b"\0" * (-len(out) % ALIGN)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("source")
    ap.add_argument("out")
    ap.add_argument("--type", required=True, choices=sorted(ENCODERS))
    a = ap.parse_args()
    reader, errors = gguf.GGUFReader(a.source), Errors()
    assert reader.alignment == ALIGN, reader.alignment
    tensors = list(converted(reader, a.type, errors))
    with open(a.out, "wb") as f:
        f.write(header(reader, tensors))
        for *_, raw in tensors:
            f.write(raw.tobytes() + b"\0" * (-len(raw) % ALIGN))
    print(f"{a.out}: {a.type}, {errors.relative():.4g} relative error")


if __name__ == "__main__":
    main()
