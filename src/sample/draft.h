/* draft.h - how many tokens to draft before the next step: what drafts cost against what they
 * bring.
 *
 * A step computes the drawn token and k drafts as k + 1 rows. Drafts are right up to a depth a <= k
 * and the step yields 1 + a tokens, so with
 *
 *     c_i     the chance that draft i is right when those before it were
 *     r(n)    the price of a step of n rows, d that of a draft, both in steps of one row (r(1) = 1)
 *
 *     tokens(k) = 1 + c_1 + c_1 c_2 + ... + c_1 .. c_k        price(k) = r(k + 1) + k d
 *
 * and the length that pays most has the largest tokens(k) / price(k); length 0 has 1.
 *
 *   chances   shares of drafts that were right at each depth, old ones fading with every step; a
 *             depth without evidence is believed as good as the one above it, so that drafts are
 *             tried again when what spoke against them has faded
 *   prices    ratios of the times of steps that follow each other: a machine that gets slower or
 *             faster as a whole changes none of them. Each row count has its own, and one slope
 *             that all of them teach stands in for those that were not seen lately
 *   reads     where experts come from a drive, rows and drafts want more of them, and what is in
 *             memory depends on what was read before: a step among drafts finds less than one among
 *             its like, so that times of neighbours flatter drafts. So times are taken without what
 *             was waited for reads, reads are counted, and a read has a price x of its own: with
 *             m_1 a step of one row, m a further row and m_d a draft that read so many,
 *
 *                 price(k) = (r(k + 1) + k d + x (m_1 + k (m + m_d))) / (1 + x m_1)
 *   purse     what drafts have brought so far, in steps of one row: drafts that the formula likes
 *             are made while it holds their loss, should all be wrong
 *   probes    otherwise a single draft is tried now and then: a probe that loses may cost a small
 *             share of the steps since the last one that lost; a winning one is free and fills the
 *             purse, so that drafting begins, and begins again, with probes
 *
 * So however wrong the chances are, drafting costs at most that share of the time, as far as the
 * prices are right: they are averages of a noisy clock. A pure function of what it is told: no
 * clock and no chance in it.
 * Source of the trade-off: Leviathan et al., "Fast Inference from Transformers via Speculative
 * Decoding" (arXiv 2211.17192), section 3.
 */
#ifndef GLIM_SAMPLE_DRAFT_H
#define GLIM_SAMPLE_DRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DRAFT_MAX = 5 };

struct draft_mean { /* fading */
    double sum, seen;
};

struct draft_policy {
    double right[DRAFT_MAX], judged[DRAFT_MAX]; /* by depth; fading counts */
    double row_sum[DRAFT_MAX], row_seen[DRAFT_MAX]; /* prices of steps with i + 2 rows; fading */
    double slope, draft_price;                  /* of a further row; of a draft */
    unsigned slope_samples, draft_samples;
    /* Experts read by a step of one row, more by a further row, by a draft; what was waited for
     * each, in steps of one row that reads nothing. */
    struct draft_mean plain_reads, row_reads, draft_reads, wait;
    double first_reads; /* what a draft is believed to read before one was made */
    double last_ns;     /* of the step before, without waiting */
    size_t last_rows;   /* its rows; 0 = nothing to compare with */
    double purse, idle; /* idle: steps without drafts since the last probe that lost */
    uint64_t plain;     /* steps without drafts so far */
    uint64_t since_plain, probes_lost;
    bool probing;
};

/* A step that was made. */
struct draft_step {
    size_t drafted;
    size_t judged;   /* drafts of which it is known whether they were right */
    size_t right;    /* those that were; <= judged */
    double draft_ns; /* for all drafts together */
    double step_ns;  /* for the step of drafted + 1 rows */
    double draft_wait_ns, step_wait_ns; /* of these, waited for experts that were being read */
    uint64_t draft_reads, step_reads;   /* how many: those that were not in memory */
};

/* experts: that a draft uses. */
void draft_init(struct draft_policy *p, uint64_t experts);

/* The step to come does not follow the last one at once: their times are not to be compared. */
void draft_pause(struct draft_policy *p);

/* Length for the next step, 0 to min(most, DRAFT_MAX). Tell what became of it before asking
 * again. */
size_t draft_length(struct draft_policy *p, size_t most);

void draft_tell(struct draft_policy *p, const struct draft_step *s);

#endif
