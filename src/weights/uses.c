/* uses.c - see uses.h. */
#include "weights/uses.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { RECENT_TOK = 16, HABIT_TOK = 1024, HISTORY_TOK = 256 };
static const double RECENT_PART = 0.6, UNIT_MAX = 0x1p400;

int uses_init(struct uses *u, uint64_t layers, uint64_t per_layer, struct err *e)
{
    const uint64_t n = layers * per_layer;
    *u = (struct uses){.layers = layers,
                       .per_layer = per_layer,
                       .recent = {.half_tok = RECENT_TOK, .unit = 1},
                       .habit = {.half_tok = HABIT_TOK, .unit = 1}};
    u->count = mem_zalloc(n, sizeof *u->count);
    u->recent.sum = mem_zalloc(n, sizeof *u->recent.sum);
    u->habit.sum = mem_zalloc(n, sizeof *u->habit.sum);
    if (u->count && u->recent.sum && u->habit.sum)
        return GLIM_OK;
    uses_deinit(u);
    return err_nomem(e, "uses of experts", n * (sizeof *u->count + 2 * sizeof(double)));
}

void uses_deinit(struct uses *u)
{
    free(u->count);
    free(u->recent.sum);
    free(u->habit.sum);
    *u = (struct uses){0};
}

/* What is left of a share after so many tokens. */
static double kept(const struct fading *f, uint64_t tokens)
{
    return exp2(-(double)tokens / f->half_tok);
}

static void pass(struct fading *f, uint64_t tokens, uint64_t n)
{
    f->unit /= kept(f, tokens);
    if (f->unit < UNIT_MAX)
        return;
    for (uint64_t i = 0; i < n; i++)
        f->sum[i] /= f->unit;
    f->unit = 1;
}

static void set_add(struct fading *f, uint64_t rows)
{
    f->add = f->unit * (1 - kept(f, rows)) / (double)rows;
}

void uses_visit(struct uses *u, uint64_t layer, uint64_t rows)
{
    assert(layer < u->layers && rows > 0);
    if (layer == 0) {
        pass(&u->recent, rows, u->layers * u->per_layer);
        pass(&u->habit, rows, u->layers * u->per_layer);
        u->tokens += rows;
    }
    set_add(&u->recent, rows);
    set_add(&u->habit, rows);
}

void uses_add(struct uses *u, uint64_t layer, uint32_t expert, uint32_t rows)
{
    const uint64_t key = layer * u->per_layer + expert;
    assert(expert < u->per_layer);
    u->count[key] += rows;
    u->recent.sum[key] += u->recent.add * (double)rows;
    u->habit.sum[key] += u->habit.add * (double)rows;
}

double uses_score(const struct uses *u, uint32_t key)
{
    return RECENT_PART * u->recent.sum[key] / u->recent.unit
           + (1 - RECENT_PART) * u->habit.sum[key] / u->habit.unit;
}

void uses_begin_with(struct uses *u, const float *history, uint64_t tokens, uint64_t used)
{
    const double weight = 1 - kept(&u->habit, min_u64(tokens, HISTORY_TOK));
    for (uint64_t l = 0; l < u->layers; l++) {
        const float *const from = history + l * u->per_layer;
        double *const to = u->habit.sum + l * u->per_layer, all = 0;
        for (uint64_t x = 0; x < u->per_layer; x++)
            all += (double)from[x];
        for (uint64_t x = 0; all > 0 && x < u->per_layer; x++)
            to[x] = (double)from[x] / all * (double)used * weight * u->habit.unit;
    }
}

void uses_forget_counts(struct uses *u)
{
    memset(u->count, 0, u->layers * u->per_layer * sizeof *u->count);
    u->tokens = 0;
}
