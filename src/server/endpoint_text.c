/* endpoint_text.c - text to tokens and back, and messages to a prompt: in the shapes of llama.cpp
 * (content, tokens) and of vLLM (prompt, count). */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "server/emit.h"
#include "server/endpoint.h"
#include "server/fields.h"
#include "server/prompt.h"
#include "server/respond.h"

/* A token's text as JSON; bytes that are no UTF-8, of a token cut out of a character, as a list. */
static void put_piece(const struct server *s, int32_t id, struct buf *out)
{
    char *text = NULL;
    size_t len = 0;
    if (glim_detokenize(s->tokenizer, &id, 1, 0, &text, &len, NULL) != 0)
        out->failed = true;
    else if (utf8_valid_len(text, len) == len)
        emit_text(out, text, len);
    else
        emit_bytes(out, text, len);
    glim_free(text);
}

enum entry { NUMBER, PIECE, BOTH };

static void put_token(const struct server *s, int32_t id, enum entry what, struct buf *out)
{
    if (what == BOTH)
        buf_addf(out, "{\"id\":%d,\"piece\":", id);
    if (what == NUMBER)
        buf_addf(out, "%d", id);
    else
        put_piece(s, id, out);
    if (what == BOTH)
        buf_addc(out, '}');
}

static void put_list(const struct server *s, const char *key, const int32_t *id, size_t n,
                     enum entry what, struct buf *out)
{
    emit_member(out, key);
    buf_addc(out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_adds(out, i ? "," : "");
        put_token(s, id[i], what, out);
    }
    buf_addc(out, ']');
}

struct text_request {
    struct json_object *body;
    const char *content, *prompt; /* llama.cpp's and vLLM's names */
    bool special, pieces, strings;
};

static int read_text_request(const struct fields *in, struct text_request *r)
{
    bool add = false;
    if (field_text(in, "content", &r->content) != 0 || field_text(in, "prompt", &r->prompt) != 0)
        return -1;
    /* Text of strangers has no special tokens unless they ask for it; a prompt, to vLLM's clients,
     * is what a template printed, or the name of such a token. */
    r->special = !r->content;
    if (field_bool(in, "parse_special", &r->special) != 0
        || field_bool(in, "add_special", &add) != 0
        || field_bool(in, "add_special_tokens", &add) != 0
        || field_bool(in, "with_pieces", &r->pieces) != 0
        || field_bool(in, "return_token_strs", &r->strings) != 0)
        return -1;
    return 0;
}

/* Of a chat, as vLLM takes it too; of a text. */
static int tokens_of(struct server *s, const struct fields *in, const struct text_request *r,
                     int32_t **id, size_t *n)
{
    struct glim_error e;
    const char *const text = r->content ? r->content : r->prompt;
    const char *const key = r->content ? "content" : "prompt";
    if (!text)
        return field_fault(in, "content", "is missing (or prompt)");
    const size_t len = (size_t)json_object_get_string_len(json_object_object_get(in->o, key));
    if (glim_tokenize(s->tokenizer, text, len, r->special ? GLIM_TOKENIZE_SPECIAL : 0, id, n, &e)
        != 0)
        return fault_of_error(in->f, &e, key);
    return 0;
}

static void answer_tokens(struct server *s, struct exchange *x, const struct text_request *r,
                          const int32_t *id, size_t n)
{
    struct buf out;
    buf_init(&out);
    buf_addc(&out, '{');
    put_list(s, "tokens", id, n, r->pieces ? BOTH : NUMBER, &out);
    if (!r->content) {
        emit_member_u64(&out, "count", n);
        emit_member_u64(&out, "max_model_len", s->context_tok);
    }
    if (r->strings)
        put_list(s, "token_strs", id, n, PIECE, &out);
    buf_addc(&out, '}');
    respond(s, x, NULL, json_media, &out);
    buf_deinit(&out);
}

void endpoint_tokenize(struct server *s, struct exchange *x)
{
    struct fault f = {0};
    struct text_request r = {0};
    int32_t *id = NULL;
    size_t n = 0;
    int rc = respond_body(x, &r.body, &f);
    const struct fields in = {r.body, "", &f};
    if (rc == 0)
        rc = read_text_request(&in, &r);
    if (rc == 0)
        rc = tokens_of(s, &in, &r, &id, &n);
    if (rc == 0)
        answer_tokens(s, x, &r, id, n);
    else
        respond_fault(s, x, NULL, &f);
    glim_free(id);
    json_object_put(r.body);
}

static int ids_of(struct server *s, const struct fields *in, int32_t **id, size_t *n)
{
    struct json_object *list = NULL;
    const uint64_t limit = glim_tokenizer_size(s->tokenizer);
    if (field_array(in, "tokens", &list) != 0)
        return -1;
    if (!list)
        return field_fault(in, "tokens", "is missing, expected a list of token ids");
    *n = json_object_array_length(list);
    *id = mem_zalloc(*n ? *n : 1, sizeof **id);
    if (!*id)
        return memory_fault(in->f);
    for (size_t i = 0; i < *n; i++) {
        struct json_object *const v = json_object_array_get_idx(list, i);
        const int64_t token = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
        if (token < 0 || (uint64_t)token >= limit)
            return field_fault(in, "tokens", "number %zu is %.40s, expected 0 to %llu", i,
                               v ? json_object_get_string(v) : "null",
                               (unsigned long long)limit - 1);
        (*id)[i] = (int32_t)token;
    }
    return 0;
}

static int answer_text(struct server *s, struct exchange *x, const int32_t *id, size_t n,
                       struct fault *f)
{
    struct glim_error e;
    struct buf out;
    char *text = NULL;
    size_t len = 0;
    if (glim_detokenize(s->tokenizer, id, n, 0, &text, &len, &e) != 0)
        return fault_of_error(f, &e, "tokens");
    buf_init(&out);
    buf_adds(&out, "{\"content\":");
    emit_text(&out, text, len);
    emit_member(&out, "prompt");
    emit_text(&out, text, len);
    buf_addc(&out, '}');
    glim_free(text);
    respond(s, x, NULL, json_media, &out);
    buf_deinit(&out);
    return 0;
}

void endpoint_detokenize(struct server *s, struct exchange *x)
{
    struct fault f = {0};
    struct json_object *body = NULL;
    int32_t *id = NULL;
    size_t n = 0;
    int rc = respond_body(x, &body, &f);
    const struct fields in = {body, "", &f};
    if (rc == 0)
        rc = ids_of(s, &in, &id, &n);
    if (rc == 0)
        rc = answer_text(s, x, id, n, &f);
    if (rc != 0)
        respond_fault(s, x, NULL, &f);
    free(id);
    json_object_put(body);
}

static int apply_template(struct server *s, struct exchange *x, struct json_object *body,
                          struct fault *f)
{
    char *text = NULL;
    size_t len = 0;
    if (prompt_text(s, body, &text, &len, f) != 0)
        return -1;
    struct buf out;
    buf_init(&out);
    buf_adds(&out, "{\"prompt\":");
    emit_text(&out, text, len);
    buf_addc(&out, '}');
    glim_free(text);
    respond(s, x, NULL, json_media, &out);
    buf_deinit(&out);
    return 0;
}

void endpoint_apply_template(struct server *s, struct exchange *x)
{
    struct fault f = {0};
    struct json_object *body = NULL;
    if (respond_body(x, &body, &f) != 0 || apply_template(s, x, body, &f) != 0)
        respond_fault(s, x, NULL, &f);
    json_object_put(body);
}
