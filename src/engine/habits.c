/* habits.c - the use of a streamed model's experts across runs (usage.h): read when the experts
 * get their room, added to when the model is closed and, between steps, every SAVE_NS. What goes
 * wrong with the file is a notice and the end of the history, never an error of the model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"
#include "engine/usage.h"

/* A run that is killed loses at most what it did since. */
static const uint64_t SAVE_NS = 600000000000u;
/* For others who write: at the end, and between steps. */
enum { WAIT_LAST_MS = 5000, WAIT_MS = 0 };

int habits_init(struct glim_model *m, const struct glim_model_options *o, struct err *e)
{
    if (!o->usage)
        return GLIM_OK;
    m->habits.path = strdup(o->usage);
    m->habits.workload = strdup(o->workload && *o->workload ? o->workload : "default");
    return m->habits.path && m->habits.workload ? GLIM_OK
                                                  : err_nomem(e, "path", strlen(o->usage));
}

static void habits_deinit(struct glim_model *m)
{
    free(m->habits.path);
    free(m->habits.workload);
    m->habits = (struct habits){0};
}

static void give_up(struct glim_model *m, const struct err *e)
{
    struct err text = *e;
    (void)err_prefix(&text, "going on without a history of use");
    model_notice(m, text.text);
    habits_deinit(m);
}

/* FNV-1a */
static void mix(uint64_t *hash, const void *bytes, uint64_t n)
{
    const uint8_t *const b = bytes;
    for (uint64_t i = 0; i < n; i++)
        *hash = (*hash ^ b[i]) * 0x100000001b3u;
}

/* Shapes, and what was trained of the routers: their biases and the first row of each. These are
 * the same in every file type and quantisation of a model, and their experts have the same
 * habits. */
static int identify(struct glim_model *m, struct err *e)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t shape[] = {c->layers, c->hidden, c->vocab, c->experts, c->experts_used,
                              m->model.experts.layers};
    uint64_t hash = 0xcbf29ce484222325u;
    float *const row = mem_zalloc(c->hidden, sizeof *row);
    if (!row)
        return err_nomem(e, "router row", c->hidden * sizeof *row);
    mix(&hash, shape, sizeof shape);
    for (uint64_t i = 0; i < c->layers; i++) {
        const struct layer *const l = &m->model.layer[i];
        if (l->ffn_kind != FFN_MOE)
            continue;
        m->model.kernels.matrix_row(row, &l->router, 0);
        mix(&hash, row, c->hidden * sizeof *row);
        if (l->router_bias)
            mix(&hash, l->router_bias, c->experts * sizeof *l->router_bias);
    }
    free(row);
    (void)snprintf(m->habits.model, sizeof m->habits.model, "%016llx", (unsigned long long)hash);
    return GLIM_OK;
}

static struct usage_key key_of(const struct glim_model *m)
{
    return (struct usage_key){.model = m->habits.model,
                              .workload = m->habits.workload,
                              .name = m->name,
                              .layers = m->model.experts.layers,
                              .experts = m->model.experts.per_layer};
}

static int begin(struct glim_model *m, struct err *e)
{
    if (identify(m, e) != 0)
        return e->code;
    const struct usage_key k = key_of(m);
    uint64_t tokens;
    float *const uses = mem_zalloc(k.layers * k.experts, sizeof *uses);
    if (!uses)
        return err_nomem(e, "usage history", k.layers * k.experts * sizeof *uses);
    const int rc = usage_read(m->habits.path, &k, uses, &tokens, e);
    if (rc == 0)
        uses_begin_with(&m->model.experts.uses, uses, tokens, m->model.cfg.experts_used);
    free(uses);
    return rc;
}

void habits_begin(struct glim_model *m)
{
    struct err e;
    if (!m->habits.path)
        return;
    m->habits.saved_ns = now_ns();
    if (begin(m, &e) != 0)
        give_up(m, &e);
}

/* Whoever is busy with the file between two steps is not waited for: there is a next time. */
static void save(struct glim_model *m, int wait_ms)
{
    struct uses *const u = &m->model.experts.uses;
    const struct usage_key k = key_of(m);
    struct err e;
    const int rc = usage_add(m->habits.path, &k, u->count, u->tokens, wait_ms, &e);
    m->habits.saved_ns = now_ns();
    if (rc == 0)
        uses_forget_counts(u);
    else if (rc != GLIM_ESTOPPED || wait_ms > WAIT_MS)
        give_up(m, &e);
}

static bool has_news(const struct glim_model *m)
{
    return m->habits.path && m->model.experts.store && m->model.experts.uses.tokens > 0;
}

void habits_step(struct glim_model *m)
{
    if (has_news(m) && now_ns() - m->habits.saved_ns >= SAVE_NS)
        save(m, WAIT_MS);
}

void habits_end(struct glim_model *m)
{
    if (has_news(m))
        save(m, WAIT_LAST_MS);
    habits_deinit(m);
}
