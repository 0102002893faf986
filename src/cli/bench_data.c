/* bench_data.c - see bench.h. The results for programs: one JSON document, or comma-separated
 * values. */
#include <math.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/out.h"

static const char *const kind_name[] = {"prompt", "decode", "drafts"};

/* ---- JSON ---- */

static struct json_object *runs_json(const struct bench *b, const struct bench_row *r)
{
    struct json_object *const list = json_object_new_array();
    for (uint64_t i = 0; i < b->o->reps; i++)
        json_object_array_add(list, json_real(r->tok_s[i]));
    return list;
}

static struct json_object *stages_json(const struct bench_row *r)
{
    struct json_object *const list = json_object_new_array();
    for (size_t s = 0; s < r->stages.stages; s++) {
        struct json_object *const j = json_object_new_object();
        json_add_text(j, "stage", r->stages.stage[s].name);
        json_add_real(j, "work_ms", bench_work_ms(r, s));
        json_add_real(j, "wait_ms", bench_wait_ms(r, s));
        json_add_u64(j, "bytes_per_token", r->stages.stage[s].bytes_per_token);
        json_add_u64(j, "parameters", r->stages.stage[s].parameters);
        json_object_array_add(list, j);
    }
    return list;
}

/* Of the model's own drive, and of each mirror. */
static struct json_object *drives_json(const struct bench_row *r, size_t mirrors)
{
    struct json_object *const list = json_object_new_array();
    for (size_t d = 0; d <= mirrors; d++)
        json_object_array_add(list, json_object_new_uint64(r->disk.drive_bytes[d]));
    return list;
}

static void add_disk(const struct bench *b, const struct bench_row *r, struct json_object *j)
{
    const struct bench_disk d = bench_disk(r);
    json_add_real(j, "hit_rate", d.hit_rate);
    json_add_real(j, "disk_bytes_per_token", d.bytes_per_token);
    json_add_real(j, "disk_gb_s", d.gb_s);
    json_add_real(j, "disk_share", d.share);
    json_add_real(j, "exposed_wait_share", d.wait_share);
    json_add_real(j, "drive_gb_s", r->drive_gb_s > 0 ? r->drive_gb_s : (double)NAN);
    if (b->o->mirror.n)
        json_object_object_add(j, "drive_bytes", drives_json(r, b->o->mirror.n));
}

static struct json_object *row_json(const struct bench *b, const struct bench_row *r)
{
    struct json_object *const j = json_object_new_object();
    const struct bench_figures f = bench_figures(b, r);
    char name[BENCH_NAME_LEN];
    json_add_text(j, "test", bench_name(r, name));
    json_add_text(j, "kind", kind_name[r->kind]);
    json_add_u64(j, "threads", (uint64_t)r->threads);
    json_add_u64(j, "tokens", r->tokens);
    json_add_u64(j, "depth", r->depth);
    json_add_real(j, "tok_s", f.median);
    json_add_real(j, "gb_s", f.gb_s);
    json_add_real(j, "bandwidth_share", f.bandwidth_share);
    json_add_real(j, "tflop_s", f.flop_s / 1e12);
    json_add_real(j, "matrix_share", f.peak_share);
    json_add_real(j, "read_bandwidth_gb_s", r->read_bandwidth_gb_s);
    json_add_real(j, "matrix_peak_tflop_s", r->peak_flop_s / 1e12);
    add_disk(b, r, j);
    json_object_object_add(j, "runs", runs_json(b, r));
    json_object_object_add(j, "stages", stages_json(r));
    if (r->kind == BENCH_DRAFTS) {
        json_add_u64(j, "verifications", r->usage.verifications);
        json_add_real(j, "accepted_per_verification", bench_accepted(r));
    }
    return j;
}

static const struct bench_row *first_of(const struct bench *b, enum bench_kind kind)
{
    for (size_t i = 0; i < b->done; i++)
        if (b->row[i].kind == kind)
            return &b->row[i];
    return NULL;
}

/* The first prompt, generation and drafting row in short, for those who ran one test of each. */
static void add_first_rows(const struct bench *b, struct json_object *j)
{
    const double none = (double)NAN;
    const struct bench_row *const p = first_of(b, BENCH_PROMPT);
    const struct bench_row *const d = first_of(b, BENCH_DECODE);
    const struct bench_row *const x = first_of(b, BENCH_DRAFTS);
    json_add_u64(j, "prompt_tokens", p ? p->tokens : 0);
    json_add_u64(j, "decode_tokens", d ? d->tokens : 0);
    json_add_u64(j, "depth_tokens", b->row[0].depth);
    json_add_real(j, "prefill_tok_s", p ? bench_figures(b, p).median : none);
    json_add_real(j, "prefill_matrix_share", p ? bench_figures(b, p).peak_share : none);
    json_add_real(j, "decode_tok_s", d ? bench_figures(b, d).median : none);
    json_add_real(j, "decode_bandwidth_share", d ? bench_figures(b, d).bandwidth_share : none);
    json_add_real(j, "read_bandwidth_gb_s", b->row[0].read_bandwidth_gb_s);
    json_add_real(j, "matrix_peak_tflop_s", b->row[0].peak_flop_s / 1e12);
    add_disk(b, d ? d : &b->row[0], j);
    if (x)
        json_add_real(j, "drafting_tok_s", bench_figures(b, x).median);
}

void bench_json(const struct bench *b)
{
    const struct glim_model_info *const i = glim_model_info(b->model);
    struct json_object *const j = json_object_new_object(), *const rows = json_object_new_array();
    struct glim_machine machine;
    glim_machine(&machine);
    json_add_text(j, "model", i->name);
    json_add_text(j, "cpu", machine.cpu);
    json_add_text(j, "isa", i->isa);
    json_add_u64(j, "threads", (uint64_t)b->row[0].threads);
    json_add_u64(j, "reps", b->o->reps);
    json_add_text(j, "drive", b->o->drive.gb_s > 0 ? "simulated" : "true");
    json_add_u64(j, "bytes_per_token", i->bytes_per_token);
    json_add_u64(j, "active_parameters", i->active_parameters);
    add_first_rows(b, j);
    for (size_t k = 0; k < b->done; k++)
        json_object_array_add(rows, row_json(b, &b->row[k]));
    json_object_object_add(j, "rows", rows);
    out_json(j);
}

/* ---- CSV (RFC 4180) ---- */

static void csv_text(const char *text)
{
    out_text("\"");
    for (const char *c = text; *c;) {
        const size_t len = strcspn(c, "\"");
        out_model_text(c, len);
        out_text(c[len] ? "\"\"" : "");
        c += len + (c[len] != 0);
    }
    out_text("\"");
}

static void csv_real(double v)
{
    if (isfinite(v))
        out_text(",%.10g", v);
    else
        out_text(",");
}

static void csv_head(const struct bench_row *r)
{
    out_text("model,cpu,isa,threads,test,kind,tokens,depth,reps,tok_s,least_tok_s,most_tok_s,"
             "bytes_per_token,gb_s,read_bandwidth_gb_s,bandwidth_share,tflop_s,"
             "matrix_peak_tflop_s,matrix_share");
    for (size_t s = 0; s < r->stages.stages; s++)
        out_text(",%s_ms", r->stages.stage[s].name);
    out_text(",waiting_ms,hit_rate,disk_bytes_per_token,disk_gb_s,disk_share,exposed_wait_share,"
             "drive_gb_s\n");
}

static void csv_row(const struct bench *b, const struct bench_row *r)
{
    const struct bench_figures f = bench_figures(b, r);
    const struct glim_model_info *const i = glim_model_info(b->model);
    const double v[] = {f.median, f.least, f.most, (double)i->bytes_per_token, f.gb_s,
                        r->read_bandwidth_gb_s, f.bandwidth_share, f.flop_s / 1e12,
                        r->peak_flop_s / 1e12, f.peak_share};
    struct glim_machine machine;
    char name[BENCH_NAME_LEN];
    glim_machine(&machine);
    csv_text(i->name);
    out_text(",");
    csv_text(machine.cpu);
    out_text(",%s,%d,%s,%s,%llu,%llu,%llu", i->isa, r->threads, bench_name(r, name),
             kind_name[r->kind], (unsigned long long)r->tokens, (unsigned long long)r->depth,
             (unsigned long long)b->o->reps);
    for (size_t k = 0; k < sizeof v / sizeof *v; k++)
        csv_real(v[k]);
    for (size_t s = 0; s < r->stages.stages; s++)
        csv_real(bench_work_ms(r, s));
    csv_real(bench_all_wait_ms(r));
    const struct bench_disk d = bench_disk(r);
    const double disk[] = {d.hit_rate, d.bytes_per_token, d.gb_s, d.share, d.wait_share,
                           r->drive_gb_s > 0 ? r->drive_gb_s : (double)NAN};
    for (size_t k = 0; k < sizeof disk / sizeof *disk; k++)
        csv_real(disk[k]);
    out_text("\n");
}

void bench_csv(const struct bench *b)
{
    csv_head(&b->row[0]);
    for (size_t k = 0; k < b->done; k++)
        csv_row(b, &b->row[k]);
}
