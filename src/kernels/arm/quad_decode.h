/* quad_decode.h - few vectors against rows of integer blocks, each read once, as it is stored: four
 * rows together, up to four vectors a pass; more go over the rows again, which by then lie in the
 * first-level cache. The next four rows are called for. quad.h has the arithmetic.
 */
#ifndef GLIM_KERNELS_ARM_QUAD_DECODE_H
#define GLIM_KERNELS_ARM_QUAD_DECODE_H

/* One super-block of four rows. */
INLINE void decode_super(enum dtype t, unsigned T, const uint8_t *const p[QUAD], size_t g,
                         const struct vectors *x, float32x4_t y[VECTORS])
{
    const bool of_16 = has_scales_of_16(t);
    int32x4_t sum[VECTORS][PAIRS];
    struct super s;
    super_init(t, p, &s);
    UNROLL for (unsigned v = 0; v < T; v++)
        sum[v][0] = sum[v][1] = vdupq_n_s32(0);
    for (unsigned c = 0; c < PARTS; c++) {
        const struct part w = super_part(t, p, c);
        super_times(of_16, T, &w, &s, c, x, g * PACK_GROUP + c * PART, sum);
    }
    super_end(of_16, super_info(t).dmin_at, T, &s, sum, x, g, y);
}

/* Up to 256 columns of four rows, of which `left` are there. */
INLINE void decode_small(enum dtype t, unsigned T, const uint8_t *const p[QUAD], size_t g,
                         size_t left, const struct vectors *x, float32x4_t y[VECTORS])
{
    const bool has_min = small_info(t).min_at;
    const size_t parts = parts_of(left);
    struct small_sums sum;
    small_clear(T, &sum);
    for (size_t c = 0; c < parts; c++) {
        struct small s;
        const struct part w = small_part(t, p, c);
        small_init(t, p, c, &s);
        small_times(t == DT_NVFP4, has_min, T, &w, &s, x, g * PACK_GROUP + c * PART, &sum);
    }
    small_end(has_min, T, &sum, x, g, y);
}

/* All columns of four rows; ahead: bytes to the rows that come next. */
INLINE void decode_quad(enum dtype t, bool super, unsigned T, const uint8_t *const row[QUAD],
                        size_t ahead, size_t cols, const struct vectors *x,
                        float32x4_t y[VECTORS])
{
    const size_t bytes = group_bytes(t, super);
    UNROLL for (unsigned v = 0; v < T; v++)
        y[v] = vdupq_n_f32(0);
    for (size_t g = 0; g * PACK_GROUP < cols; g++) {
        const uint8_t *p[QUAD];
        UNROLL for (unsigned i = 0; i < QUAD; i++) {
            p[i] = row[i] + g * bytes;
            UNROLL for (size_t at = 0; at < bytes; at += 64)
                call_for(p[i] + ahead + at);
        }
        if (super)
            decode_super(t, T, p, g, x, y);
        else
            decode_small(t, T, p, g, cols - g * PACK_GROUP, x, y);
    }
}

/* T <= VECTORS vectors from t on, against rows r and on; 3 run as 4. */
INLINE void decode_pass(enum dtype type, bool super, const struct call *c, size_t t, size_t T,
                        uint64_t r)
{
    const size_t ahead = QUAD * (size_t)c->w->row_bytes, cols = (size_t)c->w->cols;
    const struct vectors x = vectors_at(c->x + t, T, cols);
    const uint8_t *row[QUAD];
    float32x4_t y[VECTORS];
    quad_rows(c, r, row);
    if (T == 1)
        decode_quad(type, super, 1, row, ahead, cols, &x, y);
    else if (T == 2)
        decode_quad(type, super, 2, row, ahead, cols, &x, y);
    else
        decode_quad(type, super, 4, row, ahead, cols, &x, y);
    for (size_t v = 0; v < T; v++)
        quad_store(c, t + v, r, y[v]);
}

INLINE void decode_all(enum dtype type, bool super, const struct call *c)
{
    for (uint64_t r = c->r0; r < c->r1; r += QUAD)
        for (size_t t = 0; t < c->T; t += VECTORS)
            decode_pass(type, super, c, t, c->T - t < VECTORS ? c->T - t : VECTORS, r);
}

#define DECODE(name, type, super)                                                                  \
    static void decode_##name(const struct call *c) { decode_all(type, super, c); }
INTEGER_TYPES(DECODE)
#undef DECODE

typedef void decode_fn(const struct call *c);

#define DECODE(name, type, super) [type] = decode_##name,
static decode_fn *const decode_of[DT_COUNT] = {INTEGER_TYPES(DECODE)};
#undef DECODE

bool BUILT(blocks_known)(enum dtype t) { return decode_of[t] != NULL; }

void BUILT(blocks_decode)(float *y, size_t y_stride, const void *const *x, size_t T,
                          const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, T, x, w, r0, r1};
    decode_of[w->type](&c);
}

#endif
