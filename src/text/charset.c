/* charset.c - see charset.h. */
#include "text/charset.h"

#include <stdlib.h>

#include "base/util.h"

void charset_free(struct charset *s)
{
    free(s->r);
    *s = (struct charset){0};
}

void charset_add(struct charset *s, uint32_t lo, uint32_t hi)
{
    if (mem_grow(&s->r, &s->cap, s->n + 1, sizeof *s->r) != 0)
        s->failed = true;
    else
        s->r[s->n++] = (struct gram_range){lo, hi};
}

static int by_low(const void *a, const void *b)
{
    const struct gram_range *const x = a, *const y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

void charset_sort(struct charset *s)
{
    size_t kept = 0;
    if (s->n > 1)
        qsort(s->r, s->n, sizeof *s->r, by_low);
    for (size_t i = 0; i < s->n; i++) {
        struct gram_range *const last = kept > 0 ? &s->r[kept - 1] : NULL;
        if (last && s->r[i].lo <= last->hi + 1)
            last->hi = s->r[i].hi > last->hi ? s->r[i].hi : last->hi;
        else
            s->r[kept++] = s->r[i];
    }
    s->n = kept;
}

void charset_invert(struct charset *s)
{
    charset_sort(s);
    struct charset out = {.failed = s->failed};
    uint32_t from = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->r[i].lo > from)
            charset_add(&out, from, s->r[i].lo - 1);
        from = s->r[i].hi + 1;
    }
    if (from <= GRAM_CHAR_MAX)
        charset_add(&out, from, GRAM_CHAR_MAX);
    free(s->r);
    *s = out;
}

void charset_intersect(struct charset *s, struct charset *with)
{
    charset_sort(s);
    charset_sort(with);
    struct charset out = {.failed = s->failed || with->failed};
    for (size_t i = 0, k = 0; i < s->n && k < with->n;) {
        const struct gram_range a = s->r[i], b = with->r[k];
        const uint32_t lo = a.lo > b.lo ? a.lo : b.lo, hi = a.hi < b.hi ? a.hi : b.hi;
        if (lo <= hi)
            charset_add(&out, lo, hi);
        if (a.hi <= b.hi)
            i++;
        else
            k++;
    }
    free(s->r);
    *s = out;
}

uint32_t utf8_decode_valid(const char *text, size_t *len)
{
    const uint8_t *const s = (const uint8_t *)text;
    const size_t n = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3F);
    *len = n;
    return c;
}

uint32_t hex_value(const char *text, size_t len, size_t most, size_t *n)
{
    uint32_t value = 0;
    for (*n = 0; *n < most && *n < len; (*n)++) {
        const char c = text[*n];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            break;
    }
    return value;
}
