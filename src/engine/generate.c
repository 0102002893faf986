/* generate.c - an answer of one session: draw, hand the text out, append, until something says
 * stop. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/output.h"
#include "engine/speculate.h"

static int need_logits(const struct glim_session *s, struct err *e)
{
    if (s->logits_valid)
        return GLIM_OK;
    return err_set(e, GLIM_EINVAL,
                   "sample: no logits (the timeline is empty or was just rewound)");
}

int glim_session_sample(glim_session *s, const struct glim_sampling *g, int32_t *token,
                        struct glim_error *err)
{
    struct err e = {0};
    struct glim_sampling full = GLIM_SAMPLING_INIT;
    memcpy(&full, g, g->size < sizeof full ? g->size : sizeof full);
    struct sample_params p;
    struct sample_bias bias[BIASES_MAX];
    int rc = sampling_read(&full, s->model->model.cfg.vocab, &p, bias, &e);
    const struct drawing d = drawing_of(&full, &p, s->kv.length);
    if (rc == 0)
        rc = need_logits(s, &e);
    if (rc == 0)
        *token = session_draw(s, s->w->sampler, &d, s->logits, s->kv.length);
    return give(err, &e, rc);
}

static int loop(struct output *x, struct speculation *spec, struct err *e)
{
    struct glim_session *const s = x->s;
    bool more = true;
    while (more && x->usage.output_tok < x->most) {
        bool keep;
        if (need_logits(s, e) != 0)
            return e->code;
        const int32_t token = output_draw(x, s->w->sampler, s->logits);
        if (output_take(x, token, &keep, &more, e) != 0)
            return e->code;
        if (more && speculate_append(spec, token, x->most - x->usage.output_tok, e) != 0)
            return e->code;
        if (more)
            x->usage.generate_ns = now_ns() - x->begin_ns;
    }
    return GLIM_OK;
}

static int generate(struct glim_session *s, const struct glim_generate *g, struct glim_usage *u,
                    struct err *e)
{
    struct output *const x = malloc(sizeof *x);
    struct speculation spec = {0};
    if (!x)
        return err_nomem(e, "answer", sizeof *x);
    int rc = output_open(x, s, g, e);
    if (rc == 0)
        rc = speculate_begin(&spec, s, &x->drawing, g->drafts, e);
    if (rc == 0) {
        rc = loop(x, &spec, e);
        speculate_end(&spec);
    }
    if (rc == 0)
        rc = output_end(x, e);
    *u = x->usage;
    u->verifications = spec.verifications;
    u->drafted_tok = spec.drafted;
    u->accepted_tok = spec.accepted;
    output_close(x);
    free(x);
    return rc;
}

int glim_generate(glim_session *s, const struct glim_generate *g, struct glim_usage *usage,
                  struct glim_error *err)
{
    struct err e = {0};
    struct glim_generate full = GLIM_GENERATE_INIT;
    memcpy(&full, g, g->size < sizeof full ? g->size : sizeof full);
    struct glim_usage u;
    const int rc = generate(s, &full, &u, &e);
    /* A program from before there were drafts has a usage that ends where theirs begin. */
    const bool old = g->size <= offsetof(struct glim_generate, drafts);
    if (usage)
        memcpy(usage, &u, old ? offsetof(struct glim_usage, verifications) : sizeof u);
    return give(err, &e, rc);
}
