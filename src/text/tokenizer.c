/* tokenizer.c - see tokenizer.h: text -> ids -> bytes, over the tables that tok_build.c made. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "text/bpe.h"
#include "text/nfc.h"
#include "text/tok_impl.h"

enum { TEXT_MAX = 1 << 30 }; /* bytes of one tok_encode */

uint32_t tok_count(const struct tok *t) { return (uint32_t)t->vocab.count; }

static bool in_range(const struct tok *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.count;
}

enum tok_attr tok_attr(const struct tok *t, int32_t id)
{
    return in_range(t, id) ? (enum tok_attr)t->attr[id] : TOK_UNUSED;
}

int32_t tok_find(const struct tok *t, const char *text, size_t len)
{
    for (int i = 0; i < ADDED_ROUNDS; i++) {
        const struct added_token *const a = added_find(&t->added[i], text, len);
        if (a)
            return a->id;
    }
    return -1;
}

const char *tok_bytes(const struct tok *t, int32_t id, size_t *len)
{
    *len = 0;
    if (tok_attr(t, id) == TOK_UNUSED)
        return NULL;
    return vocab_bytes(&t->vocab, (uint32_t)id, len);
}

int tok_ids_push(struct tok_ids *ids, int32_t id, struct err *e)
{
    if (mem_grow(&ids->id, &ids->cap, ids->n + 1, sizeof *ids->id) != 0)
        return err_nomem(e, "tokens", ids->n * sizeof *ids->id);
    ids->id[ids->n++] = id;
    return GLIM_OK;
}

/* One tok_encode. */
struct encoder {
    const struct tok *t;
    const char *text;
    const struct tok_range *trusted; /* [ranges] */
    size_t ranges;
    struct pretok_run *run;
    struct bpe bpe;
    struct tok_ids *out;
};

static int encode_piece(void *ctx, const char *piece, size_t len, struct err *e)
{
    struct encoder *const x = ctx;
    const int64_t id = x->t->ignore_merges ? vocab_find(&x->t->vocab, piece, len) : -1;
    if (id >= 0)
        return tok_ids_push(x->out, (int32_t)id, e);
    return bpe_encode(&x->bpe, &x->t->vocab, x->t->byte_id, piece, len, x->out, e);
}

/* Text without added tokens. */
static int encode_text(struct encoder *x, const char *text, size_t len, struct err *e)
{
    if (!x->t->nfc || nfc_is_plain(text, len))
        return pretok_split(x->t->pre, x->run, text, len, encode_piece, x, e);
    struct buf normal;
    buf_init(&normal);
    int rc = nfc_append(&normal, text, len, e);
    if (rc == GLIM_OK)
        rc = pretok_split(x->t->pre, x->run, normal.data, normal.len, encode_piece, x, e);
    buf_deinit(&normal);
    return rc;
}

/* The first trusted range that ends after `at`. */
static size_t first_range(const struct encoder *x, size_t at)
{
    size_t lo = 0, hi = x->ranges;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (x->trusted[mid].end <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The first added token of this round that begins in text[from..end) and lies within a trusted
 * range. */
static const struct added_token *next_added(const struct encoder *x, int round, size_t from,
                                            size_t end, size_t *at)
{
    for (size_t i = first_range(x, from); i < x->ranges && x->trusted[i].begin < end; i++) {
        const size_t begin = x->trusted[i].begin > from ? x->trusted[i].begin : from;
        const size_t stop = x->trusted[i].end < end ? x->trusted[i].end : end;
        const struct added_token *const a =
            added_search(&x->t->added[round], x->text, stop, begin, at);
        if (a)
            return a;
    }
    return NULL;
}

/* Cuts out the added tokens of this round and the later ones; recursion over ADDED_ROUNDS. */
static int encode_added(struct encoder *x, int round, size_t from, size_t end, struct err *e)
{
    if (round == ADDED_ROUNDS)
        return encode_text(x, x->text + from, end - from, e);
    int rc = GLIM_OK;
    while (rc == GLIM_OK && from < end) {
        size_t at;
        const struct added_token *const a = next_added(x, round, from, end, &at);
        rc = encode_added(x, round + 1, from, a ? at : end, e);
        if (rc == GLIM_OK && a)
            rc = tok_ids_push(x->out, a->id, e);
        from = a ? at + a->len : end;
    }
    return rc;
}

static int encode_valid(const struct tok *t, const char *text, size_t len,
                        const struct tok_range *trusted, size_t n, struct tok_ids *out,
                        struct err *e)
{
    struct encoder x = {.t = t, .text = text, .trusted = trusted, .ranges = n, .out = out};
    const size_t before = out->n;
    int rc = pretok_run_new(t->pre, &x.run, e);
    if (rc == GLIM_OK)
        rc = encode_added(&x, 0, 0, len, e);
    if (rc != GLIM_OK)
        out->n = before;
    bpe_deinit(&x.bpe);
    pretok_run_free(x.run);
    return rc;
}

static int check_length(size_t len, struct err *e)
{
    if (len > TEXT_MAX)
        return err_set(e, GLIM_ELIMIT, "text to tokenise: %zu bytes, at most %d", len, TEXT_MAX);
    return GLIM_OK;
}

int tok_encode_ranges(const struct tok *t, const char *text, size_t len,
                      const struct tok_range *trusted, size_t n, struct tok_ids *out, struct err *e)
{
    const int rc = check_length(len, e);
    if (rc != GLIM_OK)
        return rc;
    if (utf8_valid_len(text, len) != len)
        return err_set(e, GLIM_EINVAL, "text to tokenise: not UTF-8 at byte %zu",
                       utf8_valid_len(text, len));
    return encode_valid(t, text, len, trusted, n, out, e);
}

int tok_encode(const struct tok *t, const char *text, size_t len, bool special, struct tok_ids *out,
               struct err *e)
{
    int rc = check_length(len, e);
    if (rc != GLIM_OK || len == 0)
        return rc;
    if (utf8_valid_len(text, len) == len)
        return encode_valid(t, text, len, &(struct tok_range){0, len}, special ? 1 : 0, out, e);
    struct buf valid;
    buf_init(&valid);
    utf8_append_valid(&valid, text, len);
    rc = valid.failed ? err_nomem(e, "text to tokenise", len)
                      : encode_valid(t, valid.data, valid.len, &(struct tok_range){0, valid.len},
                                     special ? 1 : 0, out, e);
    buf_deinit(&valid);
    return rc;
}

void tok_stream_add(struct tok_stream *s, const char *bytes, size_t len, bool flush,
                    struct buf *out)
{
    char join[2 * sizeof s->tail]; /* the kept tail and enough new bytes to decide */
    while (s->n > 0 && len > 0) {
        const size_t take = len < sizeof s->tail ? len : sizeof s->tail;
        memcpy(join, s->tail, s->n);
        memcpy(join + s->n, bytes, take);
        size_t used;
        const enum utf8_class c = utf8_classify(join, s->n + take, &used);
        if (c == UTF8_PARTIAL) { /* then all new bytes were taken */
            memcpy(s->tail, join, used);
            s->n = used;
            len = 0;
            break;
        }
        if (c == UTF8_OK)
            buf_add(out, join, used);
        else
            buf_adds(out, UTF8_REPLACEMENT);
        bytes +=
            used - s->n; /* the tail alone was a valid beginning, so at least all of it is used */
        len -= used - s->n;
        s->n = 0;
    }
    if (len > 0) {
        s->n = utf8_append_whole(out, bytes, len);
        memcpy(s->tail, bytes + len - s->n, s->n);
    }
    if (flush && s->n > 0) {
        buf_adds(out, UTF8_REPLACEMENT);
        s->n = 0;
    }
}
