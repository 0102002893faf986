/* cmd_plan.c - glim plan: what would live where, and what speed that allows. Nothing is loaded. */
#include <math.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"

static void plan_items(const struct glim_plan *p)
{
    char a[HUMAN_LEN], b[HUMAN_LEN], c[HUMAN_LEN], d[HUMAN_LEN];
    out_text("\n%-22s %12s %12s %12s %14s\n", "", "size", "in memory", "on disk", "read a token");
    for (size_t i = 0; i < p->items && i < GLIM_PLAN_ITEMS_MAX; i++) {
        const struct glim_plan_item *const t = &p->item[i];
        out_text("%-22s %12s %12s %12s %14s\n", t->name, human_bytes(a, t->bytes),
                 p->runs ? human_bytes(b, t->resident_bytes) : "-",
                 p->runs ? human_bytes(c, t->streamed_bytes) : "-",
                 human_bytes(d, t->read_bytes_per_token));
    }
}

/* "0.31", "12.5", "863" */
static const char *rate_text(char buf[HUMAN_LEN], double v)
{
    snprintf(buf, HUMAN_LEN, v < 100 ? "%.3g" : "%.0f", v);
    return buf;
}

static void plan_speed(const struct glim_plan *p, const char *use)
{
    char a[HUMAN_LEN], b[HUMAN_LEN], c[HUMAN_LEN];
    out_text("\none token reads     %s of memory: %.3g ms at %g GB/s\n",
             human_bytes(a, p->ram_read_per_token), p->ram_ms, p->ram_gb_s);
    if (p->fits)
        out_text("disk                is not read once the weights are in memory\n");
    else
        out_text("                    %s of disk: %.3g ms at %g GB/s\n"
                 "                    %.0f%% of experts are in memory when wanted: %s of %s, %s\n",
                 human_bytes(a, p->disk_read_per_token), p->disk_ms, p->drive.gb_s,
                 100 * p->expert_hit_rate, human_count(b, p->expert_slots),
                 human_count(c, p->experts),
                 strcmp(use, "given") == 0     ? "as given"
                 : strcmp(use, "uniform") == 0 ? "all used equally"
                                               : "used as reported for GLM-5.2");
    out_text("predicted           %s tokens a second; alone, memory would allow %s",
             rate_text(a, p->tok_s), rate_text(b, p->tok_s_ram));
    if (!p->fits)
        out_text(", the drive %s", rate_text(a, p->tok_s_disk));
    out_text("\n");
}

static const char *decimal(char buf[HUMAN_LEN], uint64_t n)
{
    snprintf(buf, HUMAN_LEN, "%llu", (unsigned long long)n);
    return buf;
}

/* What else would make it run, in words of this program's options. */
static void plan_advice(const struct glim_plan_advice *a)
{
    char n[HUMAN_LEN];
    if (a->context_tok)
        out_text("would do: --ctx %s\n", decimal(n, a->context_tok));
    if (a->kv_q8)
        out_text("would do: --kv q8\n");
    if (a->chunk_tok)
        out_text("would do: --chunk %s\n", decimal(n, a->chunk_tok));
    if (a->no_drafts)
        out_text("would do: --mtp off\n");
}

static void plan_chunk(const struct glim_plan *p)
{
    char n[HUMAN_LEN], read[HUMAN_LEN], compute[HUMAN_LEN];
    out_text("prompts             in chunks of %s tokens", human_count(n, p->chunk_tok));
    if (!p->fits)
        out_text(": %s s to read the experts of one, about %s s to compute",
                 rate_text(read, p->chunk_read_s), rate_text(compute, p->chunk_compute_s));
    out_text("\n");
}

static void plan_text(const glim_model *m, const struct glim_plan *p, const char *use)
{
    char a[HUMAN_LEN], b[HUMAN_LEN], c[HUMAN_LEN];
    out_text("%s in %s of memory, %s tokens of context", glim_model_info(m)->name,
             human_bytes(a, p->ram_bytes), human_count(b, p->context_tok));
    out_text(p->sessions > 1 ? ", %s sessions\n" : "\n", human_count(c, p->sessions));
    if (p->fits)
        out_text("fits: all of it stays in memory\n");
    else if (p->runs)
        out_text("runs: %s stays in memory, %s is read from disk when needed\n",
                 human_bytes(a, p->resident_bytes), human_bytes(b, p->streamed_bytes));
    else
        out_text("does not run: it needs at least %s (%s bytes)\n",
                 human_bytes(a, p->least_ram_bytes), human_count(b, p->least_ram_bytes));
    plan_advice(&p->advice);
    plan_items(p);
    out_text("\ncache               %s bytes a token, %s in all\n",
             human_count(a, p->cache_bytes_per_token), human_bytes(b, p->cache_bytes));
    if (p->runs) {
        plan_speed(p, use);
        plan_chunk(p);
    }
}

static struct json_object *items_json(const struct glim_plan *p)
{
    struct json_object *const list = json_object_new_array();
    for (size_t i = 0; i < p->items && i < GLIM_PLAN_ITEMS_MAX; i++) {
        struct json_object *const j = json_object_new_object();
        json_add_text(j, "name", p->item[i].name);
        json_add_u64(j, "bytes", p->item[i].bytes);
        json_add_u64(j, "resident_bytes", p->item[i].resident_bytes);
        json_add_u64(j, "streamed_bytes", p->item[i].streamed_bytes);
        json_add_u64(j, "read_bytes_per_token", p->item[i].read_bytes_per_token);
        json_object_array_add(list, j);
    }
    return list;
}

static struct json_object *advice_json(const struct glim_plan_advice *a)
{
    struct json_object *const j = json_object_new_object();
    json_add_u64(j, "context_tokens", a->context_tok);
    json_add_u64(j, "chunk_tokens", a->chunk_tok);
    json_object_object_add(j, "kv_q8", json_object_new_boolean(a->kv_q8));
    json_object_object_add(j, "no_drafts", json_object_new_boolean(a->no_drafts));
    return j;
}

static void add_speed(struct json_object *j, const struct glim_plan *p, const char *use)
{
    json_add_u64(j, "bytes_per_token", p->ram_read_per_token + p->disk_read_per_token);
    json_add_u64(j, "ram_read_per_token", p->ram_read_per_token);
    json_add_u64(j, "disk_read_per_token", p->disk_read_per_token);
    json_add_text(j, "use", use);
    json_add_real(j, "expert_hit_rate", p->expert_hit_rate);
    json_add_real(j, "ram_gb_s", p->ram_gb_s);
    json_add_real(j, "drive_gb_s", p->drive.gb_s);
    json_add_real(j, "drive_latency_us", p->drive.latency_us);
    json_add_real(j, "ram_ms", p->ram_ms);
    json_add_real(j, "disk_ms", p->disk_ms);
    json_add_real(j, "tok_s_ram", p->tok_s_ram);
    json_add_real(j, "tok_s_disk", p->tok_s_disk);
    json_add_real(j, "tok_s", p->tok_s);
    json_add_u64(j, "chunk_tokens", p->chunk_tok);
    json_add_real(j, "chunk_read_s", p->chunk_read_s);
    json_add_real(j, "chunk_compute_s", p->chunk_compute_s);
}

static void plan_json(const struct glim_plan *p, const char *use)
{
    struct json_object *const j = json_object_new_object();
    json_add_u64(j, "ram_bytes", p->ram_bytes);
    json_add_u64(j, "context_tokens", p->context_tok);
    json_add_u64(j, "sessions", p->sessions);
    json_add_u64(j, "cache_bytes_per_token", p->cache_bytes_per_token);
    json_add_u64(j, "cache_bytes", p->cache_bytes);
    json_add_u64(j, "resident_bytes", p->resident_bytes);
    json_add_u64(j, "streamed_bytes", p->streamed_bytes);
    json_add_u64(j, "expert_slots", p->expert_slots);
    json_add_u64(j, "experts", p->experts);
    add_speed(j, p, use);
    json_object_object_add(j, "fits", json_object_new_boolean(p->fits));
    json_object_object_add(j, "runs", json_object_new_boolean(p->runs));
    json_add_u64(j, "least_ram_bytes", p->least_ram_bytes);
    if (!p->runs)
        json_object_object_add(j, "would_do", advice_json(&p->advice));
    json_object_object_add(j, "items", items_json(p));
    out_json(j);
}

int cmd_plan(const struct opts *o)
{
    glim_model *m;
    struct glim_error e;
    struct glim_plan p;
    struct glim_plan_request q;
    model_plan_request(o, 0, &q);
    q.sessions = o->sessions;
    q.ram_gb_s = isnan(o->ram_gb_s) ? 0 : o->ram_gb_s;
    q.drive = model_drive(o);
    q.use = (enum glim_use)o->use;
    q.hit_rate = isnan(o->hit_rate) ? 0 : fmax(o->hit_rate, 1e-9);
    if (model_open(o, &m, &e) != GLIM_OK)
        return fail_glim(&e);
    q.mtp = model_drafts_fit(o, m, &q);
    const int rc = glim_model_plan(m, &q, &p, &e);
    const char *const use = !isnan(o->hit_rate)           ? "given"
                            : p.use == GLIM_USE_UNIFORM ? "uniform"
                                                        : "measured";
    if (rc == GLIM_OK && o->json)
        plan_json(&p, use);
    else if (rc == GLIM_OK)
        plan_text(m, &p, use);
    glim_model_close(m);
    return rc == GLIM_OK ? EXIT_OK : fail_glim(&e);
}
