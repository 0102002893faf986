/* needs.c - what a model and its sessions need of memory (weights/plan.h decides what comes of it),
 * and what else would do where that is too much.
 */
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/util.h"
#include "weights/resident.h"

/* Left to the rest of the system where the budget is not given. */
static const uint64_t RESERVE = (uint64_t)1 << 30;
enum { RESERVE_PART = 20 };

uint64_t placement_budget(uint64_t ram_bytes)
{
    struct memory m;
    if (ram_bytes)
        return ram_bytes;
    memory_look("", &m);
    const uint64_t there = memory_usable(&m);
    const uint64_t kept = max_u64(RESERVE, there / RESERVE_PART);
    return there - min_u64(there, kept);
}

int placement_always(struct glim_model *m, bool mtp, struct matrix ***out, size_t *n,
                     struct err *e)
{
    *n = model_matrices(&m->model, mtp, NULL);
    *out = mem_zalloc(*n, sizeof **out);
    if (!*out)
        return err_nomem(e, "list of matrices", *n * sizeof **out);
    (void)model_matrices(&m->model, mtp, *out);
    return GLIM_OK;
}

int placement_measure(struct glim_model *m, struct err *e)
{
    for (int mtp = 0; mtp < 2; mtp++) {
        struct matrix **always;
        size_t n;
        if (placement_always(m, mtp, &always, &n, e) != 0)
            return e->code;
        const int rc = resident_bytes(&m->weights, always, n, &m->placement.always_bytes[mtp], e);
        free(always);
        if (rc != 0)
            return rc;
    }
    return GLIM_OK;
}

uint64_t placement_mapped_bytes(const struct glim_model *m, bool mtp)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->groups; i++) {
        const char *const name = m->group[i].name;
        const bool of_mtp = strcmp(name, tensor_group_name(GROUP_MTP)) == 0
                            || strcmp(name, tensor_group_name(GROUP_MTP_EXPERTS)) == 0;
        if (strcmp(name, tensor_group_name(GROUP_UNUSED)) != 0 && (mtp || !of_mtp))
            bytes += m->group[i].bytes;
    }
    return bytes;
}

uint64_t placement_session_bytes(const struct glim_model *m, const struct session_shape *s,
                                 bool streamed)
{
    const struct session_sizes x = session_sizes(m, s, streamed);
    return plan_add(plan_add(x.cache, x.drafts), x.work);
}

void placement_need_of(const struct glim_model *m, const struct session_shape *s,
                       uint64_t sessions, struct plan_need *need)
{
    need->mapped_bytes =
        m->placement.stream_always ? UINT64_MAX : placement_mapped_bytes(m, s->mtp);
    need->always_bytes = m->placement.always_bytes[s->mtp];
    need->mapped_session_bytes = plan_mul(placement_session_bytes(m, s, false), sessions);
    need->session_bytes = plan_mul(placement_session_bytes(m, s, true), sessions);
}

void placement_need(const struct glim_model *m, const struct session_shape *s, uint64_t sessions,
                    uint64_t budget, const struct slot_classes *k, struct plan_need *out)
{
    *out = (struct plan_need){
        .budget_bytes = budget,
        .experts_per_layer = m->model.experts.per_layer,
        .experts_used = m->model.cfg.experts_used,
        .class = k->class,
        .classes = k->n,
    };
    placement_need_of(m, s, sessions, out);
}

/* ---- what else would do ---- */

struct question {
    const struct glim_model *m;
    uint64_t sessions;
    const struct plan_need *need;
};

static bool would_run(const struct question *q, struct session_shape s)
{
    struct plan_need need = *q->need;
    struct plan p;
    placement_need_of(q->m, &s, q->sessions, &need);
    plan_make(&need, &p);
    return p.place != PLAN_REFUSED;
}

/* The longest context that runs, in steps that people write; 0: none does. */
static uint64_t longest_context(const struct question *q, struct session_shape s)
{
    enum { STEP = 256 };
    uint64_t no = s.context / STEP + 1, yes = 0;
    while (no - yes > 1) {
        const uint64_t mid = yes + (no - yes) / 2;
        s.context = mid * STEP;
        if (would_run(q, s))
            yes = mid;
        else
            no = mid;
    }
    return yes * STEP;
}

static uint64_t largest_chunk(const struct question *q, struct session_shape s)
{
    for (uint64_t chunk = 1024; chunk >= 16; chunk /= 2) {
        const bool less = chunk < s.chunk;
        struct session_shape with = s;
        with.chunk = chunk;
        if (less && would_run(q, with))
            return chunk;
    }
    return 0;
}

void placement_advise(const struct glim_model *m, const struct session_shape *s,
                      uint64_t sessions, const struct plan_need *need,
                      struct glim_plan_advice *out)
{
    const struct question q = {m, sessions, need};
    struct session_shape narrow = *s, plain = *s;
    narrow.kv = GLIM_KV_Q8;
    plain.mtp = false;
    *out = (struct glim_plan_advice){
        .context_tok = longest_context(&q, *s),
        .chunk_tok = largest_chunk(&q, *s),
        .kv_q8 = s->kv != GLIM_KV_Q8 && would_run(&q, narrow),
        .no_drafts = s->mtp && would_run(&q, plain),
    };
}

/* "; a context of 4096 tokens or a cache in q8 would do" */
static void advice_text(const struct glim_plan_advice *a, char *text, size_t size)
{
    char part[4][64];
    size_t n = 0, used = 0;
    text[0] = 0;
    if (a->context_tok)
        (void)snprintf(part[n++], sizeof part[0], "a context of %llu tokens",
                       (unsigned long long)a->context_tok);
    if (a->kv_q8)
        (void)snprintf(part[n++], sizeof part[0], "a cache in q8");
    if (a->chunk_tok)
        (void)snprintf(part[n++], sizeof part[0], "prompts in chunks of %llu tokens",
                       (unsigned long long)a->chunk_tok);
    if (a->no_drafts)
        (void)snprintf(part[n++], sizeof part[0], "no drafts");
    for (size_t i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s%s",
                                 i == 0 ? "; " : i + 1 < n ? ", " : " or ", part[i],
                                 i + 1 < n ? "" : " would do");
}

int placement_refuse(const struct glim_model *m, const struct session_shape *s,
                     const struct plan_need *need, const struct plan *p, struct err *e)
{
    const double gib = 1 << 30;
    struct glim_plan_advice advice;
    char text[320];
    placement_advise(m, s, 1, need, &advice);
    advice_text(&advice, text, sizeof text);
    return err_set(e, GLIM_ELIMIT,
                   "memory: %.2f GiB, this needs at least %.2f (%llu bytes): %.2f for always-on "
                   "weights, %.2f for the session, %.2f for one layer's experts%s",
                   (double)need->budget_bytes / gib, (double)p->least_bytes / gib,
                   (unsigned long long)p->least_bytes, (double)need->always_bytes / gib,
                   (double)need->session_bytes / gib, (double)p->least_room_bytes / gib, text);
}
