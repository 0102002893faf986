/* logprobs.c - see logprobs.h. */
#include "server/logprobs.h"

#include <string.h>

#include "server/emit.h"

/* A logarithm that JSON can hold. */
static void put_logprob(struct buf *out, float v)
{
    emit_float(out, v < -9999.0f ? -9999.0f : v);
}

/* The bytes of a token of the vocabulary; freed by the caller with glim_free. NULL: out has
 * failed. */
static char *token_bytes(const struct generation *g, int32_t token, size_t *len, struct buf *out)
{
    char *text = NULL;
    struct glim_error e;
    *len = 0;
    if (glim_detokenize(g->server->tokenizer, &token, 1, 0, &text, len, &e) == 0)
        return text;
    out->failed = true;
    return NULL;
}

static void put_entry(struct buf *out, const char *text, size_t len, float logprob)
{
    buf_adds(out, "{\"token\":");
    emit_text(out, text, len);
    buf_adds(out, ",\"logprob\":");
    put_logprob(out, logprob);
    buf_adds(out, ",\"bytes\":");
    emit_bytes(out, text, len);
}

static void put_whole_entry(struct buf *out, const char *text, size_t len, float logprob)
{
    put_entry(out, text, len, logprob);
    buf_addc(out, '}');
}

typedef void put_fn(struct buf *out, const char *text, size_t len, float logprob);

/* The most probable tokens in the place of one, each as `put` writes it, with commas between. */
static void put_tops(const struct generation *g, const struct answer *a, const struct scored *s,
                     struct buf *out, put_fn *put)
{
    for (size_t i = 0; i < s->tops; i++) {
        const struct glim_logprob *const t = &a->top[s->top + i];
        size_t len;
        char *const text = token_bytes(g, t->token, &len, out);
        if (i)
            buf_addc(out, ',');
        put(out, text ? text : "", len, t->logprob);
        glim_free(text);
    }
}

void logprobs_put_list(const struct generation *g, const struct answer *a, size_t from, size_t to,
                       struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = from; i < to; i++) {
        const struct scored *const s = &a->scored[i];
        if (i > from)
            buf_addc(out, ',');
        put_entry(out, a->scored_text.data + s->text, s->len, s->logprob);
        buf_adds(out, ",\"top_logprobs\":[");
        put_tops(g, a, s, out, put_whole_entry);
        buf_adds(out, "]}");
    }
    buf_addc(out, ']');
}

void logprobs_put_chat(struct generation *g, struct choice *c, struct buf *out)
{
    struct answer *const a = &c->answer;
    buf_adds(out, "{\"content\":");
    logprobs_put_list(g, a, a->scores_sent, a->scores, out);
    a->scores_sent = a->scores;
    buf_adds(out, ",\"refusal\":null}");
}

/* ---- completions ---- */

static void put_pair(struct buf *out, const char *text, size_t len, float logprob)
{
    emit_text(out, text, len);
    buf_addc(out, ':');
    put_logprob(out, logprob);
}

static void put_map(const struct generation *g, const struct answer *a, const struct scored *s,
                    struct buf *out)
{
    if (s->first) {
        buf_adds(out, "null");
        return;
    }
    buf_addc(out, '{');
    put_tops(g, a, s, out, put_pair);
    buf_addc(out, '}');
}

enum column { TOKENS, LOGPROBS, TOPS, OFFSETS };

static void put_cell(const struct generation *g, const struct answer *a, const struct scored *s,
                     enum column column, struct buf *out)
{
    switch (column) {
    case TOKENS: emit_text(out, a->scored_text.data + s->text, s->len); break;
    case LOGPROBS:
        if (s->first)
            buf_adds(out, "null");
        else
            put_logprob(out, s->logprob);
        break;
    case TOPS: put_map(g, a, s, out); break;
    case OFFSETS: emit_u64(out, s->text); break;
    }
}

void logprobs_put_completion(struct generation *g, struct choice *c, size_t limit, struct buf *out)
{
    static const char *const name[] = {"\"tokens\"", "\"token_logprobs\"", "\"top_logprobs\"",
                                       "\"text_offset\""};
    struct answer *const a = &c->answer;
    size_t end = a->scores_sent;
    while (end < a->scores && (a->scored[end].text < limit || a->scored[end].end))
        end++;
    for (int column = TOKENS; column <= OFFSETS; column++) {
        buf_addf(out, "%c%s:", column == TOKENS ? '{' : ',', name[column]);
        if (column == TOPS && g->top_logprobs == 0) {
            buf_adds(out, "null");
            continue;
        }
        buf_addc(out, '[');
        for (size_t i = a->scores_sent; i < end; i++) {
            if (i > a->scores_sent)
                buf_addc(out, ',');
            put_cell(g, a, &a->scored[i], (enum column)column, out);
        }
        buf_addc(out, ']');
    }
    buf_addc(out, '}');
    a->scores_sent = end;
}
