/* draft.c - see draft.h. */
#include "sample/draft.h"

#include <assert.h>

#include "base/util.h"

/* What is believed before there is evidence: chances on the hopeful side, so that drafts are tried;
 * one row more for half a step. */
static const double FIRST_CHANCE = 0.7, FIRST_WEIGHT = 1, FIRST_SLOPE = 0.5, FIRST_DRAFT = 0.1;
/* What is left of evidence after a step that drafted, and after one that did not. */
static const double FADE = 0.96, FADE_PRICE = 0.995, FADE_PLAIN = 0.97;
/* The same for reads: of plain steps and what is waited with each step, else with each sample. */
static const double FADE_READS = 0.97, FADE_MORE_READS = 0.9;
static const double BLEND = 0.1;  /* least weight of a new sample */
static const double SPREAD = 1.5; /* a sample counts as at most so many times what is believed */
static const double LEAST_LOSS = 0.12; /* a draft */
/* What is less than this much faster is left: a step without drafts among steps with them is slower
 * than one among its like, so that drafts look a little cheaper than they are. */
static const double MARGIN = 1.06;
static const double PURSE_MAX = 8;
static const double PROBE_SHARE_FIRST = 0.02, PROBE_SHARE = 0.005; /* until PROBES_FIRST lost */
enum { PROBES_FIRST = 3 };
/* Steps without drafts: at first, the very first of them being slow in a cold process; and one in
 * so many later, rarer the more prices have been seen, so that the price of one row stays known. */
enum { PLAIN_FIRST = 2, PLAIN_EVERY = 64 };
enum { FEW = 3 }; /* samples that make a draft's price known well enough to doubt others */

void draft_init(struct draft_policy *p, uint64_t experts)
{
    *p = (struct draft_policy){.slope = FIRST_SLOPE, .draft_price = FIRST_DRAFT,
                               .first_reads = (double)experts};
}

void draft_pause(struct draft_policy *p) { p->last_rows = 0; }

static double chance(const struct draft_policy *p, size_t depth)
{
    double c = FIRST_CHANCE;
    for (size_t i = 0; i <= depth; i++)
        c = (p->right[i] + FIRST_WEIGHT * c) / (p->judged[i] + FIRST_WEIGHT);
    return c;
}

static double step_price(const struct draft_policy *p, size_t rows)
{
    if (rows == 1)
        return 1;
    const double line = 1 + p->slope * (double)(rows - 1), n = (double)rows;
    const double r = (p->row_sum[rows - 2] + FIRST_WEIGHT * line)
                     / (p->row_seen[rows - 2] + FIRST_WEIGHT);
    return r < 1 ? 1 : r > n ? n : r; /* rows could be computed one by one */
}

static void add(struct draft_mean *m, double fade, double sum, double seen)
{
    m->sum = m->sum * fade + sum;
    m->seen = m->seen * fade + seen;
}

static double mean(const struct draft_mean *m, double otherwise)
{
    return m->seen > 0 ? m->sum / m->seen : otherwise;
}

static double price(const struct draft_policy *p, size_t length)
{
    const double k = (double)length, read = mean(&p->wait, 0), plain = mean(&p->plain_reads, 0),
                 more = mean(&p->row_reads, plain) + mean(&p->draft_reads, p->first_reads),
                 work = step_price(p, length + 1) + k * p->draft_price,
                 all = (work + read * (plain + k * more)) / (1 + read * plain);
    return all < 1 ? 1 : all;
}

/* What a step loses if all its drafts are wrong. An estimate near nothing is not trusted: it would
 * have drafts made at every step, and the estimate may be wrong. */
static double loss(const struct draft_policy *p, size_t length)
{
    const double l = price(p, length) - 1, least = LEAST_LOSS * (double)length;
    return l > least ? l : least;
}

/* The length that pays most among those whose loss, were all drafts wrong, the purse can bear. */
static size_t best_length(const struct draft_policy *p, size_t most)
{
    size_t best = 0;
    double rate = MARGIN, tokens = 1, all_right = 1;
    for (size_t k = 1; k <= most; k++) {
        all_right *= chance(p, k - 1);
        tokens += all_right;
        const double cost = price(p, k);
        if (loss(p, k) <= p->purse && tokens / cost > rate) {
            rate = tokens / cost;
            best = k;
        }
    }
    return best;
}

size_t draft_length(struct draft_policy *p, size_t most)
{
    most = most < DRAFT_MAX ? most : DRAFT_MAX;
    p->probing = false;
    const uint64_t plain_every = min_u64(PLAIN_EVERY, 1 + 2 * (uint64_t)p->slope_samples);
    if (most == 0 || p->plain < PLAIN_FIRST || p->since_plain >= plain_every)
        return 0;
    const size_t best = best_length(p, most);
    if (best > 0)
        return best;
    const double share = p->probes_lost < PROBES_FIRST ? PROBE_SHARE_FIRST : PROBE_SHARE;
    p->probing = p->idle * share >= loss(p, 1);
    return p->probing;
}

static double blend(double old, double sample, unsigned *samples)
{
    const double weight = 1 / (1 + (double)++*samples);
    return old + (weight > BLEND ? weight : BLEND) * (sample - old);
}

/* Cuts off what a machine busy with other things does to a single step. The ends lie as far below
 * as above what is believed: with wide ones the mean would rise with every step that was held up,
 * since a time can be ten times too long, but not ten times too short. */
static double near(double sample, double belief)
{
    const double least = belief / SPREAD, most = belief * SPREAD;
    return sample < least ? least : sample > most ? most : sample;
}

static void learn_rows(struct draft_policy *p, size_t rows, double ratio)
{
    ratio = near(ratio, step_price(p, rows));
    p->row_sum[rows - 2] += ratio;
    p->row_seen[rows - 2] += 1;
    p->slope = blend(p->slope, (ratio - 1) / (double)(rows - 1), &p->slope_samples);
}

static void learn_reads(struct draft_policy *p, const struct draft_step *s, double one_row_ns)
{
    const double k = (double)s->drafted, step = (double)s->step_reads,
                 drafts = (double)s->draft_reads;
    add(&p->wait, FADE_READS, (s->step_wait_ns + s->draft_wait_ns) / one_row_ns, step + drafts);
    add(&p->plain_reads, FADE_READS, k > 0 ? 0 : step, k > 0 ? 0 : 1);
    if (k > 0) {
        add(&p->row_reads, FADE_MORE_READS, step - mean(&p->plain_reads, 0), k);
        add(&p->draft_reads, FADE_MORE_READS, drafts, k);
    }
}

static void learn_prices(struct draft_policy *p, const struct draft_step *s)
{
    const size_t rows = s->drafted + 1, last = p->last_rows;
    const double last_ns = p->last_ns, work_ns = s->step_ns - s->step_wait_ns;
    if (!(work_ns > 0))
        return;
    p->last_rows = rows;
    p->last_ns = work_ns;
    if (last && rows == 1 && last > 1)
        learn_rows(p, last, last_ns / work_ns);
    else if (last && rows > 1 && rows != last)
        learn_rows(p, rows, work_ns / last_ns * step_price(p, last));
    const double one_row_ns = work_ns / step_price(p, rows);
    learn_reads(p, s, one_row_ns);
    if (s->drafted > 0) {
        const double sample =
            (s->draft_ns - s->draft_wait_ns) / (double)s->drafted / one_row_ns;
        const double seen = p->draft_samples < FEW ? sample : near(sample, p->draft_price);
        p->draft_price = blend(p->draft_price, seen < 1 ? seen : 1, &p->draft_samples);
    }
}

static void learn_chances(struct draft_policy *p, const struct draft_step *s)
{
    const double fade = s->drafted ? FADE : FADE_PLAIN, fade_price = s->drafted ? FADE_PRICE : 1;
    for (size_t i = 0; i < DRAFT_MAX; i++) {
        p->right[i] = p->right[i] * fade + (i < s->right);
        p->judged[i] = p->judged[i] * fade + (i < s->judged);
        p->row_sum[i] *= fade_price;
        p->row_seen[i] *= fade_price;
    }
}

void draft_tell(struct draft_policy *p, const struct draft_step *s)
{
    assert(s->drafted <= DRAFT_MAX && s->judged <= s->drafted && s->right <= s->judged);
    learn_prices(p, s);
    learn_chances(p, s);
    if (s->drafted == 0) {
        if (p->plain++ == 0)
            draft_pause(p);
        p->since_plain = 0;
        p->idle += 1;
        return;
    }
    p->since_plain++;
    const double gain = (double)s->right - loss(p, s->drafted);
    if (p->probing && gain < 0) {
        p->idle = 0;
        p->probes_lost++;
        return;
    }
    p->purse += gain;
    p->purse = p->purse < 0 ? 0 : p->purse > PURSE_MAX ? PURSE_MAX : p->purse;
}
