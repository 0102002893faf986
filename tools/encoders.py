"""encoders.py - block types of GGUF from floats, by rounding to the nearest: no calibration, no importance.

Every encoder takes [n, block] f32 and gives [n, bytes] u8, in the layouts that src/kernels/ref/dequant_*.c state. Scales
are searched among a few candidates by squared error, then rounded as the type stores them, then weights are rounded with
the scale that a reader will see. What they are for is to make files on which arithmetic can be compared; a file for use
deserves a better search.
"""
import gguf.quants as q
import numpy as np

FACTORS = (1, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6)


def f16(x):
    """Rounded to f16: the number a reader sees, and its bytes [n, 2]."""
    h = np.asarray(x, dtype="<f2").reshape(-1, 1)
    return h.astype(np.float32), h.view(np.uint8)


def over(x, d):
    """x / d, 0 where d is 0."""
    return np.divide(x, d, out=np.zeros(np.broadcast_shapes(np.shape(x), np.shape(d)), np.float32), where=d != 0)


def groups(x, size):
    return x.reshape(len(x), -1, size)


def two_level(s, top, least=0):
    """Group scales [n, G] as small integers under one f16: (codes, the scales a reader sees, bytes of the f16). The
    integers reach from `least` to `top`; where they may be negative, the largest in magnitude gets `least`."""
    edge = s[np.arange(len(s)), np.abs(s).argmax(1)]
    d, raw = f16(edge / (least if least else top))
    code = np.clip(np.rint(over(s, d)), least, top)
    return code.astype(np.int64), d * code, raw


def best(x, candidates):
    """Of the (scale [..., 1], values a reader sees [...]) pairs: the scale with the least squared error."""
    scale, error = None, None
    for d, y in candidates:
        e = np.square(y - x).sum(-1, keepdims=True)
        scale = d if scale is None else np.where(e < error, d, scale)
        error = e if error is None else np.minimum(e, error)
    return scale


# ---- steps of equal size ----

def steps(x, d, low, high):
    return np.clip(np.rint(over(x, d)), low, high)


def symmetric_scale(x, low, high):
    """[..., 1]: the value furthest from 0 lands on `low`, which reaches one further than `high`; or a bit beyond it."""
    edge = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1) / np.float32(low)
    return best(x, ((f * edge, f * edge * steps(x, f * edge, low, high)) for f in FACTORS))


def affine(x, high, zero):
    """(d, m) [..., 1] each with x ~ d * (0 .. high) + m; with `zero`, m is at most 0."""
    least = np.minimum(x.min(-1, keepdims=True), 0) if zero else x.min(-1, keepdims=True)
    width = (x.max(-1, keepdims=True) - least) / np.float32(high)
    f = best(x, ((np.full_like(width, f), f * (width * steps(x - f * least, f * width, 0, high) + least))
                 for f in FACTORS))
    return f * width, f * least


def halves(v):
    """[n, 32] nibbles: byte j holds j below and j + 16 above."""
    v = v.astype(np.uint8)
    return v[:, :16] | v[:, 16:] << 4


def q8_0(x):
    d, raw = f16(np.abs(x).max(1) / 127)
    return np.hstack([raw, steps(x, d, -127, 127).astype(np.int8).view(np.uint8)])


def high_bits(v):
    return np.packbits(v.astype(np.int64) >> 4 & 1, axis=1, bitorder="little")


def q4_0(x):
    d, raw = f16(symmetric_scale(x, -8, 7))
    return np.hstack([raw, halves(steps(x, d, -8, 7) + 8)])


def q5_0(x):
    d, raw = f16(symmetric_scale(x, -16, 15))
    v = steps(x, d, -16, 15) + 16
    return np.hstack([raw, high_bits(v), halves(v.astype(np.int64) & 15)])


def affine_small(x, high):
    d, m = affine(x, high, False)
    (d, raw_d), (m, raw_m) = f16(d), f16(m)
    return steps(x - m, d, 0, high), raw_d, raw_m


def q4_1(x):
    v, d, m = affine_small(x, 15)
    return np.hstack([d, m, halves(v)])


def q5_1(x):
    v, d, m = affine_small(x, 31)
    return np.hstack([d, m, high_bits(v), halves(v.astype(np.int64) & 15)])


# ---- 256 with a scale for 16 or 32 ----

def affine_super(x, size, high, top):
    """Codes of scales and minima [n, G], weights [n, 256], bytes of d and dmin."""
    g = groups(x, size)
    d, m = affine(g, high, True)
    s, d, raw_d = two_level(d[..., 0], top)
    t, m, raw_m = two_level(-m[..., 0], top)
    v = steps(g + m[..., None], d[..., None], 0, high)
    return s, t, v.reshape(x.shape).astype(np.uint8), raw_d, raw_m


def symmetric_super(x, low, high, least, top):
    g = groups(x, 16)
    s, d, raw = two_level(symmetric_scale(g, low, high)[..., 0], top, least)
    return s, (steps(g, d[..., None], low, high) - low).reshape(x.shape).astype(np.uint8), raw


def two_bits(v):
    v = v.reshape(-1, 2, 4, 32)
    return (v[:, :, 0] | v[:, :, 1] << 2 | v[:, :, 2] << 4 | v[:, :, 3] << 6).reshape(-1, 64)


def bit_of_group(v):
    """[n, 256] bits -> [n, 32]: bit g of byte l is that of group g, element l."""
    return np.packbits(v.reshape(-1, 8, 32), axis=1, bitorder="little").reshape(-1, 32)


def nibble_pairs(v):
    v = v.reshape(-1, 4, 2, 32)
    return (v[:, :, 0] | v[:, :, 1] << 4).reshape(-1, 128)


def six_bit_pairs(s, m):
    first = s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6
    return np.hstack([*first, s[:, 4:] & 15 | (m[:, 4:] & 15) << 4]).astype(np.uint8)


def q2_k(x):
    s, m, v, d, dmin = affine_super(x, 16, 3, 15)
    return np.hstack([(s | m << 4).astype(np.uint8), two_bits(v), d, dmin])


def q3_k(x):
    s, v, d = symmetric_super(x, -4, 3, -32, 31)
    s = s + 32
    low = s[:, :8] & 15 | (s[:, 8:] & 15) << 4
    top = sum((s[:, 4 * i:4 * i + 4] >> 4) << 2 * i for i in range(4))
    return np.hstack([bit_of_group(v >> 2), two_bits(v & 3), np.hstack([low, top]).astype(np.uint8), d])


def q4_k(x):
    s, m, v, d, dmin = affine_super(x, 32, 15, 63)
    return np.hstack([d, dmin, six_bit_pairs(s, m), nibble_pairs(v)])


def q5_k(x):
    s, m, v, d, dmin = affine_super(x, 32, 31, 63)
    return np.hstack([d, dmin, six_bit_pairs(s, m), bit_of_group(v >> 4), nibble_pairs(v & 15)])


def q6_k(x):
    s, v, d = symmetric_super(x, -32, 31, -128, 127)
    k = v.reshape(-1, 2, 4, 32)
    low = k[:, :, :2] & 15 | (k[:, :, 2:] & 15) << 4
    high = sum((k[:, :, i] >> 4) << 2 * i for i in range(4))
    return np.hstack([low.reshape(-1, 128), high.reshape(-1, 64), s.astype(np.int8).view(np.uint8), d])


# ---- a table of values ----

IQ4 = np.array(q.IQ4_NL.kvalues, dtype=np.float32)
E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)
UE4M3 = np.array([m / 512 if e == 0 else (8 + m) * 2.0 ** (e - 10) for e in range(16) for m in range(8)][:127],
                 dtype=np.float32)


def nearest(y, table):
    order = np.argsort(table, kind="stable")
    value = table[order]
    return order[np.searchsorted((value[1:] + value[:-1]) / 2, y)].astype(np.uint8)


def table_scale(x, table, edge):
    """[..., 1]: the value furthest from 0 lands on `edge` of the table, or a bit beyond it."""
    d = np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1) / np.float32(edge)
    return best(x, ((f * d, f * d * table[nearest(over(x, f * d), table)]) for f in FACTORS))


def iq4_nl(x):
    d, raw = f16(table_scale(x, IQ4, -127))
    return np.hstack([raw, halves(nearest(over(x, d), IQ4))])


def iq4_xs(x):
    g = groups(x, 32)
    s, d, raw = two_level(table_scale(g, IQ4, -127)[..., 0], 31, -32)
    v = nearest(over(g, d[..., None]), IQ4)
    s = s + 32
    top = sum((s[:, i] >> 4) << 2 * i for i in range(8)).astype("<u2").reshape(-1, 1).view(np.uint8)
    low = (s[:, 0::2] & 15 | (s[:, 1::2] & 15) << 4).astype(np.uint8)
    return np.hstack([raw, top, low, halves(v.reshape(-1, 32)).reshape(-1, 128)])


def mxfp4(x):
    edge = np.abs(x).max(1, keepdims=True)
    e = np.floor(np.log2(np.maximum(edge, 1e-30) / 6)) + np.arange(3).reshape(3, 1, 1)
    d = best(x, ((2.0 ** k, 2.0 ** k * E2M1[nearest(x / 2.0 ** k, E2M1)]) for k in e))
    code = np.clip(np.log2(d) + 127, 0, 254).astype(np.uint8)
    return np.hstack([code, halves(nearest(x / d, E2M1))])


def nvfp4(x):
    g = groups(x, 16)
    code = nearest(np.abs(g).max(2) / 6, UE4M3)
    v = nearest(over(g, UE4M3[code][..., None]), E2M1)
    return np.hstack([code, (v[..., :8] | v[..., 8:] << 4).reshape(-1, 32)])


# ---- points of a list ----

def points_of(cls):
    cls.init_grid()
    return cls.grid.reshape(cls.grid_shape).astype(np.float32)


def nearest_points(y, points):
    """Index of the nearest of points [P, k] for each of y [..., k]."""
    flat, turned, half = y.reshape(-1, points.shape[1]), points.T.copy(), np.square(points).sum(1) / 2
    out = np.empty(len(flat), dtype=np.int64)
    for i in range(0, len(flat), 512):
        out[i:i + 512] = (flat[i:i + 512] @ turned - half).argmax(1)
    return out.reshape(y.shape[:-1])


def even_signs(x):
    """x [..., 8] with an even number of signs taken off, and the signs as bits. Where their number is odd, the smallest
    value keeps the wrong one."""
    minus = x < 0
    at = np.abs(x).argmin(-1)[..., None]
    odd = minus.sum(-1, keepdims=True) % 2 == 1
    np.put_along_axis(minus, at, np.take_along_axis(minus, at, -1) ^ odd, -1)
    return np.where(minus, -x, x), np.packbits(minus, axis=-1, bitorder="little")[..., 0].astype(np.int64)


def free_signs(x):
    return np.abs(x), np.packbits(x < 0, axis=-1, bitorder="little")[..., 0].astype(np.int64)


def fit(y, points, start, find):
    """Scales [n, G] of y [n, G, p, k], p vectors each: what brings them nearest to points, from the rms as a start."""
    s = np.sqrt(np.square(y).mean((2, 3))) / start
    for _ in range(2):
        p = points[find(over(y, s[..., None, None]))]
        s = np.maximum(over((y * p).sum((2, 3)), np.square(p).sum((2, 3))), 0)
    return s


def odd_level(s, codes, first, step):
    """Group scales as d * (first + step * code), code below `codes`."""
    d, raw = f16(s.max(1) / (first + step * (codes - 1)))
    code = np.clip(np.rint((over(s, d) - first) / step), 0, codes - 1)
    return code.astype(np.int64), d * (first + step * code), raw


def lattice(x, cls, size, signs, first, step):
    """(scale codes [n, G], indices [n, 256 / k], signs [n, 32], bytes of d), a scale for `size` weights."""
    points = points_of(cls)
    y, bits = signs(x.reshape(len(x), 32, 8))
    y = y.reshape(len(x), 256 // size, -1, points.shape[1])
    find = lambda v: nearest_points(v, points)
    s, d, raw = odd_level(fit(y, points, np.sqrt(np.square(points).mean()), find), 16, first, step)
    return s, find(over(y, d[..., None, None])).reshape(len(x), -1), bits, raw


def u32(v):
    return np.ascontiguousarray(v.astype("<u4")).view(np.uint8)


def u16(v):
    return np.ascontiguousarray(v.astype("<u2")).view(np.uint8)


def u4(v):
    return (v[:, 0::2] | v[:, 1::2] << 4).astype(np.uint8)


def signs_and_scale(bits, s):
    """[n, 8] words: four times seven signs, then the scale."""
    b = bits.reshape(-1, 8, 4) & 127
    return b[..., 0] | b[..., 1] << 7 | b[..., 2] << 14 | b[..., 3] << 21 | s << 28


def iq2_xxs(x):
    s, at, bits, d = lattice(x, q.IQ2_XXS, 32, even_signs, 0.125, 0.25)
    words = u32(signs_and_scale(bits, s)).reshape(-1, 8, 4)
    return np.hstack([d, np.concatenate([at.reshape(-1, 8, 4).astype(np.uint8), words], 2).reshape(-1, 64)])


def iq2_xs(x):
    s, at, bits, d = lattice(x, q.IQ2_XS, 16, even_signs, 0.125, 0.25)
    return np.hstack([d, u16(at | (bits & 127) << 9), u4(s)])


def iq2_s(x):
    s, at, bits, d = lattice(x, q.IQ2_S, 16, free_signs, 0.125, 0.25)
    top = sum((at[:, i::4] >> 8) << 2 * i for i in range(4))
    return np.hstack([d, (at & 255).astype(np.uint8), bits.astype(np.uint8), top.astype(np.uint8), u4(s)])


def iq3_xxs(x):
    s, at, bits, d = lattice(x, q.IQ3_XXS, 32, even_signs, 0.25, 0.5)
    return np.hstack([d, at.astype(np.uint8), u32(signs_and_scale(bits, s))])


def iq3_s(x):
    s, at, bits, d = lattice(x, q.IQ3_S, 32, free_signs, 1, 2)
    top = np.packbits(at >> 8, axis=1, bitorder="little")
    return np.hstack([d, (at & 255).astype(np.uint8), top, bits.astype(np.uint8), u4(s)])


def ternary_points(points):
    """A finder as nearest_points, through a table of the 3^8 vectors of -1, 0, 1: y is rounded to one first."""
    power = 3 ** np.arange(8)
    table = nearest_points((np.arange(3 ** 8)[:, None] // power % 3 - 1).astype(np.float32), points)
    return lambda y: table[((np.clip(np.rint(y), -1, 1) + 1) @ power).astype(np.int64)]


def iq1(x, size):
    """(scale codes, their bytes of d, indices of [points moved up, points moved down] as [n, G, p], distances [2])."""
    grid = points_of(q.IQ1_S)
    find = ternary_points(grid)
    y = x.reshape(len(x), 256 // size, -1, 8)
    s, d, raw = odd_level(fit(y, grid, 0.8, find), 8, 1, 2)
    z = over(y, d[..., None, None])
    at = [find(z - 0.125), find(z + 0.125)]
    far = [np.square(z - grid[a] - by).sum(-1) for a, by in zip(at, (0.125, -0.125))]
    return s, raw, at, far


def iq1_s(x):
    s, d, at, far = iq1(x, 32)
    down = far[1].sum(-1) < far[0].sum(-1)
    at = np.where(down[..., None], at[1], at[0])
    top = sum((at[..., i] >> 8) << 3 * i for i in range(4))
    return np.hstack([d, (at & 255).reshape(-1, 32).astype(np.uint8), u16(top | s << 12 | down.astype(np.int64) << 15)])


def iq1_m(x):
    s, raw, at, far = iq1(x, 16)
    down = far[1] < far[0]
    at = np.where(down, at[1], at[0]).reshape(-1, 32)
    d = raw.view("<u2").astype(np.int64)
    words = sum(s[:, i::4] << 3 * i for i in range(4)) | (d >> 4 * np.arange(4) & 15) << 12
    return np.hstack([(at & 255).astype(np.uint8), u4(at >> 8 | down.reshape(-1, 32).astype(np.int64) << 3), u16(words)])


# ---- no blocks ----

def plain(kind):
    return lambda x: x.astype(kind).view(np.uint8)


def bf16(x):
    """To the nearest, halves to even."""
    b = np.ascontiguousarray(x, dtype="<f4").view("<u4").astype(np.uint64)
    return ((b + 0x7fff + (b >> 16 & 1)) >> 16).astype("<u2").view(np.uint8)


ENCODERS = {"F32": plain("<f4"), "F16": plain("<f2"), "BF16": bf16, "Q8_0": q8_0, "Q4_0": q4_0, "Q4_1": q4_1, "Q5_0": q5_0,
            "Q5_1": q5_1, "Q2_K": q2_k, "Q3_K": q3_k, "Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k, "IQ4_NL": iq4_nl,
            "IQ4_XS": iq4_xs, "MXFP4": mxfp4, "NVFP4": nvfp4, "IQ2_XXS": iq2_xxs, "IQ2_XS": iq2_xs, "IQ2_S": iq2_s,
            "IQ3_XXS": iq3_xxs, "IQ3_S": iq3_s, "IQ1_S": iq1_s, "IQ1_M": iq1_m}
