/* bandwidth.c - see bandwidth.h. */
#include "cli/bandwidth.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/pool.h"
#include "base/util.h"
#include "cli/out.h"

enum { PIECE_BYTES = 1 << 20, PASSES = 5, STREAMS = 4, LINE_WORDS = 8, AHEAD_BYTES = 16384 };
enum { STREAM_WORDS = PIECE_BYTES / STREAMS / (int)sizeof(uint64_t) };

struct sweep {
    uint64_t *block;  /* [pieces, PIECE_BYTES / 8] */
    uint64_t *sum;    /* [pieces]: keeps the compiler from leaving the reads out */
};

static void fill_piece(void *ctx, size_t i, int worker)
{
    (void)worker;
    struct sweep *const s = ctx;
    memset((char *)s->block + i * PIECE_BYTES, (int)(i & 0x7f) + 1, PIECE_BYTES);
}

/* Memory hands out whole lines: one word of each is enough to make it, and leaves the loads nothing
 * else to do. Several streams, called for into the second-level cache, keep more lines under way
 * than one does (docs/performance.md). */
static void read_piece(void *ctx, size_t i, int worker)
{
    (void)worker;
    struct sweep *const s = ctx;
    const uint64_t *const p = s->block + i * (PIECE_BYTES / sizeof *s->block);
    uint64_t sum = 0;
    for (size_t k = 0; k < STREAM_WORDS; k += LINE_WORDS)
        for (size_t stream = 0; stream < STREAMS; stream++) {
            const uint64_t *const word = p + stream * STREAM_WORDS + k;
            __builtin_prefetch((const char *)word + AHEAD_BYTES, 0, 2);
            sum += *word;
        }
    s->sum[i] = sum;
}

static double best_pass(struct pool *pool, struct sweep *s, size_t pieces)
{
    uint64_t best_ns = UINT64_MAX;
    pool_for(pool, pieces, fill_piece, s);
    for (int pass = 0; pass < PASSES && !interrupted(); pass++) {
        const uint64_t start = now_ns();
        pool_for(pool, pieces, read_piece, s);
        const uint64_t ns = now_ns() - start;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    return best_ns ? (double)pieces * PIECE_BYTES / (double)best_ns : 0;
}

int bandwidth_measure(int threads, double *gb_s, struct err *e)
{
    /* 512 MiB, or less where memory is tight; 64 MiB still leaves most caches behind. */
    struct memory memory;
    memory_look("", &memory);
    const uint64_t room = memory_usable(&memory) / 8 / PIECE_BYTES;
    const size_t pieces = (size_t)max_u64(64, min_u64(room, 512));
    struct pool *pool = NULL;
    struct sweep s = {.block = aligned_alloc(4096, pieces * PIECE_BYTES),
                      .sum = mem_zalloc(pieces, sizeof *s.sum)};
    int rc = s.block && s.sum ? pool_new(&pool, threads, e)
                              : err_nomem(e, "bandwidth", pieces * PIECE_BYTES);
    if (rc == GLIM_OK)
        *gb_s = best_pass(pool, &s, pieces);
    if (rc == GLIM_OK && interrupted())
        rc = err_set(e, GLIM_ESTOPPED, "interrupted");
    pool_free(pool);
    free(s.block);
    free(s.sum);
    return rc;
}
