/* placement.c - where the weights live (weights/plan.h decides), when the first session says how
 * much memory it takes; and the account of the sessions after it.
 *
 *   P1  weights held, experts' slots and sessions together never take more than the budget: who
 *       comes later takes of the slots, down to those one token uses in a layer, or is refused.
 */
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "base/util.h"
#include "weights/resident.h"
#include "weights/slots.h"
#include "weights/store.h"
#include "weights/windows.h"

enum { READS = 32 }; /* in flight */

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

int drive_check(const struct glim_drive_model *d, struct err *e)
{
    enum { DEPTH_MAX = 65536 };
    if (!(d->gb_s >= 0 && d->gb_s < 1e6))
        return err_set(e, GLIM_EINVAL, "drive: %g GB/s, expected 0 to 1e6", d->gb_s);
    if (!(d->latency_us >= 0 && d->latency_us <= 1e6))
        return err_set(e, GLIM_EINVAL, "drive: latency of %g us, expected 0 to 1e6",
                       d->latency_us);
    if (d->depth > DEPTH_MAX)
        return err_set(e, GLIM_EINVAL, "drive: depth %u, expected at most %d", d->depth,
                       DEPTH_MAX);
    return GLIM_OK;
}

/* ---- what it needs ---- */

/* Those that every token reads: the caller frees *out. */
static int list_always(struct glim_model *m, bool mtp, struct matrix ***out, size_t *n,
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
        if (list_always(m, mtp, &always, &n, e) != 0)
            return e->code;
        const int rc = resident_bytes(&m->weights, always, n, &m->placement.always_bytes[mtp], e);
        free(always);
        if (rc != 0)
            return rc;
    }
    return GLIM_OK;
}

/* All that is used, as it stands in the files. */
static uint64_t mapped_bytes(const struct glim_model *m, bool mtp)
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

static uint64_t session_total(const struct glim_model *m, const struct session_shape *s,
                              bool streamed)
{
    const struct session_sizes x = session_sizes(m, s, streamed);
    return plan_add(plan_add(x.cache, x.drafts), x.work);
}

static void need_of_sessions(const struct glim_model *m, const struct session_shape *s,
                             uint64_t sessions, struct plan_need *need)
{
    need->mapped_bytes = m->placement.stream_always ? UINT64_MAX : mapped_bytes(m, s->mtp);
    need->always_bytes = m->placement.always_bytes[s->mtp];
    need->mapped_session_bytes = plan_mul(session_total(m, s, false), sessions);
    need->session_bytes = plan_mul(session_total(m, s, true), sessions);
}

int placement_need(const struct glim_model *m, const struct session_shape *s, uint64_t sessions,
                   uint64_t budget, struct plan_need *out, struct err *e)
{
    const struct experts *const x = &m->model.experts;
    *out = (struct plan_need){
        .budget_bytes = budget,
        .experts_per_layer = x->per_layer,
        .experts_used = m->model.cfg.experts_used,
        .class = mem_zalloc(x->layers, sizeof *out->class),
    };
    if (!out->class)
        return err_nomem(e, "classes of experts", x->layers * sizeof *out->class);
    out->classes = slots_classes(&m->weights, x, out->class, NULL);
    need_of_sessions(m, s, sessions, out);
    return GLIM_OK;
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
    need_of_sessions(q->m, &s, q->sessions, &need);
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

static int refuse(const struct glim_model *m, const struct session_shape *s,
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

/* ---- the first session ---- */

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct glim_model *const m = ctx;
    if (m->progress)
        m->progress(m->progress_ctx, "always-on weights", done, total);
}

static int load_always(struct glim_model *m, bool mtp, struct reader *reader, struct err *e)
{
    struct matrix **always;
    size_t n;
    if (list_always(m, mtp, &always, &n, e) != 0)
        return e->code;
    const int rc =
        resident_load(&m->resident, &m->weights, reader, always, n, on_progress, m, e);
    free(always);
    return rc;
}

static int open_reader(struct glim_model *m, struct reader **out, struct err *e)
{
    if (reader_open(out, READS, e) != 0)
        return e->code;
    if (windows_open_files(&m->weights, *out, e) != 0 || mirrors_attach(m, *out, e) != 0) {
        reader_close(*out);
        return e->code;
    }
    return GLIM_OK;
}

/* A simulated drive brings nothing: experts are used as mapped, and should be in the system's cache
 * by then. */
static int open_simulated(struct glim_model *m, struct reader **out, struct err *e)
{
    const struct glim_drive_model *const d = &m->placement.drive;
    const struct drive_model model = {
        .bytes_per_s = d->gb_s * 1e9,
        .latency_ns = (uint64_t)(d->latency_us * 1e3),
        .depth = d->depth ? d->depth : READS,
    };
    void *const self = read_drive_new(&model, READS);
    if (!self)
        return err_nomem(e, "simulated drive", model.depth * sizeof(uint64_t));
    for (uint32_t i = 0; i < tensorfile_maps(m->weights.file); i++) {
        const struct io_map *const map = tensorfile_map(m->weights.file, i);
        (void)madvise((void *)(uintptr_t)map->data, (size_t)map->size, MADV_POPULATE_READ);
    }
    return reader_open_with(out, READS, &read_drive, self, e);
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

static int stream(struct glim_model *m, bool mtp, const struct plan *p, struct err *e)
{
    struct store **const store = &m->model.experts.store;
    const bool simulated = m->placement.drive.gb_s > 0;
    struct reader *reader, *of_store;
    if (open_reader(m, &reader, e) != 0)
        return e->code;
    of_store = reader;
    if (simulated && open_simulated(m, &of_store, e) != 0) {
        reader_close(reader);
        return e->code;
    }
    int rc = store_open(store, &m->weights, &m->model.experts, m->model.cfg.experts_used,
                        p->room_bytes, of_store, e);
    const bool opened = rc == 0;
    /* Last: it cannot be undone, and a session that was refused leaves the model as it was. */
    if (opened)
        rc = load_always(m, mtp, reader, e);
    if (simulated)
        reader_close(reader);
    if (opened && rc != 0) {
        store_close(*store);
        *store = NULL;
    }
    m->reader = rc == 0 ? of_store : NULL;
    if (rc == 0)
        habits_begin(m);
    return rc;
}

static int place(struct glim_model *m, const struct session_shape *s, uint64_t *bytes,
                 struct err *e)
{
    struct placement *const x = &m->placement;
    const uint64_t budget = placement_budget(x->ram_bytes);
    struct plan_need need;
    struct plan p;
    if (placement_need(m, s, 1, budget, &need, e) != 0)
        return e->code;
    plan_make(&need, &p);
    int rc = p.place == PLAN_REFUSED ? refuse(m, s, &need, &p, e) : GLIM_OK;
    if (p.place == PLAN_STREAMED)
        rc = stream(m, s->mtp, &p, e);
    if (p.place == PLAN_MAPPED && m->mirrors)
        model_notice(m, "mirrors are not used: all of the model fits into memory");
    if (p.place == PLAN_MAPPED && m->sums_folder)
        model_notice(m, "reads are not checked: all of the model fits into memory");
    const bool streamed = p.place == PLAN_STREAMED;
    *bytes = streamed ? need.session_bytes : need.mapped_session_bytes;
    free(need.class);
    if (rc != 0)
        return rc;
    m->model.experts.streamed = streamed;
    x->place = p.place;
    x->mtp = s->mtp;
    x->budget_bytes = budget;
    x->weight_bytes = streamed ? need.always_bytes : need.mapped_bytes;
    x->least_room_bytes = streamed ? p.least_room_bytes : 0;
    x->session_bytes = *bytes;
    return check_reads(m, e);
}

/* ---- sessions after it ---- */

/* What experts may have now. */
static void share_room(struct glim_model *m)
{
    const struct placement *const x = &m->placement;
    if (m->model.experts.store)
        store_resize(m->model.experts.store,
                     x->budget_bytes - x->weight_bytes - x->session_bytes);
}

int placement_enter(struct glim_model *m, const struct session_shape *s, uint64_t *bytes,
                    struct err *e)
{
    struct placement *const x = &m->placement;
    const double gib = 1 << 30;
    *bytes = 0;
    if (x->place == PLAN_REFUSED)
        return place(m, s, bytes, e);
    if (check_reads(m, e) != 0)
        return e->code;
    const bool streamed = x->place == PLAN_STREAMED;
    uint64_t n = session_total(m, s, streamed);
    if (s->mtp && !x->mtp) /* the draft layer, which was not counted, is used as mapped */
        n = plan_add(n, streamed ? x->always_bytes[1] - x->always_bytes[0]
                                    : mapped_bytes(m, true) - mapped_bytes(m, false));
    const uint64_t taken = x->weight_bytes + x->least_room_bytes + x->session_bytes;
    if (n > x->budget_bytes - min_u64(x->budget_bytes, taken))
        return err_set(e, GLIM_ELIMIT,
                       "memory: %.2f GiB, of which %.2f are for weights, %.2f for one layer's "
                       "experts and %.2f for the sessions there are; this one needs %.2f more: "
                       "give it a shorter context, end another, or allow more memory",
                       (double)x->budget_bytes / gib, (double)x->weight_bytes / gib,
                       (double)x->least_room_bytes / gib, (double)x->session_bytes / gib,
                       (double)n / gib);
    *bytes = n;
    x->session_bytes += n;
    share_room(m);
    return GLIM_OK;
}

void placement_leave(struct glim_model *m, uint64_t bytes)
{
    m->placement.session_bytes -= bytes;
    if (bytes)
        share_room(m);
}
