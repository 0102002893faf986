/* hits.c - see hits.h.
 *
 * K of E different experts with given weights: those with the K largest log(u) / w, u uniform in
 * (0, 1) (Efraimidis and Spirakis, 2006).
 */
#include "weights/hits.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"
#include "weights/slots.h"

/* Tokens until the slots hold what they would, and those that count. */
enum { ROUNDS = 3, TOKENS_MIN = 24, TOKENS_MAX = 200, HABIT = 1024 };

struct game {
    const struct hits_in *in;
    struct experts experts; /* as in->experts, with a use of its own */
    struct slots slots;
    uint32_t *wanted; /* [used] */
    double *key;      /* [per_layer] */
    uint64_t random, asked, found;
};

static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

static void draw(struct game *g)
{
    const uint64_t E = g->in->experts->per_layer;
    for (uint64_t x = 0; x < E; x++)
        g->key[x] = log(uniform(&g->random)) / g->in->weight[x];
    for (uint64_t k = 0; k < g->in->used; k++) {
        uint64_t best = 0;
        for (uint64_t x = 1; x < E; x++)
            if (g->key[x] > g->key[best])
                best = x;
        g->wanted[k] = (uint32_t)best;
        g->key[best] = -(double)INFINITY;
    }
}

/* As store.c visits a layer: what is there stays, what is missing comes into what may go. */
static void visit(struct game *g, uint64_t layer)
{
    const uint64_t first = layer * g->in->experts->per_layer;
    struct window window[SLOT_PIECES];
    size_t windows;
    draw(g);
    uses_visit(&g->experts.uses, layer, 1);
    for (uint64_t k = 0; k < g->in->used; k++) {
        struct slot *const x = slots_find(&g->slots, (uint32_t)(first + g->wanted[k]));
        g->asked++;
        g->found += x != NULL;
        if (x)
            x->wanted = true;
    }
    for (uint64_t k = 0; k < g->in->used; k++) {
        const uint32_t key = (uint32_t)(first + g->wanted[k]);
        struct slot *x = slots_find(&g->slots, key);
        if (!x && (x = slots_free(&g->slots, key, false)) != NULL) {
            slots_take(&g->slots, x, key, window, &windows);
            x->state = SLOT_READY;
            x->wanted = true;
        }
        uses_add(&g->experts.uses, layer, g->wanted[k], 1);
    }
    for (uint64_t k = 0; k < g->in->used; k++) {
        struct slot *const x = slots_find(&g->slots, (uint32_t)(first + g->wanted[k]));
        if (x)
            x->wanted = false;
    }
}

static double play(struct game *g)
{
    const struct hits_in *const in = g->in;
    const uint64_t a_token = max_u64(in->layers * in->used, 1);
    const uint64_t warm = ROUNDS * ceil_div_u64(g->slots.n, a_token);
    const uint64_t tokens = min_u64(TOKENS_MIN + warm, TOKENS_MAX);
    for (uint64_t t = 0; t < 2 * tokens; t++) {
        if (t == tokens)
            g->asked = g->found = 0;
        for (uint64_t l = 0; l < in->layers; l++)
            visit(g, l);
    }
    return g->asked ? (double)g->found / (double)g->asked : 1;
}

/* The model is known by now: its experts were used as often as they are. */
static int begin_with_habit(struct game *g, struct err *e)
{
    const uint64_t layers = g->in->experts->layers, E = g->in->experts->per_layer;
    float *const history = mem_zalloc(layers * E, sizeof *history);
    double sum = 0;
    if (!history || uses_init(&g->experts.uses, layers, E, e) != 0) {
        free(history);
        return err_nomem(e, "use of experts", layers * E * sizeof *history);
    }
    for (uint64_t x = 0; x < E; x++)
        sum += g->in->weight[x];
    for (uint64_t i = 0; i < layers * E; i++)
        history[i] = (float)(HABIT * (double)g->in->used * g->in->weight[i % E] / sum);
    uses_begin_with(&g->experts.uses, history, HABIT, g->in->used);
    free(history);
    return GLIM_OK;
}

int hits_rate(const struct hits_in *in, double *rate, struct err *e)
{
    struct game g = {.in = in, .experts = *in->experts, .random = 1};
    g.experts.uses = (struct uses){0};
    *rate = 0;
    g.wanted = mem_zalloc(in->used, sizeof *g.wanted);
    g.key = mem_zalloc(in->experts->per_layer, sizeof *g.key);
    int rc = g.wanted && g.key
               ? slots_init(&g.slots, in->weights, &g.experts, in->classes, in->used,
                            in->room_bytes, true, e)
               : err_nomem(e, "experts of a token", in->experts->per_layer * sizeof *g.key);
    if (rc == 0)
        rc = begin_with_habit(&g, e);
    if (rc == 0)
        *rate = play(&g);
    slots_deinit(&g.slots);
    uses_deinit(&g.experts.uses);
    free(g.wanted);
    free(g.key);
    return rc;
}
