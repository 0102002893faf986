/* placement.c - where the weights live (weights/plan.h decides), when the first session says how
 * much memory it takes; and the account of the sessions after it.
 *
 *   P1  weights held, experts' slots and sessions together never take more than the budget: who
 *       comes later takes of the slots, down to those one token uses in a layer, or is refused.
 */
#include "engine/engine.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/util.h"
#include "weights/resident.h"
#include "weights/store.h"
#include "weights/windows.h"

enum { READS = 32 }; /* in flight */

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
    if (placement_always(m, mtp, &always, &n, e) != 0)
        return e->code;
    const struct stretch slots = store_memory(m->model.experts.store);
    const int rc = resident_load(&m->resident, &m->weights, reader, always, n, &slots,
                                 on_progress, m, e);
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
    if (reader_open_with(out, READS, &read_drive, self, e) != 0)
        return e->code;
    if (windows_open_files(&m->weights, *out, e) != 0) {
        reader_close(*out);
        return e->code;
    }
    return GLIM_OK;
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

/* The best chunk for this drive and these threads, and the plan with it. */
static void choose_chunk(const struct glim_model *m, struct reader *reader,
                         struct session_shape *s, struct plan_need *need, struct plan *p)
{
    const struct glim_drive_model *const d = &m->placement.drive;
    struct chunk_speeds v = {
        .ram_bytes_per_s = ASSUMED_RAM_GB_S * 1e9,
        .drive_bytes_per_s = (d->gb_s > 0 ? d->gb_s : ASSUMED_DISK_GB_S) * 1e9,
        .latency_s = (d->gb_s > 0 ? d->latency_us : ASSUMED_LATENCY_US) * 1e-6,
    };
    if (s->chunk == s->context)
        return;
    v.flop_per_s = chunk_flop_s(m);
    if (!(d->gb_s > 0))
        chunk_drive(m, reader, &v);
    s->chunk = chunk_choose(m, s, 1, need, &v);
    placement_need_of(m, s, 1, need);
    plan_make(need, p);
}

/* Takes the reader. */
static int stream(struct glim_model *m, struct reader *reader, bool mtp,
                  const struct slot_classes *k, const struct plan *p, struct err *e)
{
    struct store **const store = &m->model.experts.store;
    const bool simulated = m->placement.drive.gb_s > 0;
    struct reader *of_store = reader;
    if (simulated && open_simulated(m, &of_store, e) != 0) {
        reader_close(reader);
        return e->code;
    }
    int rc = store_open(store, &m->weights, &m->model.experts, k, m->model.cfg.experts_used,
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

/* Experts are not looked at where all fits. */
static int decide(const struct glim_model *m, const struct session_shape *s, uint64_t budget,
                  struct slot_classes *k, struct plan_need *need, struct plan *p, struct err *e)
{
    placement_need(m, s, 1, budget, k, need);
    plan_make(need, p);
    if (p->place == PLAN_MAPPED)
        return GLIM_OK;
    if (slot_classes_init(k, &m->weights, &m->model.experts, e) != 0)
        return e->code;
    placement_need(m, s, 1, budget, k, need);
    plan_make(need, p);
    return p->place == PLAN_REFUSED ? placement_refuse(m, s, need, p, e) : GLIM_OK;
}

static void notice_unused(struct glim_model *m)
{
    if (m->mirrors)
        model_notice(m, "mirrors are not used: all of the model fits into memory");
    if (m->sums_folder)
        model_notice(m, "reads are not checked: all of the model fits into memory");
}

static int place(struct glim_model *m, struct session_shape *s, uint64_t *bytes, struct err *e)
{
    struct placement *const x = &m->placement;
    const uint64_t budget = placement_budget(x->ram_bytes);
    const bool choose = s->chunk == 0;
    struct reader *reader;
    struct slot_classes classes = {0};
    struct plan_need need;
    struct plan p;
    if (choose)
        s->chunk = chunk_least(s->context);
    int rc = decide(m, s, budget, &classes, &need, &p, e);
    const bool streamed = p.place == PLAN_STREAMED;
    if (rc == 0 && !streamed)
        notice_unused(m);
    else if (rc == 0 && (rc = open_reader(m, &reader, e)) == 0) {
        if (choose)
            choose_chunk(m, reader, s, &need, &p);
        rc = stream(m, reader, s->mtp, &classes, &p, e);
    }
    slot_classes_deinit(&classes);
    if (rc != 0)
        return rc;
    *bytes = streamed ? need.session_bytes : need.mapped_session_bytes;
    m->model.experts.streamed = streamed;
    x->place = p.place;
    x->mtp = s->mtp;
    x->budget_bytes = budget;
    x->weight_bytes = streamed ? need.always_bytes : need.mapped_bytes;
    x->least_room_bytes = streamed ? p.least_room_bytes : 0;
    x->session_bytes = *bytes;
    x->chunk = s->chunk;
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

/* What another session takes. */
static uint64_t another_total(const struct glim_model *m, const struct session_shape *s)
{
    const struct placement *const x = &m->placement;
    const bool streamed = x->place == PLAN_STREAMED;
    const uint64_t n = placement_session_bytes(m, s, streamed);
    if (!s->mtp || x->mtp)
        return n;
    /* the draft layer, which was not counted, is used as mapped */
    return plan_add(n, streamed ? x->always_bytes[1] - x->always_bytes[0]
                                : placement_mapped_bytes(m, true)
                                      - placement_mapped_bytes(m, false));
}

int placement_enter(struct glim_model *m, struct session_shape *s, uint64_t *bytes, struct err *e)
{
    struct placement *const x = &m->placement;
    const double gib = 1 << 30;
    *bytes = 0;
    if (x->place == PLAN_REFUSED)
        return place(m, s, bytes, e);
    if (check_reads(m, e) != 0)
        return e->code;
    const uint64_t taken = x->weight_bytes + x->least_room_bytes + x->session_bytes;
    const uint64_t left = x->budget_bytes - min_u64(x->budget_bytes, taken);
    const uint64_t least = s->chunk ? s->chunk : chunk_least(s->context);
    if (!s->chunk) /* the first one's, as far as there is room */
        s->chunk = max_u64(min_u64(x->chunk, s->context), least);
    while (s->chunk > least && another_total(m, s) > left)
        s->chunk = max_u64(s->chunk / 2, least);
    const uint64_t n = another_total(m, s);
    if (n > left)
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
