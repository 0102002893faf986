/* sample.c - see sample.h. Cost: O(vocab) to build the heap, O(log vocab) for each candidate looked
 * at; of a trained model these are few, whatever the cuts. */
#include "sample/sample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sample/rng.h"

int sampler_init(struct sampler *s, size_t vocab, struct err *e)
{
    *s = (struct sampler){
        .vocab = vocab,
        .logit = mem_zalloc(vocab, sizeof *s->logit),
        .heap = mem_zalloc(vocab, sizeof *s->heap),
        .kept = mem_zalloc(vocab, sizeof *s->kept),
        .count = mem_zalloc(vocab, sizeof *s->count),
    };
    if (!s->logit || !s->heap || !s->kept || !s->count) {
        sampler_deinit(s);
        return err_nomem(e, "sampler", vocab * 16);
    }
    return GLIM_OK;
}

void sampler_deinit(struct sampler *s)
{
    free(s->logit);
    free(s->heap);
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

static void heap_build(struct sampler *s)
{
    for (size_t i = 0; i < s->vocab; i++)
        s->heap[i] = (int32_t)i;
    for (size_t i = s->vocab / 2; i-- > 0;)
        sift_down(s, i, s->vocab);
}

/* Takes the best of n candidates; it ends up at heap[n - 1]. */
static int32_t heap_pop(struct sampler *s, size_t n)
{
    const int32_t top = s->heap[0];
    s->heap[0] = s->heap[n - 1];
    sift_down(s, 0, n - 1);
    s->heap[n - 1] = top;
    return top;
}

/* Sum of exp(logit - best) over all: the denominator of top-p when no top-k cut comes before it. */
static double total_weight(const struct sampler *s, float best)
{
    double sum = 0;
    for (size_t i = 0; i < s->vocab; i++)
        sum += exp((double)(s->logit[i] - best));
    return sum;
}

static size_t most_candidates(const struct sampler *s, const struct sample_params *p)
{
    return p->top_k && p->top_k < s->vocab ? p->top_k : s->vocab;
}

/* Takes candidates in order until top-k, top-p or min-p says enough; the k-th taken stands at
 * heap[vocab - 1 - k]. *sum is the weight of those taken. */
static size_t take_candidates(struct sampler *s, const struct sample_params *p, double *sum)
{
    const size_t most = most_candidates(s, p);
    const float best = s->logit[s->heap[0]];
    const bool all = p->top_p >= 1 && p->min_p <= 0;
    /* top-p is a share of what top-k left over; with top-k on, that is known only after taking
     * them. */
    double target = INFINITY;
    if (p->top_p < 1 && most == s->vocab)
        target = p->top_p * total_weight(s, best);
    size_t n = 0;
    for (*sum = 0; n < most; n++) {
        const float l = s->logit[s->heap[0]];
        const double w = exp((double)(l - best));
        if (n > 0 && ((!all && w < p->min_p) || *sum >= target))
            break;
        (void)heap_pop(s, s->vocab - n);
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
static int32_t draw_uncut(struct sampler *s, double u)
{
    const float best = s->logit[s->heap[0]];
    const double target = u * total_weight(s, best);
    int32_t token = heap_pop(s, s->vocab);
    double sum = 1;
    for (size_t n = s->vocab - 1; n > 0 && sum <= target; n--) {
        const double w = exp((double)(s->logit[s->heap[0]] - best));
        if (!(w > 0))
            break; /* rounding has left a little of the target */
        token = heap_pop(s, n);
        sum += w;
    }
    return token;
}

static int32_t draw(struct sampler *s, const struct sample_params *p, uint64_t position)
{
    heap_build(s);
    if (p->top_p >= 1 && p->min_p <= 0 && most_candidates(s, p) == s->vocab)
        return draw_uncut(s, rng_uniform(p->seed, 0, position));
    double sum;
    const size_t n = take_candidates(s, p, &sum);
    double u = rng_uniform(p->seed, 0, position) * sum;
    size_t i = 0;
    while (i + 1 < n && u >= (double)s->kept[i])
        u -= (double)s->kept[i++];
    return s->heap[s->vocab - 1 - i];
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
    if (p->temperature < 1e-5) /* the quotient below would overflow; no draw could differ */
        return sample_argmax(s->logit, s->vocab);
    for (size_t i = 0; i < s->vocab; i++)
        s->logit[i] = (float)((double)s->logit[i] / p->temperature);
    return draw(s, p, position);
}
