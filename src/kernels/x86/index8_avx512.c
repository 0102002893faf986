/* index8_avx512.c - the indexer's scores of keys kept as bytes.
 *
 * Queries are rounded as keys are: v[h] with a scale s[h], so a product of the two is one of bytes,
 * exact in 32 bits. With lanes as keys, `vpdpbusd` multiplies four bytes of 16 keys at once; it
 * wants its first operand without a sign, so keys are taken plus 128, and 128 sum(v[h]) is where a
 * head's sum begins, negative. Then s += (w[h] s[h] scale) max(0, dot[h]), h ascending, and at the
 * end the key's own scale: a score depends on its key and its row's queries alone.
 *
 * Cost: Hi Di multiply-adds a key and row, 128 a cycle; turning 32 keys is a tenth of that for one
 * row of 32 heads.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/x86/kvrow_avx512.h"
#include "kernels/x86/x86.h"

enum { LANES = 16, WIDE = 2, KEYS = WIDE * LANES, HEADS = 8, CHUNK = 64 };

/* The scratch. Heads stand in groups of HEADS, the last one filled up with heads that add 0; D is
 * Di in words of four bytes, rounded up to CHUNK bytes. */
struct room {
    size_t D, groups;
    int32_t *turned; /* [D, KEYS] */
    int32_t *v;      /* [T, groups, D, HEADS] */
    int32_t *start;  /* [T, groups, HEADS] */
    float *w;        /* the same */
    float *scale;    /* [KEYS] */
};

static size_t words(size_t Di) { return (Di + CHUNK - 1) / CHUNK * (CHUNK / 4); }
static size_t head_groups(size_t Hi) { return (Hi + HEADS - 1) / HEADS; }

size_t index8_bytes_avx512(size_t T, size_t Hi, size_t Di)
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

/* Not the intrinsic: see add_dot_16 in vec_avx512.h. */
INLINE void add_dot_8(__m512i *sum, __m512i bytes, __m512i signed_bytes)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(bytes), "v"(signed_bytes));
}

/* One head's words, HEADS apart; where its sum begins; what it counts. `bytes`: [4 D] scratch. */
static void set_head(int32_t *v, int32_t *start, float *w, size_t D, const float *q, size_t Di,
                     int8_t *bytes)
{
    const float s = block_store_avx512(bytes, q, Di);
    __m512i sum = _mm512_setzero_si512();
    memset(bytes + Di, 0, 4 * D - Di);
    for (size_t i = 0; i < 4 * D; i += CHUNK)
        add_dot_8(&sum, _mm512_set1_epi8(1), _mm512_loadu_si512(bytes + i));
    for (size_t d = 0; d < D; d++)
        memcpy(v + d * HEADS, bytes + 4 * d, 4);
    *start = -128 * _mm512_reduce_add_epi32(sum);
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

/* to[CHUNK / 4, LANES] (rows KEYS apart) = n bytes of up to LANES keys, from the c-th on. What lies
 * behind either is 0 or left as it is: it meets queries of 0 or a score that is not wanted. */
INLINE void turn(int32_t *to, const void *const *row, size_t keys, size_t c, size_t n)
{
    const __mmask64 have = n < CHUNK ? (1ull << n) - 1 : ~0ull;
    __m512i v[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++)
        v[i] = i < keys ? _mm512_maskz_loadu_epi8(have, (const uint8_t *)row[i] + sizeof(float) + c)
                        : _mm512_setzero_si512();
    transpose_16(v);
    UNROLL for (unsigned i = 0; i < LANES; i++)
        _mm512_store_si512(to + i * KEYS, _mm512_xor_si512(v[i], _mm512_set1_epi8(INT8_MIN)));
}

/* m->turned and m->scale of n keys. */
static void turn_keys(const struct room *m, const void *const *row, size_t n, size_t Di)
{
    for (size_t i = 0; i < n; i++)
        memcpy(m->scale + i, row[i], sizeof *m->scale);
    for (size_t half = 0; half < n; half += LANES)
        for (size_t c = 0; c < Di; c += CHUNK) {
            int32_t *const to = m->turned + c / 4 * KEYS + half;
            if (n - half >= LANES && Di - c >= CHUNK)
                turn(to, row + half, LANES, c, CHUNK);
            else
                turn(to, row + half, n - half, c, Di - c);
        }
}

/* s += a group of heads */
INLINE void add_heads(const struct room *m, __m512 s[WIDE], size_t group)
{
    const int32_t *const v = m->v + group * HEADS * m->D, *const start = m->start + group * HEADS;
    __m512i dot[HEADS][WIDE];
    UNROLL for (unsigned h = 0; h < HEADS; h++)
        dot[h][0] = dot[h][1] = _mm512_set1_epi32(start[h]);
    for (size_t d = 0; d < m->D; d++) {
        const __m512i k0 = _mm512_load_si512(m->turned + d * KEYS);
        const __m512i k1 = _mm512_load_si512(m->turned + d * KEYS + LANES);
        UNROLL for (unsigned h = 0; h < HEADS; h++) {
            const __m512i x = _mm512_set1_epi32(v[d * HEADS + h]);
            add_dot_8(&dot[h][0], k0, x);
            add_dot_8(&dot[h][1], k1, x);
        }
    }
    UNROLL for (unsigned h = 0; h < HEADS; h++)
        UNROLL for (unsigned i = 0; i < WIDE; i++) {
            const __m512i part = _mm512_max_epi32(dot[h][i], _mm512_setzero_si512());
            s[i] = _mm512_fmadd_ps(_mm512_set1_ps(m->w[group * HEADS + h]),
                                   _mm512_cvtepi32_ps(part), s[i]);
        }
}

/* One row of queries against n turned keys. Calls for a->n keys ahead, a few a group of heads. */
static void score_row(const struct room *m, float *out, size_t t, size_t n, const struct ahead *a)
{
    __m512 sum[WIDE] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t g = 0; g < m->groups; g++) {
        call_ahead(a, g, m->groups);
        add_heads(m, sum, t * m->groups + g);
    }
    UNROLL for (unsigned half = 0; half < WIDE; half++) {
        const size_t at = half * LANES;
        const __mmask16 have = first_lanes(n > at ? n - at : 0);
        const __m512 key = _mm512_maskz_loadu_ps(have, m->scale + at);
        _mm512_mask_storeu_ps(out + at, have, _mm512_mul_ps(sum[half], key));
    }
}

void index8_score_avx512(float *s, size_t s_stride, const float *q, const float *w, size_t T,
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
