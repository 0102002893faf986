/* fuzz_encode.c - any bytes as text. The first byte picks the splits and whether added tokens
 * count; the rest is text. The bytes of the ids, joined, are the text with invalid UTF-8 replaced;
 * shown through the stream, in any steps, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "text/nfc.h"
#include "util/smalltok.h"

static const char *const merges[] = {"a a",   "aa aa", "Ġ Ġ", "ĠĠ ĠĠ", "t h", "th e",
                                     "Ġ the", "Ã ©",   "ä ¸", "Ċ Ċ",   "1 2", "< |"};

enum { QWEN2 = 1 }; /* place of the one that normalises in tokenizer() */

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static const struct tok *tokenizer(unsigned pick)
{
    static const char *const pre[] = {"glm4", "qwen2", "deepseek-v3"};
    static struct tok *made[3];
    if (!made[pick])
        made[pick] = smalltok_new(pre[pick], merges, sizeof merges / sizeof *merges, true);
    return made[pick];
}

static bool same(const struct buf *a, const struct buf *b)
{
    return !a->failed && !b->failed && a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct tok *const t = tokenizer(data[0] % 3);
    const char *const text = (const char *)data + 1;
    struct buf want, joined, shown, stepped;
    struct tok_ids ids = {0};
    struct tok_stream by_token = {0}, by_step = {0};
    buf_init(&want);
    buf_init(&joined);
    buf_init(&shown);
    buf_init(&stepped);
    utf8_append_valid(&shown, text, size - 1);
    if (data[0] % 3 == QWEN2)
        must(nfc_append(&want, shown.data, shown.len, NULL) == GLIM_OK, "any text has a form C");
    else
        buf_add(&want, shown.data, shown.len);
    buf_clear(&shown);
    must(tok_encode(t, text, size - 1, data[0] & 4, &ids, NULL) == GLIM_OK, "any text encodes");
    for (size_t i = 0, len; i < ids.n; i++) {
        const char *const s = tok_bytes(t, ids.id[i], &len);
        must((data[0] & 4) || tok_attr(t, ids.id[i]) == TOK_NORMAL, "no added token unasked");
        buf_add(&joined, s, len);
        tok_stream_add(&by_token, s, len, false, &shown);
    }
    tok_stream_add(&by_token, NULL, 0, true, &shown);
    /* form C is made between added tokens, so that with them it differs from the whole text's */
    if (data[0] % 3 != QWEN2 || !(data[0] & 4))
        must(same(&joined, &want), "the ids spell the text");
    must(same(&shown, &joined), "the stream shows the text");
    buf_clear(&want);
    utf8_append_valid(&want, text, size - 1);
    for (size_t at = 0, step; at < size - 1; at += step) {
        step = 1 + (at * 7 + data[0]) % 5;
        step = step < size - 1 - at ? step : size - 1 - at;
        tok_stream_add(&by_step, text + at, step, false, &stepped);
    }
    tok_stream_add(&by_step, NULL, 0, true, &stepped);
    must(same(&stepped, &want), "the stream replaces as the whole does");
    free(ids.id);
    buf_deinit(&want);
    buf_deinit(&joined);
    buf_deinit(&shown);
    buf_deinit(&stepped);
    return 0;
}
