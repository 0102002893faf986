/* tokenizer_api.c - the tokenizer behind the public API: from GGUF metadata, from a folder, or a
 * model's own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/util.h"
#include "engine/engine.h"
#include "text/tokentrie.h"

enum { TEMPLATE_BYTES_MAX = 1 << 20 };

void tokenizer_free(struct glim_tokenizer *t)
{
    if (!t)
        return;
    tokentrie_free(t->trie);
    free(t->jinja);
    tok_free(t->tok);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

/* GGUF's token types: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte. */
static enum tok_attr attr_of(int64_t type)
{
    switch (type) {
    case 3: return TOK_SPECIAL;
    case 4: return TOK_ADDED;
    case 5: return TOK_UNUSED;
    default: return TOK_NORMAL;
    }
}

static int64_t integer(const struct meta_value *v)
{
    return v->kind == META_UINT ? (int64_t)v->u : v->kind == META_INT ? v->i : -1;
}

static int add_gguf_tokens(struct tok_builder *b, const struct meta *m, struct err *e)
{
    static const char *const tokens = "tokenizer.ggml.tokens", *const types =
                                                                   "tokenizer.ggml.token_type";
    struct meta_iter it, ty;
    struct meta_value v, t;
    const int64_t n = meta_array_len(m, tokens), n_types = meta_array_len(m, types);
    if (!meta_array_begin(m, tokens, &it))
        return err_set(e, GLIM_EFORMAT, "key \"%s\" is missing: the file has no tokenizer", tokens);
    const bool typed = meta_array_begin(m, types, &ty);
    if (typed && n != n_types)
        return err_set(e, GLIM_EFORMAT, "key \"%s\": %lld entries, expected %lld (one a token)",
                       types, (long long)n_types, (long long)n);
    while (meta_array_next(&it, &v)) {
        enum tok_attr attr = TOK_NORMAL;
        if (typed && meta_array_next(&ty, &t))
            attr = attr_of(integer(&t));
        if (v.kind != META_STRING)
            return err_set(e, GLIM_EFORMAT, "key \"%s\": expected strings", tokens);
        if (tok_builder_token(b, v.s.data, v.s.len, attr, e) != 0)
            return e->code;
    }
    return GLIM_OK;
}

static int add_gguf_merges(struct tok_builder *b, const struct meta *m, struct err *e)
{
    struct meta_iter it;
    struct meta_value v;
    if (!meta_array_begin(m, "tokenizer.ggml.merges", &it))
        return GLIM_OK;
    while (meta_array_next(&it, &v)) {
        if (v.kind != META_STRING)
            return err_set(e, GLIM_EFORMAT, "key \"tokenizer.ggml.merges\": expected strings");
        if (tok_builder_merge(b, v.s.data, v.s.len, e) != 0)
            return e->code;
    }
    return GLIM_OK;
}

static int set_template(struct glim_tokenizer *t, const char *jinja, size_t len, struct err *e)
{
    t->chat = chat_detect(jinja, len);
    t->jinja = strndup(jinja, len);
    return t->jinja ? GLIM_OK : err_nomem(e, "chat template", len);
}

static int from_gguf(const struct meta *m, struct glim_tokenizer *t, struct err *e)
{
    const char *model = NULL, *pre = NULL, *jinja = NULL;
    if (meta_get_str(m, "tokenizer.ggml.model", true, &model, e) != 0
        || meta_get_str(m, "tokenizer.ggml.pre", true, &pre, e) != 0
        || meta_get_str(m, "tokenizer.chat_template", false, &jinja, e) != 0)
        return e->code;
    if (strcmp(model, "gpt2") != 0)
        return err_set(e, GLIM_EUNSUPPORTED,
                       "key \"tokenizer.ggml.model\": \"%.60s\", glim reads \"gpt2\"", model);
    if (jinja && set_template(t, jinja, strlen(jinja), e) != 0)
        return e->code;
    struct tok_builder *b;
    if (tok_builder_new(&b, e) != 0)
        return e->code;
    if (add_gguf_tokens(b, m, e) != 0 || add_gguf_merges(b, m, e) != 0) {
        tok_builder_free(b);
        return e->code;
    }
    return tok_builder_finish(b, pre, &t->tok, e);
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* chat_template.jinja, else the string in tokenizer_config.json, else none. */
static int template_of_folder(const char *folder, struct glim_tokenizer *t, struct err *e)
{
    char path[4096];
    char *text;
    size_t len;
    (void)snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    if (is_file(path)) {
        if (io_read_file(path, TEMPLATE_BYTES_MAX, &text, &len, e) != 0)
            return e->code;
        const int rc = set_template(t, text, len, e);
        free(text);
        return rc;
    }
    (void)snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    if (!is_file(path))
        return GLIM_OK;
    struct json_object *config, *jinja;
    if (json_read_file(path, 2 * TEMPLATE_BYTES_MAX, &config, e) != 0)
        return e->code;
    int rc = GLIM_OK;
    if (json_object_object_get_ex(config, "chat_template", &jinja)
        && json_object_is_type(jinja, json_type_string))
        rc = set_template(t, json_object_get_string(jinja),
                          (size_t)json_object_get_string_len(jinja), e);
    json_object_put(config);
    return rc;
}

static int from_folder(const char *folder, struct glim_tokenizer *t, struct err *e)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/tokenizer.json", folder) >= (int)sizeof path)
        return err_set(e, GLIM_EINVAL, "path of %zu bytes, expected less than %zu", strlen(folder),
                       sizeof path);
    return tok_open_json(path, &t->tok, e) != 0 ? e->code : template_of_folder(folder, t, e);
}

/* f may be NULL for a folder that holds tokenizer files only. */
int tokenizer_of_file(const struct tensorfile *f, const char *path, struct glim_tokenizer **out,
                      struct err *e)
{
    *out = NULL;
    struct glim_tokenizer *const t = mem_zalloc(1, sizeof *t);
    if (!t)
        return err_nomem(e, "tokenizer", sizeof *t);
    (void)pthread_mutex_init(&t->lock, NULL);
    const bool gguf = f && tensorfile_format(f) == FORMAT_GGUF;
    int rc = gguf ? from_gguf(tensorfile_meta(f), t, e) : from_folder(path, t, e);
    if (rc == 0 && gguf)
        rc = tensorfile_check(f, e);
    if (rc != 0) {
        tokenizer_free(t);
        return gguf ? blame(e, path) : rc;
    }
    *out = t;
    return GLIM_OK;
}

static int open_tokenizer(const char *path, struct glim_tokenizer **out, struct err *e)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return tokenizer_of_file(NULL, path, out, e);
    struct tensorfile *f;
    if (tensorfile_open(&f, path, e) != 0)
        return e->code;
    const int rc = tokenizer_of_file(f, path, out, e);
    tensorfile_close(f);
    return rc;
}

int glim_tokenizer_open(glim_tokenizer **out, const char *path, struct glim_error *err)
{
    struct err e = {0};
    *out = NULL;
    return give(err, &e, open_tokenizer(path, out, &e));
}

void glim_tokenizer_close(glim_tokenizer *t) { tokenizer_free(t); }

int glim_model_tokenizer(glim_model *m, glim_tokenizer **out, struct glim_error *err)
{
    struct err e = {0};
    *out = NULL;
    if (!m->tokenizer && tokenizer_of_file(m->weights.file, m->path, &m->tokenizer, &e) != 0)
        return give(err, &e, e.code);
    if (tok_count(m->tokenizer->tok) > m->model.cfg.vocab)
        return give(err, &e,
                    err_set(&e, GLIM_EFORMAT,
                            "%s: the tokenizer has %u ids, the model's vocabulary %llu", m->path,
                            tok_count(m->tokenizer->tok), (unsigned long long)m->model.cfg.vocab));
    *out = m->tokenizer;
    return give(err, &e, GLIM_OK);
}

uint64_t glim_tokenizer_size(const glim_tokenizer *t) { return tok_count(t->tok); }

int glim_tokenize(const glim_tokenizer *t, const char *text, size_t len, unsigned flags,
                  int32_t **ids, size_t *n, struct glim_error *err)
{
    struct err e = {0};
    struct tok_ids list = {0};
    const int rc = tok_encode(t->tok, text, len, flags & GLIM_TOKENIZE_SPECIAL, &list, &e);
    *ids = list.id;
    *n = list.n;
    if (rc != 0) {
        free(list.id);
        *ids = NULL;
        *n = 0;
    }
    return give(err, &e, rc);
}

int glim_detokenize(const glim_tokenizer *t, const int32_t *ids, size_t n, unsigned flags,
                    char **text, size_t *len, struct glim_error *err)
{
    struct err e = {0};
    struct buf b;
    buf_init(&b);
    *text = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t k;
        const char *const bytes = tok_bytes(t->tok, ids[i], &k);
        if (ids[i] < 0 || (uint64_t)ids[i] >= tok_count(t->tok)) {
            buf_deinit(&b);
            return give(err, &e,
                        err_set(&e, GLIM_EINVAL, "token %zu is %d, expected 0 to %u", i, ids[i],
                                tok_count(t->tok) - 1));
        }
        const bool skip =
            flags & GLIM_DETOKENIZE_SKIP_SPECIAL && tok_attr(t->tok, ids[i]) == TOK_SPECIAL;
        if (bytes && !skip)
            buf_add(&b, bytes, k);
    }
    *text = buf_take(&b, len);
    return give(err, &e, *text ? GLIM_OK : err_nomem(&e, "text", n));
}

int32_t glim_token_id(const glim_tokenizer *t, const char *token)
{
    return tok_find(t->tok, token, strlen(token));
}

const char *glim_template_name(const glim_tokenizer *t)
{
    return t->chat == CHAT_NONE ? NULL : chat_template_name(t->chat);
}

const char *glim_template_source(const glim_tokenizer *t)
{
    return t->jinja;
}

static int render(const struct glim_tokenizer *t, struct json_object *request,
                  struct chat_prompt *p, struct tok_ids *ids, struct err *e)
{
    if (t->chat == CHAT_NONE)
        return err_set(e, GLIM_EUNSUPPORTED,
                       "the model names no chat template that glim knows (glm-5.2)");
    if (chat_render(t->chat, request, p, e) != 0)
        return e->code;
    return chat_tokens(p, t->tok, ids, e);
}

int glim_template(const glim_tokenizer *t, const char *request, size_t len, char **text,
                  size_t *text_len, int32_t **ids, size_t *n, struct glim_error *err)
{
    struct err e = {0};
    struct json_object *o;
    struct chat_prompt p;
    struct tok_ids list = {0};
    if (json_read(request, len, "request", &o, &e) != 0)
        return give(err, &e, e.code);
    chat_prompt_init(&p);
    int rc = render(t, o, &p, &list, &e);
    json_object_put(o);
    if (rc == 0 && text && !(*text = buf_take(&p.text, text_len)))
        rc = err_nomem(&e, "prompt", p.text.len);
    if (rc == 0 && ids) {
        *ids = list.id;
        *n = list.n;
        list.id = NULL;
    }
    free(list.id);
    chat_prompt_deinit(&p);
    return give(err, &e, rc);
}
