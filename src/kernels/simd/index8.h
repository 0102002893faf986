/* index8.h - the indexer's scores of keys kept as bytes. The skeleton of index8_*.c of the levels,
 * each of which includes it once, behind its math_*.h and
 *
 *     WIDE, HEADS            registers of keys, and heads, whose products meet in registers
 *     COLUMNS                of a key in a lane of 32 bits, its word
 *     key_words(p, n)        LANES words of the n bytes at p, or of the first LANES COLUMNS; what
 *                            is behind them may be anything
 *     head_word(v)           COLUMNS bytes of a query as keys meet them
 *     head_start(v, n)       where sums begin, given n bytes, a multiple of LANES COLUMNS
 *     add_products(sum, key_words, head_words)
 *
 * Queries are rounded as keys are: v[h] with a scale s[h], so a product of the two is one of bytes,
 * exact in 32 bits. Lanes are keys. Then s += (w[h] s[h] scale) max(0, dot[h]), h ascending, and at
 * the end the key's own scale: a score depends on its key and its row's queries alone.
 *
 * Cost: Hi Di multiply-adds a key and row; turning keys is a tenth of that for one row of 32 heads.
 */
#ifndef GLIM_KERNELS_SIMD_INDEX8_H
#define GLIM_KERNELS_SIMD_INDEX8_H

#include <string.h>

#include "kernels/simd/row.h"

enum { KEYS = WIDE * LANES, CHUNK = LANES * COLUMNS };

/* The scratch. Heads stand in groups of HEADS, the last one filled up with heads that add 0; D is
 * Di in words, rounded up to CHUNK columns. */
struct room {
    size_t D, groups;
    int32_t *turned; /* [D, KEYS] */
    int32_t *v;      /* [T, groups, D, HEADS] */
    int32_t *start;  /* [T, groups, HEADS] */
    float *w;        /* the same */
    float *scale;    /* [KEYS] */
};

static size_t words(size_t Di) { return (Di + CHUNK - 1) / CHUNK * LANES; }
static size_t head_groups(size_t Hi) { return (Hi + HEADS - 1) / HEADS; }

size_t LEVEL(index8_bytes)(size_t T, size_t Hi, size_t Di)
{
    const size_t heads = T * head_groups(Hi) * HEADS;
    return (words(Di) * (KEYS + heads) + 2 * heads + KEYS) * sizeof(float);
}

static struct room room_of(void *scratch, size_t T, size_t Hi, size_t Di)
{
    struct room m = {.D = words(Di), .groups = head_groups(Hi)};
    const size_t heads = T * m.groups * HEADS;
    m.turned = scratch;
    m.v = m.turned + m.D * KEYS;
    m.start = m.v + m.D * heads;
    m.w = (float *)(m.start + heads);
    m.scale = m.w + heads;
    return m;
}

/* One head's words, HEADS apart; where its sum begins; what it counts. `bytes`: [COLUMNS D]
 * scratch. */
static void set_head(int32_t *v, int32_t *start, float *w, size_t D, const float *q, size_t Di,
                     int8_t *bytes)
{
    const float s = LEVEL(block_store)(bytes, q, Di);
    memset(bytes + Di, 0, COLUMNS * D - Di);
    for (size_t d = 0; d < D; d++)
        v[d * HEADS] = head_word(bytes + COLUMNS * d);
    *start = head_start(bytes, COLUMNS * D);
    *w *= s;
}

static void set_heads(const struct room *m, const float *q, const float *w, size_t T, size_t Hi,
                      size_t Di, float scale)
{
    const size_t heads = m->groups * HEADS;
    memset(m->v, 0, T * heads * m->D * sizeof *m->v);
    memset(m->start, 0, T * heads * sizeof *m->start);
    memset(m->w, 0, T * heads * sizeof *m->w);
    for (size_t t = 0; t < T; t++)
        for (size_t h = 0; h < Hi; h++) {
            const size_t at = t * heads + h;
            m->w[at] = scale * w[t * Hi + h];
            set_head(m->v + (at - h % HEADS) * m->D + h % HEADS, m->start + at, m->w + at, m->D,
                     q + (t * Hi + h) * Di, Di, (int8_t *)m->turned);
        }
}

/* to[LANES, LANES] (rows KEYS apart) = the words of up to LANES keys from column c on, of which
 * there are n. What lies behind either meets queries of 0 or is a score that is not wanted. */
INLINE void turn(int32_t *to, const void *const *row, size_t keys, size_t c, size_t n)
{
    vint v[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++)
        v[i] = i < keys ? key_words((const uint8_t *)row[i] + sizeof(float) + c, n) : int_zero();
    transpose(v);
    UNROLL for (unsigned i = 0; i < LANES; i++)
        int_store(to + i * KEYS, v[i]);
}

/* m->turned and m->scale of n keys. */
static void turn_keys(const struct room *m, const void *const *row, size_t n, size_t Di)
{
    for (size_t i = 0; i < n; i++)
        memcpy(m->scale + i, row[i], sizeof *m->scale);
    for (size_t part = 0; part < n; part += LANES)
        for (size_t c = 0; c < Di; c += CHUNK) {
            int32_t *const to = m->turned + c / COLUMNS * KEYS + part;
            if (n - part >= LANES && Di - c >= CHUNK)
                turn(to, row + part, LANES, c, CHUNK);
            else
                turn(to, row + part, n - part, c, Di - c);
        }
}

/* s += a group of heads */
INLINE void add_heads(const struct room *m, vfloat s[WIDE], size_t group)
{
    const int32_t *const v = m->v + group * HEADS * m->D, *const start = m->start + group * HEADS;
    vint dot[HEADS][WIDE];
    UNROLL for (unsigned h = 0; h < HEADS; h++)
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            dot[h][i] = int_all(start[h]);
    for (size_t d = 0; d < m->D; d++) {
        vint k[WIDE];
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            k[i] = int_load(m->turned + d * KEYS + i * LANES);
        UNROLL for (unsigned h = 0; h < HEADS; h++) {
            const vint x = int_all(v[d * HEADS + h]);
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                add_products(&dot[h][i], k[i], x);
        }
    }
    UNROLL for (unsigned h = 0; h < HEADS; h++)
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            s[i] = mul_add(float_all(m->w[group * HEADS + h]),
                           float_of(int_max(dot[h][i], int_zero())), s[i]);
}

/* One row of queries against n turned keys. Calls for a->n keys ahead, a few a group of heads. */
static void score_row(const struct room *m, float *out, size_t t, size_t n, const struct ahead *a)
{
    vfloat sum[WIDE];
    UNROLL for (unsigned i = 0; i < WIDE; i++)
        sum[i] = float_zero();
    for (size_t g = 0; g < m->groups; g++) {
        call_ahead(a, g, m->groups);
        add_heads(m, sum, t * m->groups + g);
    }
    UNROLL for (unsigned i = 0; i < WIDE; i++)
        if (i * LANES < n) {
            const size_t at = i * LANES;
            store_first(out + at, n - at, mul(sum[i], load_first(m->scale + at, n - at)));
        }
}

void LEVEL(index8_score)(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                          const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                          void *scratch)
{
    const struct room m = room_of(scratch, T, Hi, Di);
    set_heads(&m, q, w, T, Hi, Di, scale);
    for (size_t i = 0; i < n; i += KEYS) {
        const size_t keys = n - i < KEYS ? n - i : KEYS, left = n - i - keys;
        struct ahead a = {row + i + keys, left < KEYS ? left : KEYS, Di + sizeof(float)};
        turn_keys(&m, row + i, keys, Di);
        for (size_t t = 0; t < T; t++, a.n = 0)
            score_row(&m, s + t * s_stride + i, t, keys, &a);
    }
}

#endif
