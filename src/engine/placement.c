/* placement.c - where the weights live, decided when the first session says how much memory it
 * takes: all mapped, if all fits into the budget; else what every token reads in memory of our
 * own, and experts in the room that is left.
 */
#include "engine/engine.h"

#include <stdlib.h>

#include "base/util.h"
#include "weights/resident.h"
#include "weights/slots.h"
#include "weights/store.h"
#include "weights/windows.h"

enum { READS = 32 }; /* in flight */

/* Left to the rest of the system where the budget is not given. */
static const uint64_t RESERVE = (uint64_t)1 << 30;
enum { RESERVE_PART = 20 };

static uint64_t budget_of(const struct glim_model *m)
{
    const uint64_t there = cpu_memory_available_bytes();
    const uint64_t kept = max_u64(RESERVE, there / RESERVE_PART);
    return m->ram_bytes ? m->ram_bytes : there > kept ? there - kept : 0;
}

static uint64_t all_weights(const struct glim_model *m)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->groups; i++)
        bytes += m->group[i].bytes;
    return bytes;
}

struct parts { /* of the budget */
    struct matrix **always; /* [n] */
    size_t n;
    uint64_t budget, always_bytes, session_bytes, expert_bytes; /* the last: of one */
};

static int refuse(const struct parts *p, uint64_t experts, struct err *e)
{
    const double gib = 1 << 30;
    const uint64_t fixed = p->always_bytes + p->session_bytes;
    return err_set(e, GLIM_ELIMIT,
                   "memory: %.2f GiB, this needs at least %.2f (%llu bytes): %.2f for always-on "
                   "weights, %.2f for the session, %.2f for one layer's experts",
                   (double)p->budget / gib, (double)(fixed + experts) / gib,
                   (unsigned long long)(fixed + experts), (double)p->always_bytes / gib,
                   (double)p->session_bytes / gib, (double)experts / gib);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct glim_model *const m = ctx;
    if (m->progress)
        m->progress(m->progress_ctx, "always-on weights", done, total);
}

static int stream(struct glim_model *m, struct parts *p, struct err *e)
{
    if (resident_bytes(&m->weights, p->always, p->n, &p->always_bytes, e) != 0)
        return e->code;
    const uint64_t experts = m->model.cfg.experts_used * p->expert_bytes;
    if (p->budget < p->always_bytes + p->session_bytes + experts)
        return refuse(p, experts, e);
    struct reader *reader;
    if (reader_open(&reader, READS, e) != 0)
        return e->code;
    if (windows_open_files(&m->weights, reader, e) != 0 || mirrors_attach(m, reader, e) != 0) {
        reader_close(reader);
        return e->code;
    }
    struct store **const store = &m->model.experts.store;
    const uint64_t room = p->budget - p->always_bytes - p->session_bytes;
    if (store_open(store, &m->weights, &m->model.experts, room, reader, e) != 0)
        return e->code;
    /* Last: it cannot be undone, and a session that was refused leaves the model as it was. */
    if (resident_load(&m->resident, &m->weights, reader, p->always, p->n, on_progress, m, e) != 0) {
        store_close(*store);
        *store = NULL;
        return e->code;
    }
    m->reader = reader;
    habits_begin(m);
    return GLIM_OK;
}

/* The largest of any layer. */
static uint64_t largest_expert(const struct glim_model *m)
{
    uint64_t bytes = 0;
    for (uint64_t l = 0; l < m->model.experts.layers; l++)
        bytes = max_u64(bytes, slots_bytes(&m->weights, &m->model.experts, l));
    return bytes;
}

static int on_sums(void *ctx, uint64_t done, uint64_t total)
{
    const struct glim_model *const m = ctx;
    if (m->progress)
        m->progress(m->progress_ctx, "checksums of experts", done, total);
    return m->stop ? m->stop(m->progress_ctx) : 0;
}

/* Makes the checksums that are missing, if reads are to be checked. Where that fails, the next
 * session tries again. */
static int check_reads(struct glim_model *m, struct err *e)
{
    struct sums *sums;
    struct store *const store = m->model.experts.store;
    if (!store || !m->sums_folder || store_checks_reads(store))
        return GLIM_OK;
    if (sums_open(&sums, &m->weights, &m->model.experts, m->sums_folder, e) != 0)
        return e->code;
    if (sums_build(sums, store, on_sums, m, e) != 0) {
        sums_close(sums);
        return e->code;
    }
    store_check_reads(store, sums);
    return GLIM_OK;
}

int placement_make(struct glim_model *m, const struct placement_session *s, struct err *e)
{
    struct parts p = {.budget = budget_of(m), .n = model_matrices(&m->model, s->mtp, NULL)};
    if (m->placed || m->model.experts.layers == 0)
        return check_reads(m, e);
    uint64_t cache;
    if (!mul_u64(s->context, s->cache_bytes_per_token, &cache))
        cache = UINT64_MAX / 4;
    const uint64_t rest = session_draft_bytes(&m->model.cfg, s->rows);
    const uint64_t mapped = forward_plan(&m->model, s->rows, s->context, pool_threads(m->pool));
    if (!m->stream_always && all_weights(m) + cache + rest + mapped <= p.budget) {
        m->placed = true;
        if (m->mirrors)
            model_notice(m, "mirrors are not used: all of the model fits into memory");
        if (m->sums_folder)
            model_notice(m, "reads are not checked: all of the model fits into memory");
        return GLIM_OK;
    }
    m->model.experts.streamed = true;
    p.session_bytes =
        cache + rest + forward_plan(&m->model, s->rows, s->context, pool_threads(m->pool));
    p.expert_bytes = largest_expert(m);
    p.always = mem_zalloc(p.n, sizeof *p.always);
    if (p.always)
        (void)model_matrices(&m->model, s->mtp, p.always);
    const int rc = p.always ? stream(m, &p, e)
                            : err_nomem(e, "list of matrices", p.n * sizeof *p.always);
    free(p.always);
    m->placed = rc == 0;
    m->model.experts.streamed = rc == 0;
    return rc == 0 ? check_reads(m, e) : rc;
}
