/* schema_number.c - integers and numbers within bounds, digit by digit.
 *
 * Integers have at most 18 digits, so that they fit 64 bits, no leading zeros and no "-0". Numbers
 * without bounds are an integer part, at most 17 digits behind the point, and an exponent of at
 * most two digits. With bounds there is no exponent, and the bounds are met exactly as decimals:
 * what is written, not its nearest double, is compared.
 *
 *     lo <= x <= hi  =  (integer part of lo, fraction >= lo's)
 *                     | (an integer part between, any fraction)
 *                     | (integer part of hi, fraction <= hi's)
 */
#include "text/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { INT_DIGITS = 18, FRACTION_DIGITS = 17, BOUND_FRACTION_MAX = 30 };
#define INT_MOST UINT64_C(999999999999999999) /* of INT_DIGITS */

/* A bound without its sign: whole.fraction, the fraction without zeros at its end. */
struct decimal {
    uint64_t whole;
    char fraction[BOUND_FRACTION_MAX + 1];
    size_t digits;
    bool strict; /* x itself is out */
};

/* ---- digits ---- */

static void digit(struct schema *c, uint32_t from, int lo, int hi, uint32_t to)
{
    if (lo <= hi)
        gram_bytes(c->b, from, (uint8_t)('0' + lo), (uint8_t)('0' + hi), to);
}

static uint32_t digits(struct schema *c, uint32_t from, uint32_t min, uint32_t max)
{
    struct gram_frag one = {gram_node(c->b), gram_node(c->b)};
    digit(c, one.start, 0, 9, one.end);
    return gram_times(c->b, from, one, min, max);
}

/* All texts of n digits from lo to hi (of n digits each). Recurses n deep. */
static void same_length(struct schema *c, uint32_t from, const char *lo, const char *hi, size_t n,
                        uint32_t to)
{
    static const char zeros[] = "000000000000000000", nines[] = "999999999999999999";
    const int a = lo[0] - '0', b = hi[0] - '0';
    if (n == 1) {
        digit(c, from, a, b, to);
        return;
    }
    if (a == b) {
        const uint32_t next = gram_node(c->b);
        digit(c, from, a, a, next);
        same_length(c, next, lo + 1, hi + 1, n - 1, to);
        return;
    }
    const bool low = memcmp(lo + 1, zeros, n - 1) == 0, high = memcmp(hi + 1, nines, n - 1) == 0;
    if (!low) {
        const uint32_t next = gram_node(c->b);
        digit(c, from, a, a, next);
        same_length(c, next, lo + 1, nines, n - 1, to);
    }
    if (!high) {
        const uint32_t next = gram_node(c->b);
        digit(c, from, b, b, next);
        same_length(c, next, zeros, hi + 1, n - 1, to);
    }
    const uint32_t free_from = gram_node(c->b);
    digit(c, from, low ? a : a + 1, high ? b : b - 1, free_from);
    gram_empty(c->b, digits(c, free_from, (uint32_t)n - 1, (uint32_t)n - 1), to);
}

/* The integers lo to hi, at most INT_MOST, without leading zeros. */
static void integers(struct schema *c, uint32_t from, uint64_t lo, uint64_t hi, uint32_t to)
{
    uint64_t first = 0, last = 9; /* of this length */
    for (size_t n = 1; n <= INT_DIGITS && schema_ok(c); n++) {
        const uint64_t a = lo > first ? lo : first, b = hi < last ? hi : last;
        char low[24], high[24];
        if (a <= b) {
            (void)snprintf(low, sizeof low, "%" PRIu64, a);
            (void)snprintf(high, sizeof high, "%" PRIu64, b);
            same_length(c, from, low, high, n, to);
        }
        first = last + 1;
        last = 10 * last + 9;
    }
}

/* ---- fractions: from behind the integer part; node `point` is behind the point ---- */

/* Digits of which at least one is not 0. */
static void above_zero(struct schema *c, uint32_t from, uint32_t to)
{
    const uint32_t zeros = gram_node(c->b), rest = gram_node(c->b);
    struct gram_frag zero = {gram_node(c->b), gram_node(c->b)};
    digit(c, zero.start, 0, 0, zero.end);
    gram_empty(c->b, gram_times(c->b, from, zero, 0, FRACTION_DIGITS), zeros);
    digit(c, zeros, 1, 9, rest);
    gram_empty(c->b, digits(c, rest, 0, FRACTION_DIGITS), to);
}

static void any_rest(struct schema *c, uint32_t from, int lo, int hi, uint32_t to)
{
    const uint32_t rest = gram_node(c->b);
    digit(c, from, lo, hi, rest);
    if (lo <= hi)
        gram_empty(c->b, digits(c, rest, 0, FRACTION_DIGITS), to);
}

static int digit_at(const struct decimal *d, size_t i)
{
    return i < d->digits ? d->fraction[i] - '0' : 0;
}

/* The fraction digits from number i on, all before being those of the bound. */
static void at_least(struct schema *c, uint32_t from, const struct decimal *lo, size_t i,
                     uint32_t to)
{
    for (; i < lo->digits; i++) {
        const uint32_t next = gram_node(c->b);
        any_rest(c, from, digit_at(lo, i) + 1, 9, to);
        digit(c, from, digit_at(lo, i), digit_at(lo, i), next);
        from = next;
    }
    if (lo->strict)
        above_zero(c, from, to);
    else
        gram_empty(c->b, digits(c, from, i > 0 ? 0 : 1, FRACTION_DIGITS), to);
}

static void at_most(struct schema *c, uint32_t from, const struct decimal *hi, size_t i,
                    uint32_t to)
{
    for (; i < hi->digits; i++) {
        const uint32_t next = gram_node(c->b);
        if (i > 0)
            gram_empty(c->b, from, to); /* shorter: less */
        any_rest(c, from, 0, digit_at(hi, i) - 1, to);
        digit(c, from, digit_at(hi, i), digit_at(hi, i), next);
        from = next;
    }
    struct gram_frag zero = {gram_node(c->b), gram_node(c->b)};
    digit(c, zero.start, 0, 0, zero.end);
    if (!hi->strict)
        gram_empty(c->b, gram_times(c->b, from, zero, i > 0 ? 0 : 1, FRACTION_DIGITS), to);
}

/* Both bounds have the same integer part. */
static void between(struct schema *c, uint32_t from, const struct decimal *lo,
                    const struct decimal *hi, uint32_t to)
{
    for (size_t i = 0; i < BOUND_FRACTION_MAX && schema_ok(c); i++) {
        const int a = digit_at(lo, i), b = digit_at(hi, i);
        const bool lo_met = i >= lo->digits && !lo->strict; /* what stands so far is enough */
        const bool hi_left = i < hi->digits || !hi->strict;
        if (i > 0 && lo_met && hi_left)
            gram_empty(c->b, from, to);
        if (a > b || (i >= lo->digits && i >= hi->digits && (lo->strict || hi->strict)))
            return;
        if (a < b) {
            const uint32_t low = gram_node(c->b), high = gram_node(c->b);
            any_rest(c, from, a + 1, b - 1, to);
            digit(c, from, a, a, low);
            at_least(c, low, lo, i + 1, to);
            digit(c, from, b, b, high);
            at_most(c, high, hi, i + 1, to);
            return;
        }
        const uint32_t next = gram_node(c->b);
        digit(c, from, a, a, next);
        from = next;
    }
}

/* ---- magnitudes ---- */

static bool is_zero(const struct decimal *d)
{
    return d->digits == 0;
}

static uint32_t behind_point(struct schema *c, uint32_t from)
{
    return gram_string(c->b, from, ".");
}

static void low_end(struct schema *c, uint32_t from, const struct decimal *lo, uint32_t to)
{
    const uint32_t whole = gram_node(c->b);
    integers(c, from, lo->whole, lo->whole, whole);
    if (is_zero(lo) && !lo->strict)
        gram_empty(c->b, whole, to);
    at_least(c, behind_point(c, whole), lo, 0, to);
}

static void high_end(struct schema *c, uint32_t from, const struct decimal *hi, uint32_t to)
{
    const uint32_t whole = gram_node(c->b);
    integers(c, from, hi->whole, hi->whole, whole);
    if (!is_zero(hi) || !hi->strict)
        gram_empty(c->b, whole, to);
    at_most(c, behind_point(c, whole), hi, 0, to);
}

/* Numbers without a sign from lo to hi. */
static void magnitudes(struct schema *c, uint32_t from, const struct decimal *lo,
                       const struct decimal *hi, uint32_t to)
{
    const uint32_t whole = gram_node(c->b);
    if (lo->whole > hi->whole)
        return;
    if (lo->whole == hi->whole) {
        integers(c, from, lo->whole, lo->whole, whole);
        if (is_zero(lo) && !lo->strict && (!is_zero(hi) || !hi->strict))
            gram_empty(c->b, whole, to);
        between(c, behind_point(c, whole), lo, hi, to);
        return;
    }
    low_end(c, from, lo, to);
    high_end(c, from, hi, to);
    if (lo->whole + 1 <= hi->whole - 1) {
        integers(c, from, lo->whole + 1, hi->whole - 1, whole);
        gram_empty(c->b, whole, to);
        gram_empty(c->b, digits(c, behind_point(c, whole), 1, FRACTION_DIGITS), to);
    }
}

/* ---- bounds ---- */

struct bound {
    bool given, negative;
    bool beyond; /* more than INT_DIGITS: d is the last one that can be written */
    struct decimal d;
};

/* A number's text as a decimal: digits, point and exponent are sorted out. */
static void read_decimal(struct schema *c, struct bound *out, const char *text)
{
    char all[128];
    long point = 0, exponent = 0;
    size_t n = 0;
    bool seen_point = false;
    out->negative = *text == '-';
    for (text += out->negative; *text && *text != 'e' && *text != 'E'; text++) {
        seen_point = seen_point || *text == '.';
        if (*text < '0' || *text > '9' || (n == 0 && *text == '0' && !seen_point))
            continue;
        point += !seen_point;
        if (n + 1 < sizeof all)
            all[n++] = *text;
    }
    if (*text)
        exponent = strtol(text + 1, NULL, 10);
    if (exponent < -1000 || exponent > 1000)
        exponent = exponent < 0 ? -1000 : 1000;
    while (n > 0 && all[n - 1] == '0')
        n--;
    point += exponent;
    if (n > 0 && (long)n - point > BOUND_FRACTION_MAX - 1)
        schema_fault(c, GLIM_EUNSUPPORTED,
                     "a bound with %ld digits behind the point, expected at most %d",
                     (long)n - point, BOUND_FRACTION_MAX - 1);
    out->beyond = n > 0 && point > INT_DIGITS;
    if (out->beyond) {
        out->d = (struct decimal){.whole = INT_MOST};
        return;
    }
    for (long i = 0; i < point && n > 0 && schema_ok(c); i++)
        out->d.whole = 10 * out->d.whole + (i < (long)n ? (uint64_t)(all[i] - '0') : 0);
    for (long i = point; i < (long)n && schema_ok(c); i++)
        out->d.fraction[out->d.digits++] = i < 0 ? '0' : all[i];
    if (n == 0)
        out->negative = false;
}

static void read_number(struct schema *c, struct bound *out, struct json_object *number)
{
    struct buf text;
    buf_init(&text);
    json_write(&text, number);
    if (text.failed)
        gram_no_memory(c->b);
    read_decimal(c, out, text.data);
    buf_deinit(&text);
}

static int compare(const struct bound *a, const struct bound *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    int order = a->d.whole < b->d.whole ? -1 : a->d.whole > b->d.whole;
    for (size_t i = 0; order == 0 && i < BOUND_FRACTION_MAX; i++)
        order = digit_at(&a->d, i) - digit_at(&b->d, i);
    return a->negative ? -order : order;
}

/* The tighter one of a bound and its exclusive form; side 1: upper. */
static struct bound read_bound(struct schema *c, struct json_object *s, const char *word,
                               const char *exclusive, int side)
{
    struct bound out = {0};
    const char *const words[] = {word, exclusive};
    for (int i = 0; i < 2; i++) {
        struct json_object *const v = schema_get(s, words[i]);
        struct bound one = {.given = true, .d.strict = i == 1};
        if (!v)
            continue;
        read_number(c, &one, v);
        if (one.beyond && (side == 1) == one.negative)
            schema_fault(c, GLIM_EUNSUPPORTED, "\"%s\" beyond %d digits, expected at most that",
                         words[i], INT_DIGITS);
        const int order = out.given ? compare(&one, &out) * (side ? -1 : 1) : 1;
        if (order > 0 || (order == 0 && one.d.strict))
            out = one;
    }
    return out;
}

/* The integer magnitude that a bound comes to: up: the next one not below. */
static uint64_t whole_of(const struct decimal *d, bool up)
{
    const bool exact = d->digits == 0;
    if (up)
        return d->whole + (exact ? d->strict : 1);
    return exact && d->strict ? d->whole - 1 : d->whole;
}

/* ---- values ---- */

/* One sign's share: magnitudes from lo to hi, either of which may be missing. */
static void share(struct schema *c, uint32_t from, const struct decimal *lo,
                  const struct decimal *hi, bool integer, uint32_t to)
{
    static const struct decimal none = {0}, most = {.whole = INT_MOST};
    lo = lo ? lo : &none;
    hi = hi ? hi : &most;
    if (!integer) {
        magnitudes(c, from, lo, hi, to);
        return;
    }
    const uint64_t a = whole_of(lo, true);
    if (hi->whole == 0 && hi->digits == 0 && hi->strict)
        return;
    if (a <= whole_of(hi, false))
        integers(c, from, a, whole_of(hi, false), to);
}

static void bounded(struct schema *c, uint32_t from, const struct bound *lo, const struct bound *hi,
                    bool integer, uint32_t to)
{
    static const struct decimal above = {.strict = true};
    if (!hi->given || !hi->negative) /* 0 and above */
        share(c, from, lo->given && !lo->negative ? &lo->d : NULL, hi->given ? &hi->d : NULL,
              integer, to);
    if (!lo->given || lo->negative) /* below 0 */
        share(c, gram_string(c->b, from, "-"), hi->given && hi->negative ? &hi->d : &above,
              lo->given ? &lo->d : NULL, integer, to);
}

static uint32_t unbounded(struct schema *c, uint32_t from, bool integer, uint32_t to)
{
    const uint32_t minus = gram_string(c->b, from, "-"), whole = gram_node(c->b);
    integers(c, from, 0, INT_MOST, whole);
    integers(c, minus, integer ? 1 : 0, INT_MOST, whole);
    gram_empty(c->b, whole, to);
    if (integer)
        return to;
    const uint32_t exponent = gram_node(c->b), sign = gram_node(c->b), after = gram_node(c->b);
    gram_empty(c->b, whole, exponent);
    gram_empty(c->b, digits(c, behind_point(c, whole), 1, FRACTION_DIGITS), exponent);
    gram_empty(c->b, exponent, to);
    gram_bytes(c->b, exponent, 'e', 'e', sign);
    gram_bytes(c->b, exponent, 'E', 'E', sign);
    gram_empty(c->b, sign, after);
    gram_bytes(c->b, sign, '+', '+', after);
    gram_bytes(c->b, sign, '-', '-', after);
    gram_empty(c->b, digits(c, after, 1, 2), to);
    return to;
}

uint32_t schema_number(struct schema *c, struct json_object *s, uint32_t from, bool integer)
{
    const struct bound lo = read_bound(c, s, "minimum", "exclusiveMinimum", 0);
    const struct bound hi = read_bound(c, s, "maximum", "exclusiveMaximum", 1);
    const uint32_t to = gram_node(c->b);
    if (!schema_ok(c))
        return to;
    if (lo.given || hi.given)
        bounded(c, from, &lo, &hi, integer, to);
    else if (s)
        gram_empty(c->b, schema_call(c, integer ? RULE_INTEGER : RULE_NUMBER, from), to);
    else
        unbounded(c, from, integer, to);
    return to;
}

bool schema_number_fits(struct schema *c, struct json_object *s, struct json_object *value)
{
    const struct bound lo = read_bound(c, s, "minimum", "exclusiveMinimum", 0);
    const struct bound hi = read_bound(c, s, "maximum", "exclusiveMaximum", 1);
    struct bound x = {0};
    read_number(c, &x, value);
    const int below = lo.given ? compare(&x, &lo) : 1, above = hi.given ? compare(&x, &hi) : -1;
    return (below > 0 || (below == 0 && !lo.d.strict))
           && (above < 0 || (above == 0 && !hi.d.strict));
}
