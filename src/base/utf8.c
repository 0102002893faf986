/* utf8.c - see utf8.h. */
#include "base/utf8.h"

/* Length that the first byte promises (0: it begins nothing) and the range of the second (Unicode
 * 15, table 3-7). */
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    *hi = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (c < 0x80)
        return 1;
    if (c < 0xC2 || c > 0xF4)
        return 0;
    return c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

enum utf8_class utf8_classify(const char *s, size_t n, size_t *len)
{
    const unsigned char *const u = (const unsigned char *)s;
    unsigned char lo, hi;
    const size_t want = lead(u[0], &lo, &hi);
    *len = 1;
    if (want == 0)
        return UTF8_BAD;
    for (size_t i = 1; i < want; i++, lo = 0x80, hi = 0xBF) {
        *len = i;
        if (i == n)
            return UTF8_PARTIAL;
        if (u[i] < lo || u[i] > hi)
            return UTF8_BAD;
    }
    *len = want;
    return UTF8_OK;
}

bool utf8_is_control(const char *s, size_t n)
{
    const unsigned char c = (unsigned char)s[0];
    return n == 1 ? c < 0x20 || c == 0x7F : n == 2 && c == 0xC2 && (unsigned char)s[1] < 0xA0;
}

size_t utf8_valid_len(const char *text, size_t len)
{
    const unsigned char *const s = (const unsigned char *)text;
    size_t at = 0, n;
    for (;; at += n) {
        while (at < len && s[at] < 0x80) /* most text is ASCII */
            at++;
        if (at == len || utf8_classify(text + at, len - at, &n) != UTF8_OK)
            return at;
    }
}

size_t utf8_whole_len(const char *text, size_t len)
{
    for (size_t back = 1, n; back <= 3 && back <= len; back++) {
        if (utf8_classify(text + len - back, back, &n) == UTF8_PARTIAL)
            return len - back;
    }
    return len;
}

size_t utf8_append_whole(struct buf *out, const char *s, size_t n)
{
    for (;;) {
        const size_t good = utf8_valid_len(s, n);
        buf_add(out, s, good);
        s += good;
        n -= good;
        size_t bad;
        if (n == 0 || utf8_classify(s, n, &bad) == UTF8_PARTIAL)
            return n;
        buf_adds(out, UTF8_REPLACEMENT);
        s += bad;
        n -= bad;
    }
}

void utf8_append_valid(struct buf *out, const char *s, size_t n)
{
    if (utf8_append_whole(out, s, n) > 0)
        buf_adds(out, UTF8_REPLACEMENT);
}

size_t utf8_encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}
