/* hidden.c - see hidden.h. */
#include "server/hidden.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

static const char head[] = "glim1.";
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Up to three bytes as four digits. */
static void put_group(const unsigned char *s, size_t n, struct buf *out)
{
    const uint32_t v = (uint32_t)s[0] << 16 | (n > 1 ? (uint32_t)s[1] << 8 : 0)
                     | (n > 2 ? (uint32_t)s[2] : 0);
    const char group[4] = {digits[v >> 18], digits[v >> 12 & 63],
                           n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
    buf_add(out, group, sizeof group);
}

void hidden_seal(const char *text, size_t len, struct buf *out)
{
    buf_adds(out, head);
    for (size_t i = 0; i < len; i += 3)
        put_group((const unsigned char *)text + i, len - i < 3 ? len - i : 3, out);
}

static int digit_of(char c)
{
    const char *const at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Four digits as up to three bytes; false if they are none. */
static bool take_group(const char *s, bool last, struct buf *out)
{
    const size_t n = !last || s[3] != '=' ? 3 : s[2] != '=' ? 2 : 1;
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++) {
        const int d = i <= n ? digit_of(s[i]) : 0;
        if (d < 0)
            return false;
        v = v << 6 | (uint32_t)d;
    }
    const char bytes[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
    buf_add(out, bytes, n);
    return true;
}

bool hidden_open(struct json_object *sealed, struct buf *out)
{
    if (!json_object_is_type(sealed, json_type_string))
        return false;
    const char *const s = json_object_get_string(sealed);
    const size_t len = (size_t)json_object_get_string_len(sealed), skip = sizeof head - 1;
    if (len <= skip || (len - skip) % 4 != 0 || memcmp(s, head, skip) != 0)
        return false;
    struct buf text;
    buf_init(&text);
    bool ok = true;
    for (size_t i = skip; ok && i < len; i += 4)
        ok = take_group(s + i, i + 4 == len, &text);
    if (ok && !text.failed)
        utf8_append_valid(out, text.data, text.len);
    out->failed |= text.failed;
    buf_deinit(&text);
    return ok;
}
