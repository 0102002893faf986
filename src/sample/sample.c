/* sample.c - see sample.h.
 *
 * Candidates come in order from a heap that holds those of one band of logits at a time, from the
 * best downwards: of a trained model few are ever looked at, whatever the cuts. Cost: a look at all
 * logits a band, and where top-p or an uncut draw needs the weight of all, an exponential each.
 */
#include "sample/sample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sample/rng.h"
#include "sample/weight.h"

/* Of a band of logits: the first, and after doublings the last but one, below which is all the
 * rest. */
#define NARROWEST 6.0F
#define WIDEST 200.0F

uint64_t sampler_bytes(size_t vocab) { return (uint64_t)vocab * 20; }

int sampler_init(struct sampler *s, size_t vocab, struct err *e)
{
    *s = (struct sampler){
        .vocab = vocab,
        .logit = mem_zalloc(vocab, sizeof *s->logit),
        .heap = mem_zalloc(vocab, sizeof *s->heap),
        .taken = mem_zalloc(vocab, sizeof *s->taken),
        .kept = mem_zalloc(vocab, sizeof *s->kept),
        .count = mem_zalloc(vocab, sizeof *s->count),
    };
    if (!s->logit || !s->heap || !s->taken || !s->kept || !s->count) {
        sampler_deinit(s);
        return err_nomem(e, "sampler", sampler_bytes(vocab));
    }
    return GLIM_OK;
}

void sampler_deinit(struct sampler *s)
{
    free(s->logit);
    free(s->heap);
    free(s->taken);
    free(s->kept);
    free(s->count);
    *s = (struct sampler){0};
}

static int in_range(struct err *e, const char *name, double v, double min, double max)
{
    if (v >= min && v <= max)
        return GLIM_OK;
    return err_set(e, GLIM_EINVAL, "%s: %g, expected %g to %g", name, v, min, max);
}

int sample_check(const struct sample_params *p, size_t vocab, struct err *e)
{
    if (in_range(e, "temperature", p->temperature, 0, 100) != 0
        || in_range(e, "top_p", p->top_p, 0, 1) != 0 || in_range(e, "min_p", p->min_p, 0, 1) != 0
        || in_range(e, "repetition_penalty", p->repetition_penalty, 0.01, 100) != 0
        || in_range(e, "presence_penalty", p->presence_penalty, -100, 100) != 0
        || in_range(e, "frequency_penalty", p->frequency_penalty, -100, 100) != 0)
        return GLIM_EINVAL;
    for (size_t i = 0; i < p->biases; i++) {
        if (p->bias[i].token < 0 || (size_t)p->bias[i].token >= vocab)
            return err_set(e, GLIM_EINVAL, "logit_bias[%zu]: token %d, expected 0 to %zu", i,
                           p->bias[i].token, vocab - 1);
        if (in_range(e, "logit_bias", (double)p->bias[i].bias, -1000, 1000) != 0)
            return GLIM_EINVAL;
    }
    return GLIM_OK;
}

int32_t sample_argmax(const float *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = v[i] > v[best] ? i : best;
    return (int32_t)best;
}

/* Divides positive and multiplies negative logits of tokens seen lately (CTRL, arXiv
 * 1909.05858). */
static void penalise_repetition(struct sampler *s, double penalty, const int32_t *recent, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s->count[recent[i]]++)
            continue;
        float *const l = &s->logit[recent[i]];
        *l = (float)(*l > 0 ? (double)*l / penalty : (double)*l * penalty);
    }
    for (size_t i = 0; i < n; i++)
        s->count[recent[i]] = 0;
}

/* OpenAI's pair: a constant for having appeared, and one per time. */
static void penalise_presence(struct sampler *s, const struct sample_params *p,
                              const int32_t *generated, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s->count[generated[i]]++;
    for (size_t i = 0; i < n; i++) {
        uint32_t *const count = &s->count[generated[i]];
        if (*count)
            s->logit[generated[i]] -=
                (float)(p->presence_penalty + p->frequency_penalty * (double)*count);
        *count = 0;
    }
}

/* Is candidate a to come before b? */
static bool before(const struct sampler *s, int32_t a, int32_t b)
{
    return s->logit[a] > s->logit[b] || (s->logit[a] == s->logit[b] && a < b);
}

static void sift_down(struct sampler *s, size_t i, size_t n)
{
    const int32_t moved = s->heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s, s->heap[child], moved))
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = moved;
}

/* Fills the empty heap with the next candidates that there are, bound being above them. */
static void next_band(struct sampler *s)
{
    while (s->candidates == 0) {
        const float low = s->width > WIDEST ? -INFINITY : s->bound - s->width;
        for (size_t i = 0; i < s->vocab; i++) {
            if (s->logit[i] < s->bound && s->logit[i] >= low)
                s->heap[s->candidates++] = (int32_t)i;
        }
        s->bound = low;
        s->width *= 2;
    }
    for (size_t i = s->candidates / 2; i-- > 0;)
        sift_down(s, i, s->candidates);
}

/* The best logit; candidates begin with it. */
static float begin_candidates(struct sampler *s)
{
    const float best = s->logit[sample_argmax(s->logit, s->vocab)];
    s->candidates = 0;
    s->width = NARROWEST;
    s->bound = nextafterf(best, INFINITY);
    return best;
}

static int32_t best_candidate(struct sampler *s)
{
    if (s->candidates == 0)
        next_band(s);
    return s->heap[0];
}

static void take_best(struct sampler *s)
{
    s->heap[0] = s->heap[--s->candidates];
    if (s->candidates)
        sift_down(s, 0, s->candidates);
}

static size_t most_candidates(const struct sampler *s, const struct sample_params *p)
{
    return p->top_k && p->top_k < s->vocab ? p->top_k : s->vocab;
}

/* Takes candidates in order until top-k, top-p or min-p says enough. *sum is the weight of those
 * taken. */
static size_t take_candidates(struct sampler *s, const struct sample_params *p, float best,
                              double *sum)
{
    const size_t most = most_candidates(s, p);
    const bool all = p->top_p >= 1 && p->min_p <= 0;
    /* top-p is a share of what top-k left over; with top-k on, that is known only after taking
     * them. */
    double target = INFINITY;
    if (p->top_p < 1 && most == s->vocab)
        target = p->top_p * weight_total(s->logit, s->vocab, best);
    size_t n = 0;
    for (*sum = 0; n < most; n++) {
        const int32_t token = best_candidate(s);
        const double w = exp((double)(s->logit[token] - best));
        if (n > 0 && (!(w > 0) || (!all && w < p->min_p) || *sum >= target))
            break;
        take_best(s);
        s->taken[n] = token;
        s->kept[n] = (float)w;
        *sum += w;
    }
    if (p->top_p < 1 && most < s->vocab) {
        const double share = p->top_p * *sum;
        size_t kept = 0;
        for (*sum = 0; kept < n && (kept == 0 || *sum < share); kept++)
            *sum += (double)s->kept[kept];
        n = kept;
    }
    return n;
}

/* Where nothing is cut, those behind the one that is drawn need no order. */
static int32_t draw_uncut(struct sampler *s, float best, double u)
{
    const double target = u * weight_total(s->logit, s->vocab, best);
    int32_t token = best_candidate(s);
    take_best(s);
    double sum = 1;
    for (size_t n = 1; n < s->vocab && sum <= target; n++) {
        const int32_t next = best_candidate(s);
        const double w = exp((double)(s->logit[next] - best));
        if (!(w > 0))
            break; /* rounding has left a little of the target */
        take_best(s);
        token = next;
        sum += w;
    }
    return token;
}

static int32_t draw(struct sampler *s, const struct sample_params *p, uint64_t position)
{
    const float best = begin_candidates(s);
    if (p->top_p >= 1 && p->min_p <= 0 && most_candidates(s, p) == s->vocab)
        return draw_uncut(s, best, rng_uniform(p->seed, 0, position));
    double sum;
    const size_t n = take_candidates(s, p, best, &sum);
    double u = rng_uniform(p->seed, 0, position) * sum;
    size_t i = 0;
    while (i + 1 < n && u >= (double)s->kept[i])
        u -= (double)s->kept[i++];
    return s->taken[i];
}

static void forbid(struct sampler *s, const uint32_t *mask, size_t tokens)
{
    for (size_t i = 0; i < tokens; i++) {
        if (!(mask[i / 32] >> i % 32 & 1))
            s->logit[i] = -INFINITY;
    }
    for (size_t i = tokens; i < s->vocab; i++)
        s->logit[i] = -INFINITY;
}

int32_t sample_token(struct sampler *s, const struct sample_params *p, const float *logits,
                     const int32_t *recent, size_t n_recent, const int32_t *generated,
                     size_t n_generated, uint64_t position)
{
    memcpy(s->logit, logits, s->vocab * sizeof *logits);
    for (size_t i = 0; i < p->biases; i++)
        s->logit[p->bias[i].token] += p->bias[i].bias;
    if (p->repetition_penalty < 1 || p->repetition_penalty > 1)
        penalise_repetition(s, p->repetition_penalty, recent, n_recent);
    if (fabs(p->presence_penalty) > 0 || fabs(p->frequency_penalty) > 0)
        penalise_presence(s, p, generated, n_generated);
    if (p->mask)
        forbid(s, p->mask, p->mask_tokens);
    if (p->temperature < 1e-5) /* the quotient below would overflow; no draw could differ */
        return sample_argmax(s->logit, s->vocab);
    for (size_t i = 0; i < s->vocab; i++)
        s->logit[i] = (float)((double)s->logit[i] / p->temperature);
    return draw(s, p, position);
}
