/* bench_text.c - see bench.h. The table for people. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/out.h"

/* Right-aligned in `width`; "-" if it is not a number. */
static void print_number(int width, int places, double v)
{
    if (isfinite(v))
        out_text("%*.*f", width, places, v);
    else
        out_text("%*s", width, "-");
}

static void print_percent(int width, double share)
{
    if (isfinite(share))
        out_text("%*.0f%%", width - 1, 100 * share);
    else
        out_text("%*s", width, "-");
}

static void print_row(const struct bench *b, const struct bench_row *r)
{
    char name[BENCH_NAME_LEN], spread[64];
    const struct bench_figures f = bench_figures(b, r);
    const int places = f.median < 100 ? 2 : 1;
    (void)snprintf(spread, sizeof spread, "%.*f - %.*f", places, f.least, places, f.most);
    out_text("%-20s%8d", bench_name(r, name), r->threads);
    print_number(11, places, f.median);
    out_text("   %-17s", spread);
    print_number(7, 1, f.gb_s);
    print_percent(9, f.bandwidth_share);
    print_number(9, 3, f.flop_s / 1e12);
    print_percent(8, f.peak_share);
    out_text("\n");
}

/* A row's drafts against the row above, which generated without. */
static void print_drafts(const struct bench *b, const struct bench_row *r)
{
    char name[BENCH_NAME_LEN];
    out_text("%s: %.2f times the speed; in the last round %llu verifications, %.2f drafts accepted "
             "in each\n",
             bench_name(r, name), bench_figures(b, r).median / bench_figures(b, r - 1).median,
             (unsigned long long)r->usage.verifications, bench_accepted(r));
}

static void print_limits(const struct bench_row *r)
{
    out_text("%d thread%s: memory reads at %.1f GB/s, the multiplier does %.3f TFLOP/s\n",
             r->threads, r->threads == 1 ? "" : "s", r->read_bandwidth_gb_s, r->peak_flop_s / 1e12);
}

/* What came from disk for a row. */
static void print_disk(const struct bench_row *r)
{
    char name[BENCH_NAME_LEN], bytes[HUMAN_LEN];
    const struct bench_disk d = bench_disk(r);
    if (!isfinite(d.gb_s))
        return;
    out_text("%s: %.0f%% of experts were in memory, a token reads %s from disk; %.2f GB/s of the "
             "%.2f that the drive gives (%.0f%%), %.0f%% of the time only waiting for it\n",
             bench_name(r, name), 100 * d.hit_rate,
             human_bytes(bytes, (uint64_t)d.bytes_per_token), d.gb_s, r->drive_gb_s, 100 * d.share,
             100 * d.wait_share);
}

static int stage_width(const char *name)
{
    const int len = (int)strlen(name);
    return len < 6 ? 8 : len + 2;
}

static void print_ms(const char *stage, double ms)
{
    print_number(stage_width(stage), ms < 10 ? 3 : ms < 100 ? 2 : 1, ms);
}

static void print_stages(const struct bench *b)
{
    static const char waiting[] = "waiting";
    out_text("\n%-20s%8s", "ms a token", "threads");
    for (size_t s = 0; s < b->row[0].stages.stages; s++)
        out_text("%*s", stage_width(b->row[0].stages.stage[s].name),
                 b->row[0].stages.stage[s].name);
    out_text("  %s\n", waiting);
    for (size_t i = 0; i < b->done; i++) {
        const struct bench_row *const r = &b->row[i];
        char name[BENCH_NAME_LEN];
        out_text("%-20s%8d", bench_name(r, name), r->threads);
        for (size_t s = 0; s < r->stages.stages; s++)
            print_ms(r->stages.stage[s].name, bench_work_ms(r, s));
        print_ms(waiting, bench_all_wait_ms(r));
        out_text("\n");
    }
}

void bench_text(const struct bench *b)
{
    char size[HUMAN_LEN], parameters[HUMAN_LEN], bytes[HUMAN_LEN];
    const struct glim_model_info *const i = glim_model_info(b->model);
    out_text("%s: %s, %s parameters, a token reads %s; %s, medians of %llu\n\n", i->name,
             human_bytes(size, i->tensor_bytes), human_params(parameters, i->total_parameters),
             human_bytes(bytes, i->bytes_per_token), i->isa, (unsigned long long)b->o->reps);
    out_text("%-20s%8s%11s   %-17s%7s%9s%9s%8s\n", "test", "threads", "tokens/s", "least - most",
             "GB/s", "of read", "TFLOP/s", "of peak");
    for (size_t k = 0; k < b->done; k++)
        print_row(b, &b->row[k]);
    out_text("\n");
    for (size_t k = 0; k < b->done; k++)
        if (b->row[k].kind == BENCH_DRAFTS)
            print_drafts(b, &b->row[k]);
    for (size_t k = 0; k < b->done; k++)
        if (k + 1 == b->done || b->row[k + 1].threads != b->row[k].threads)
            print_limits(&b->row[k]);
    if (b->o->drive.gb_s > 0)
        out_text("the drive is simulated: %g GB/s, %g us; experts came from the system's cache as "
                 "late as from it\n",
                 b->o->drive.gb_s, b->o->drive.latency_us);
    for (size_t k = 0; k < b->done; k++)
        print_disk(&b->row[k]);
    print_stages(b);
}
