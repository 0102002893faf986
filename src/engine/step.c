/* step.c - see step.h. */
#include "engine/step.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"

uint64_t stepper_bytes(const struct glim_model *m, const struct stepper_shape *s, bool streamed)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t own = s->rows * sizeof(struct row)
                         + s->logit_rows * (c->vocab + c->hidden) * sizeof(float)
                         + (uint64_t)s->samplers * sampler_bytes(c->vocab);
    return plan_add(own, forward_plan(&m->model, s->rows, s->context, pool_threads(m->pool),
                                      streamed));
}

int stepper_init(struct stepper *w, struct glim_model *m, const struct stepper_shape *s, bool mtp,
                 struct err *e)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t F = sizeof(float);
    *w = (struct stepper){.rows = s->rows, .logit_rows = s->logit_rows};
    if (forward_init(&w->forward, &m->model, m->pool, s->rows, s->context, e) != 0)
        return e->code;
    w->forward.stages = &m->stages;
    w->row = mem_zalloc(s->rows, sizeof *w->row);
    w->many = mem_zalloc(s->logit_rows * c->vocab, F);
    w->many_mtp = mem_zalloc(mtp ? LOGIT_ROWS * c->vocab : 1, F);
    w->hidden = mem_zalloc(s->logit_rows * c->hidden, F);
    w->sampler = mem_zalloc((size_t)s->samplers, sizeof *w->sampler);
    if (!w->row || !w->many || !w->many_mtp || !w->hidden || !w->sampler)
        return err_nomem(e, "step", stepper_bytes(m, s, false));
    for (; w->samplers < s->samplers; w->samplers++) {
        if (sampler_init(&w->sampler[w->samplers], c->vocab, e) != 0)
            return e->code;
    }
    return GLIM_OK;
}

void stepper_deinit(struct stepper *w)
{
    for (int i = 0; i < w->samplers; i++)
        sampler_deinit(&w->sampler[i]);
    free(w->sampler);
    forward_deinit(&w->forward);
    free(w->row);
    free(w->many);
    free(w->many_mtp);
    free(w->hidden);
    *w = (struct stepper){0};
}

/* Logits of the spans that want them, in one product. */
static int span_logits(struct stepper *w, struct span *span, size_t n, enum kernel_role role,
                       struct err *e)
{
    const struct model_config *const c = &w->forward.m->cfg;
    size_t wanted = 0, end = 0;
    for (size_t i = 0; i < n; i++) {
        end += span[i].n;
        span[i].logits = NULL;
        if (!span[i].wants_logits)
            continue;
        assert(wanted < w->logit_rows);
        memcpy(w->hidden + wanted * c->hidden, w->forward.final + (end - 1) * c->hidden,
               c->hidden * sizeof *w->hidden);
        span[i].logits = w->many + wanted++ * c->vocab;
    }
    return wanted ? forward_logits(&w->forward, w->hidden, wanted, role, w->many, e) : GLIM_OK;
}

/* Tokens behind their timelines, and a row for each. */
static int lay_spans(struct stepper *w, struct span *span, size_t n, enum kernel_role role,
                     size_t *rows, struct err *e)
{
    const bool pairs = role == ROLE_PREFILL;
    for (size_t i = 0; i < n; i++) {
        struct glim_session *const s = span[i].session;
        const bool fill = pairs || session_late_pairs(s) + span[i].n > LATE_MAX;
        assert(s->w == w && span[i].n > 0 && span[i].n <= s->kv.capacity - s->kv.length);
        if (session_lay(s, span[i].token, span[i].n, role, fill, e) != 0)
            return e->code;
    }
    size_t T = 0; /* only now: laying may have taken steps of its own */
    for (size_t i = 0; i < n; i++) {
        struct glim_session *const s = span[i].session;
        for (size_t t = 0; t < span[i].n; t++)
            w->row[T++] = (struct row){&s->kv, s->kv.length + t, span[i].token[t]};
    }
    *rows = T;
    return GLIM_OK;
}

/* States of the step, and for prompts the MTP layer's pairs. */
static int keep_spans(struct span *span, size_t n, bool pairs, struct err *e)
{
    size_t first = 0;
    for (size_t i = 0; i < n; first += span[i++].n)
        session_keep(span[i].session, span[i].session->kv.length, first, span[i].n);
    for (size_t i = 0; i < n; i++) {
        struct glim_session *const s = span[i].session;
        if (s->mtp && pairs
            && session_fill(s, s->kv.mtp_length, s->kv.length + span[i].n - 1, e) != 0)
            return e->code;
    }
    return GLIM_OK;
}

int step_spans(struct stepper *w, struct span *span, size_t n, enum kernel_role role,
               struct err *e)
{
    const bool pairs = role == ROLE_PREFILL;
    size_t rows = 0;
    if (lay_spans(w, span, n, role, &rows, e) != 0
        || forward_rows(&w->forward, w->row, rows, role, e) != 0
        || span_logits(w, span, n, role, e) != 0 || keep_spans(span, n, pairs, e) != 0
        || session_check(span[0].session, e) != 0)
        return e->code;
    for (size_t i = 0; i < n; i++)
        session_grow(span[i].session, span[i].n, pairs);
    habits_step(span[0].session->model);
    return GLIM_OK;
}
