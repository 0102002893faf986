/* The length of drafts against simulated chances and prices: what pays is found, what does not pay
 * costs little, and what pays again is found again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sample/draft.h"
#include "util/rng.h"

struct world {
    double chance;         /* that a draft is right when those before it were */
    double slope, draft;   /* price of a further row and of a draft, in steps of one row */
    double noise;          /* times are off by up to this share */
    double spikes;         /* share of the times that are up to ten times as long */
    double speed;          /* ns of a step of one row */
    double read;           /* price of a read, the same */
    double plain, more, drafted; /* reads of a step of one row, of a further row, of a draft */
    double spill;          /* share by which steps behind drafts read more, at first */
    double spilled;        /* now */
    struct rng rng;
    /* what came of it */
    uint64_t tokens, steps[DRAFT_MAX + 1];
    double time;           /* without noise, in steps of one row */
};

enum { USED = 8 }; /* experts of a draft */

static double unit(struct rng *r) { return (double)rng_below(r, 1u << 30) / (1u << 30); }

static double blurred(struct world *w, double t)
{
    const double late = w->spikes > 0 && unit(&w->rng) < w->spikes ? 1 + 9 * unit(&w->rng) : 1;
    return t * w->speed * late * (1 + w->noise * (2 * unit(&w->rng) - 1));
}

static double waited(struct world *w, uint64_t reads)
{
    return reads > 0 ? blurred(w, w->read * (double)reads) : 0;
}

/* A whole number with this mean. */
static uint64_t count(struct world *w, double mean)
{
    return mean > 0 ? (uint64_t)(mean * (0.5 + unit(&w->rng)) + unit(&w->rng)) : 0;
}

static void live(struct draft_policy *p, struct world *w, uint64_t tokens)
{
    const uint64_t end = w->tokens + tokens;
    while (w->tokens < end) {
        struct draft_step s = {.drafted = draft_length(p, DRAFT_MAX)};
        while (s.right < s.drafted && unit(&w->rng) < w->chance)
            s.right++;
        s.judged = s.right < s.drafted ? s.right + 1 : s.drafted;
        const double k = (double)s.drafted, step = 1 + w->slope * k, drafts = w->draft * k;
        s.step_reads = count(w, w->plain * (1 + w->spilled) + w->more * k);
        s.draft_reads = count(w, w->drafted * k);
        w->spilled = s.drafted ? w->spill : w->spilled / 2;
        s.step_wait_ns = waited(w, s.step_reads);
        s.draft_wait_ns = waited(w, s.draft_reads);
        s.step_ns = blurred(w, step) + s.step_wait_ns;
        s.draft_ns = blurred(w, drafts) + s.draft_wait_ns;
        w->steps[s.drafted]++;
        w->tokens += 1 + s.right;
        w->time += step + drafts + w->read * (double)(s.step_reads + s.draft_reads);
        draft_tell(p, &s);
    }
}

static void forget(struct world *w)
{
    w->tokens = 0;
    w->time = 0;
    memset(w->steps, 0, sizeof w->steps);
}

/* Tokens a unit of time of a fixed length, by the formula. */
static double fixed_rate(const struct world *w, size_t k)
{
    double tokens = 1, c = 1;
    for (size_t i = 0; i < k; i++) {
        c *= w->chance;
        tokens += c;
    }
    return tokens / (1 + (w->slope + w->draft) * (double)k);
}

static const double slopes[] = {0.02, 0.1, 0.3, 0.65, 1};
static const double drafts[] = {0.02, 0.2, 0.7};

enum { PRICES = COUNT_OF(slopes) * COUNT_OF(drafts) };

/* World i of PRICES. */
static struct world priced(size_t i, double chance, double noise, uint64_t seed)
{
    return (struct world){.chance = chance, .slope = slopes[i / COUNT_OF(drafts)],
                          .draft = drafts[i % COUNT_OF(drafts)], .noise = noise, .speed = 1e6,
                          .rng = {seed}};
}

/* Drafts that are never right cost less than 3 %, from the first token on; less than 5 % where the
 * clock is off by up to 40 % and prices must be found out first. */
static void test_never_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * PRICES; i++) {
        struct draft_policy p;
        struct world w = priced(i / 2, 0, i % 2 ? 0.4 : 0, i + 1);
        draft_init(&p, USED);
        live(&p, &w, 150);
        if (w.time > 150 * (i % 2 ? 1.05 : 1.03))
            fail_msg("slope %g, draft %g: %g steps for 150", w.slope, w.draft, w.time);
        live(&p, &w, 5000);
        if (w.time > (double)w.tokens * 1.01)
            fail_msg("slope %g, draft %g: %g steps for 5150", w.slope, w.draft, w.time);
    }
}

/* The policy's rate over so many steps, when it has settled, in that of the best fixed length. */
static double share_of_best(struct world *w, size_t steps)
{
    struct draft_policy p;
    double best = 1;
    for (size_t k = 1; k <= DRAFT_MAX; k++)
        best = fmax(best, fixed_rate(w, k));
    draft_init(&p, USED);
    live(&p, w, 300);
    forget(w);
    live(&p, w, steps);
    return (double)w->tokens / w->time / best;
}

/* Near the best fixed length on the whole, although the clock is off by up to 30 %, and never worse
 * than no drafts by 3 %. */
static void test_finds_what_pays(void **state)
{
    (void)state;
    static const double chances[] = {0, 0.3, 0.6, 0.8, 0.9, 0.98};
    double worst = 1, sum = 0;
    for (size_t i = 0; i < PRICES * COUNT_OF(chances); i++) {
        struct world w = priced(i % PRICES, chances[i / PRICES], 0.3, i + 9);
        const double share = share_of_best(&w, 5000);
        worst = fmin(worst, share);
        sum += share;
        if (share < 0.8 || (double)w.tokens / w.time < 0.97)
            fail_msg("chance %g, slope %g, draft %g: rate %g, best %g", w.chance, w.slope, w.draft,
                     (double)w.tokens / w.time, (double)w.tokens / w.time / share);
    }
    const double mean = sum / (double)(PRICES * COUNT_OF(chances));
    printf("  %.1f %% of the best fixed length, at worst %.1f %%\n", 100 * mean, 100 * worst);
    assert_true(mean > 0.975);
}

static void test_rows_for_nothing_and_rows_at_full_price(void **state)
{
    (void)state;
    struct draft_policy p;
    struct world w = {.chance = 0.9, .slope = 0.01, .draft = 0.01, .speed = 5e5, .rng = {3}};
    draft_init(&p, USED);
    live(&p, &w, 1000);
    forget(&w);
    live(&p, &w, 2000);
    uint64_t all = 0;
    for (size_t k = 0; k <= DRAFT_MAX; k++)
        all += w.steps[k];
    assert_true(w.steps[DRAFT_MAX] * 10 >= all * 9);

    w = (struct world){.chance = 0.98, .slope = 1, .draft = 0.05, .speed = 5e5, .rng = {4}};
    draft_init(&p, USED);
    live(&p, &w, 200);
    forget(&w);
    live(&p, &w, 2000);
    assert_true((double)w.steps[0] >= 0.98 * (double)w.tokens);
}

/* A text that the draft layer cannot follow, then one that it can: back within some hundred tokens,
 * and off again as soon when it ends. */
static void test_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct draft_policy p;
        struct world w = {.chance = 0, .slope = 0.2, .draft = 0.05, .speed = 1e7, .noise = 0.2,
                          .rng = {seed}};
        draft_init(&p, USED);
        live(&p, &w, 2000);
        forget(&w);
        w.chance = 0.9;
        live(&p, &w, 400);
        forget(&w);
        live(&p, &w, 1000);
        assert_true((double)w.tokens / w.time > 0.9 * fixed_rate(&w, DRAFT_MAX));
        forget(&w);
        w.chance = 0;
        live(&p, &w, 1000);
        /* what was earned may be lost again before evidence has faded, and no more */
        assert_true(w.time < 1000 * 1.01 + 17);
    }
}

/* The whole machine three times as slow, or as fast: nothing about what pays has changed. */
static void test_speed_of_the_machine_does_not_matter(void **state)
{
    (void)state;
    struct draft_policy p;
    struct world w = {.chance = 0.9, .slope = 0.1, .draft = 0.05, .speed = 1e7, .rng = {5}};
    draft_init(&p, USED);
    live(&p, &w, 1000);
    for (int i = 0; i < 6; i++) {
        forget(&w);
        w.speed = i % 2 ? 1e7 : 3e7;
        live(&p, &w, 300);
        assert_true((double)w.tokens / w.time > 0.93 * fixed_rate(&w, DRAFT_MAX));
    }
}

/* What drafts cost that are never right, in rows: all of those computed for drafts. */
static uint64_t rows_lost(const struct world *w)
{
    uint64_t rows = 0;
    for (size_t k = 1; k <= DRAFT_MAX; k++)
        rows += k * w->steps[k];
    return rows;
}

static uint64_t verifications(const struct world *w)
{
    uint64_t steps = 0;
    for (size_t k = 1; k <= DRAFT_MAX; k++)
        steps += w->steps[k];
    return steps;
}

/* Drafts that are never right are off from the start, but for probes; drafts that were right and
 * are no more, when what they brought is lost. A clock without noise; the prices are about those of
 * the bundled model with one thread. */
static void test_switches_off(void **state)
{
    (void)state;
    struct draft_policy p;
    struct world w = {.slope = 0.4, .draft = 0.15, .speed = 1e6, .rng = {7}};
    draft_init(&p, USED);
    live(&p, &w, 1000);
    printf("  never right: %llu verifications, %llu rows, %.1f steps for 1000 tokens\n",
           (unsigned long long)verifications(&w), (unsigned long long)rows_lost(&w), w.time);
    assert_true(verifications(&w) <= 12);
    assert_true(rows_lost(&w) * 100 <= 3 * w.tokens);
    assert_true(w.time <= 1.03 * 1000);

    w.chance = 0.95;
    live(&p, &w, 2000);
    forget(&w);
    w.chance = 0;
    live(&p, &w, 60);
    const uint64_t first = verifications(&w);
    live(&p, &w, 940);
    printf("  no more right: %llu verifications, %llu of them in 60 tokens, %llu rows\n",
           (unsigned long long)verifications(&w), (unsigned long long)first,
           (unsigned long long)rows_lost(&w));
    assert_true(first <= 8);
    assert_true(verifications(&w) <= 20);
    assert_true(rows_lost(&w) * 100 <= 3 * w.tokens);
}

/* One step in ten or three is held up by other programs, for up to ten times what it takes: what
 * pays is found all the same. The means over seeds of the shares of the best fixed length. */
static void test_busy_machine(void **state)
{
    (void)state;
    static const double chances[] = {0.6, 0.8, 0.95}, rows[] = {0.1, 0.3, 0.5}, late[] = {0.1, 0.3};
    enum { WORLDS = 18, SEEDS = 20 };
    double worst = 1;
    for (size_t i = 0; i < WORLDS; i++) {
        double sum = 0;
        for (size_t seed = 1; seed <= SEEDS; seed++) {
            struct world w = {.chance = chances[i % 3], .slope = rows[i / 3 % 3], .draft = 0.15,
                              .noise = 0.1, .spikes = late[i / 9], .speed = 1e6,
                              .rng = {100 * i + seed}};
            sum += share_of_best(&w, 2000);
        }
        worst = fmin(worst, sum / SEEDS);
    }
    printf("  at worst %.1f %% of the best fixed length\n", 100 * worst);
    assert_true(worst > 0.85);
}

/* Reads are what costs, and steps behind drafts find less in memory: what neighbours take would say
 * that drafts pay. */
static void test_reads_of_drafts_do_not_pay(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct draft_policy p;
        struct world w = {.chance = 0.9, .slope = 0.15, .draft = 0.1, .speed = 1e6, .noise = 0.2,
                          .read = 0.8, .plain = 5, .more = 2.5, .drafted = 3, .spill = 0.8,
                          .rng = {seed}};
        const double a_token = 1 + w.read * w.plain;
        draft_init(&p, USED);
        live(&p, &w, 2000);
        if (w.time > 1.03 * a_token * (double)w.tokens)
            fail_msg("seed %llu: %g steps for %g", (unsigned long long)seed, w.time,
                     a_token * (double)w.tokens);
    }
}

/* Rows share most of what they read: drafts pay though a draft's own reads are dear. */
static void test_reads_of_drafts_pay(void **state)
{
    (void)state;
    struct draft_policy p;
    struct world w = {.chance = 0.9, .slope = 0.15, .draft = 0.1, .speed = 1e6, .noise = 0.2,
                      .read = 0.5, .plain = 30, .more = 12, .drafted = 4, .rng = {3}};
    const double a_token = 1 + w.read * w.plain;
    draft_init(&p, USED);
    live(&p, &w, 300);
    forget(&w);
    live(&p, &w, 2000);
    assert_true(w.time < a_token * (double)w.tokens / 1.1);
}

/* All is found, but what a draft uses is not, and a read takes as long as two steps: one probe
 * finds that out, and the next ones wait until they cost 2 % of the time. */
static void test_dear_probes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct draft_policy p;
        struct world w = {.chance = 0, .slope = 0.15, .draft = 0.1, .speed = 1e6, .read = 2,
                          .drafted = USED, .more = 1, .rng = {seed}};
        draft_init(&p, USED);
        live(&p, &w, 4000);
        assert_true(w.time < 1.02 * 4000);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct draft_policy p;
    draft_init(&p, USED);
    assert_int_equal(draft_length(&p, DRAFT_MAX), 0); /* nothing is known yet */
    struct world w = {.chance = 1, .slope = 0.01, .draft = 0.01, .speed = 1e6, .rng = {6}};
    live(&p, &w, 1000);
    for (size_t most = 0; most <= 9; most++)
        assert_int_equal(draft_length(&p, most), most < DRAFT_MAX ? most : DRAFT_MAX);
    const struct draft_step cut = {.drafted = 5, .judged = 0, .step_ns = 0};
    draft_tell(&p, &cut); /* an answer that ended at once, on a clock that stood still */
    assert_true(draft_length(&p, DRAFT_MAX) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_right),
        cmocka_unit_test(test_finds_what_pays),
        cmocka_unit_test(test_rows_for_nothing_and_rows_at_full_price),
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_speed_of_the_machine_does_not_matter),
        cmocka_unit_test(test_switches_off),
        cmocka_unit_test(test_busy_machine),
        cmocka_unit_test(test_reads_of_drafts_do_not_pay),
        cmocka_unit_test(test_reads_of_drafts_pay),
        cmocka_unit_test(test_dear_probes),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
