/* chunk.c - how many tokens of a prompt go through the model in one step where experts are streamed
 * and the caller does not say.
 *
 * A step reads each expert that it wants once, however many tokens want it, so a longer one reads
 * less in all, until its experts take as long to compute as to read. It also takes more memory to
 * work in, which experts then do not have. So each length is held against the usual work of a
 * session, a prompt and the answer to it, both as predict.c says. Bits do not depend on it (D1).
 */
#include <math.h>

#include "base/drive.h"
#include "base/util.h"
#include "engine/engine.h"
#include "engine/predict.h"

enum { USUAL_PROMPT = 4096, USUAL_ANSWER = 512 }; /* tokens */

/* The part of a prompt's time that a longer chunk has to save. */
static const double LEAST_GAIN = 0.03;
/* To measure a drive: as long as nobody waits for. */
enum { DRIVE_NS = 30000000, DRIVE_BYTES = 24 << 20 };

uint64_t chunk_least(uint64_t context) { return min_u64(CHUNK_DEFAULT, context); }

uint64_t model_expert_layers(const struct glim_model *m)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < m->model.cfg.layers; i++)
        n += m->model.cfg.ffn[i] == FFN_MOE;
    return n;
}

double chunk_flop_s(const struct glim_model *m)
{
    /* A thread's, with prompts of GLM-5.2's widths: measured on Zen 5, but for NEON and AMX. */
    static const double thread[CPU_LEVEL_COUNT] = {
        [CPU_BASELINE] = 20e9, [CPU_NEON] = 80e9, [CPU_AVX2] = 170e9,
        [CPU_AVX512] = 450e9, [CPU_AMX] = 1500e9,
    };
    return thread[m->isa] * pool_threads(m->pool);
}

void chunk_drive(const struct glim_model *m, struct reader *r, struct chunk_speeds *v)
{
    struct err e;
    double bytes_per_s;
    uint32_t most = 0;
    for (uint32_t i = 1; i < weights_files(&m->weights); i++)
        most = reader_bytes(r, i) > reader_bytes(r, most) ? i : most;
    if (drive_measure(r, most, DRIVE_NS, DRIVE_BYTES, &bytes_per_s, &e) == 0 && bytes_per_s > 0)
        v->drive_bytes_per_s = bytes_per_s;
}

void chunk_foretell(const struct glim_model *m, uint64_t tokens, double hit_rate,
                    const struct chunk_speeds *v, struct predict_chunk_out *out)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t layers = model_expert_layers(m);
    double parameters = 0;
    for (int i = 0; i < STAGE_COUNT; i++)
        parameters += i == STAGE_HEAD ? 0 : (double)m->stage_parameters[i];
    const double routed =
        3.0 * (double)(c->hidden * c->expert_width) * (double)(c->experts_used * layers);
    const struct predict_chunk_in in = {
        .tokens = tokens,
        .layers = layers,
        .experts = c->experts,
        .used = c->experts_used,
        .hit_rate = hit_rate,
        .expert_bytes = (double)m->expert_bytes,
        .expert_flop = 2 * routed,
        .rest_flop = 2 * (parameters - routed),
        .flop_per_s = v->flop_per_s,
        .drive_bytes_per_s = v->drive_bytes_per_s,
    };
    predict_chunk(&in, out);
}

struct usual_work {
    double prompt_s, answer_s;
};

static struct usual_work usual_work(const struct glim_model *m, const struct session_shape *s,
                                    const struct chunk_speeds *v, const struct plan *p)
{
    const struct experts *const x = &m->model.experts;
    const double share = fmin((double)p->slots / (double)(x->layers * x->per_layer), 1);
    const uint64_t prompt = min_u64(s->context, USUAL_PROMPT);
    const uint64_t chunks = ceil_div_u64(prompt, s->chunk);
    const struct predict_in token = {
        .layers = model_expert_layers(m),
        .used = m->model.cfg.experts_used,
        .hit_rate = predict_use(GLIM_USE_MEASURED, share),
        .expert_bytes = (double)m->expert_bytes,
        .rest_bytes = (double)m->always_read_bytes,
        .ram_bytes_per_s = v->ram_bytes_per_s,
        .drive_bytes_per_s = v->drive_bytes_per_s,
        .latency_s = v->latency_s,
    };
    struct predict_chunk_out of_prompt;
    struct predict_out of_answer;
    chunk_foretell(m, ceil_div_u64(prompt, chunks), share, v, &of_prompt);
    predict(&token, &of_answer);
    return (struct usual_work){(double)chunks * of_prompt.seconds,
                               USUAL_ANSWER * of_answer.seconds};
}

uint64_t chunk_choose(const struct glim_model *m, const struct session_shape *s, uint64_t sessions,
                      const struct plan_need *need, const struct chunk_speeds *v)
{
    struct session_shape with = *s;
    uint64_t best = chunk_least(s->context);
    double limit = INFINITY; /* of seconds, for a longer chunk to be better */
    for (uint64_t tokens = CHUNK_DEFAULT; tokens <= CHUNK_MAX; tokens *= 2) {
        struct plan_need n = *need;
        struct plan p;
        with.chunk = min_u64(tokens, s->context);
        placement_need_of(m, &with, sessions, &n);
        plan_make(&n, &p);
        if (p.place != PLAN_STREAMED)
            break;
        const struct usual_work w = usual_work(m, &with, v, &p);
        if (w.prompt_s + w.answer_s < limit) {
            limit = (1 - LEAST_GAIN) * w.prompt_s + w.answer_s;
            best = with.chunk;
        }
        if (tokens >= s->context)
            break;
    }
    return best;
}
