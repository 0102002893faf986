/* bench_row.c - see bench.h. What the figures of a row mean. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Operations of a test: two a parameter and token, but the head's for the last token of a prompt
 * only. */
static double operations(const struct glim_model_info *i, const struct bench_row *r)
{
    double head = 0;
    for (size_t s = 0; s < r->stages.stages; s++)
        if (strcmp(r->stages.stage[s].name, "head") == 0)
            head = (double)r->stages.stage[s].parameters;
    const double n = (double)r->tokens, logits = r->kind == BENCH_PROMPT ? 1 : n;
    return 2 * (((double)i->active_parameters - head) * n + head * logits);
}

struct bench_figures bench_figures(const struct bench *b, const struct bench_row *r)
{
    const struct glim_model_info *const i = glim_model_info(b->model);
    const size_t n = (size_t)b->o->reps;
    double sorted[1000]; /* the most that --reps takes */
    memcpy(sorted, r->tok_s, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    struct bench_figures f = {
        .median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2,
        .least = sorted[0],
        .most = sorted[n - 1],
        .gb_s = (double)NAN,
        .bandwidth_share = (double)NAN,
        .flop_s = (double)NAN,
        .peak_share = (double)NAN,
    };
    if (r->kind == BENCH_DECODE) {
        f.gb_s = f.median * (double)i->bytes_per_token / 1e9;
        f.bandwidth_share = f.gb_s / r->read_bandwidth_gb_s;
    }
    if (r->kind != BENCH_DRAFTS) {
        f.flop_s = operations(i, r) / (double)r->tokens * f.median;
        f.peak_share = f.flop_s / r->peak_flop_s;
    }
    return f;
}

struct bench_disk bench_disk(const struct bench_row *r)
{
    const struct glim_streaming *const d = &r->disk;
    double ns = 0;
    for (size_t s = 0; s < r->stages.stages; s++)
        ns += (double)(r->stages.stage[s].work_ns + r->stages.stage[s].wait_ns);
    if (!(r->drive_gb_s > 0 && d->wanted && ns > 0)) {
        const double none = (double)NAN;
        return (struct bench_disk){none, none, none, none, none};
    }
    return (struct bench_disk){
        .hit_rate = (double)d->hits / (double)d->wanted,
        .bytes_per_token = (double)d->read_bytes / (double)r->stage_tok,
        .gb_s = (double)d->read_bytes / ns,
        .share = (double)d->read_bytes / ns / r->drive_gb_s,
        .wait_share = (double)d->wait_ns / ns,
    };
}

static double ms_a_token(const struct bench_row *r, uint64_t ns)
{
    return r->stage_tok ? (double)ns / 1e6 / (double)r->stage_tok : (double)NAN;
}

double bench_work_ms(const struct bench_row *r, size_t stage)
{
    return ms_a_token(r, r->stages.stage[stage].work_ns);
}

double bench_wait_ms(const struct bench_row *r, size_t stage)
{
    return ms_a_token(r, r->stages.stage[stage].wait_ns);
}

double bench_all_wait_ms(const struct bench_row *r)
{
    uint64_t ns = 0;
    for (size_t s = 0; s < r->stages.stages; s++)
        ns += r->stages.stage[s].wait_ns;
    return ms_a_token(r, ns);
}

double bench_accepted(const struct bench_row *r)
{
    const struct glim_usage *const u = &r->usage;
    return u->verifications ? (double)u->accepted_tok / (double)u->verifications : 0;
}

const char *bench_name(const struct bench_row *r, char name[BENCH_NAME_LEN])
{
    const int n = snprintf(name, BENCH_NAME_LEN, "%s%llu%s", r->kind == BENCH_PROMPT ? "pp" : "tg",
                           (unsigned long long)r->tokens, r->kind == BENCH_DRAFTS ? " +mtp" : "");
    if (r->depth)
        (void)snprintf(name + n, (size_t)(BENCH_NAME_LEN - n), " @ d%llu",
                       (unsigned long long)r->depth);
    return name;
}
