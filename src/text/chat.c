/* chat.c - see chat.h: which template, and from its pieces to tokens. The templates are in
 * chat_glm52.c. */
#include "text/chat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "text/chat_write.h"

const char *chat_template_name(enum chat_template t)
{
    static const char *const names[CHAT_TEMPLATE_COUNT] = {"none", "glm-5.2"};
    assert(t >= CHAT_NONE && t < CHAT_TEMPLATE_COUNT);
    return names[t];
}

/* FNV-1a, 64 bits: tells known texts apart; not against forgery, which would gain nothing (the
 * template is ours). */
static uint64_t fingerprint(const char *text, size_t len)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
    return h;
}

static const struct {
    size_t len; /* without newlines at the end */
    uint64_t hash;
    enum chat_template name;
} official[] = {
    {5075, 0xF0901DFBA77F907Eu, CHAT_GLM_5_2}, /* zai-org/GLM-5.2 */
};

static bool contains(const char *text, size_t len, const char *part)
{
    return memmem(text, len, part, strlen(part)) != NULL;
}

/* An edited GLM-5.2 template: the statements that decide its prompt are there, and nothing that
 * later versions do. */
static bool is_glm52_variant(const char *text, size_t len)
{
    static const char *const needs[] = {
        "[gMASK]<sop>",
        "reasoning_effort == 'high' else 'max'",
        "Reasoning Effort: ",
        "'<think></think>'",
        "clear_thinking is defined and not clear_thinking",
        "loop.index0 > ns.last_user_index",
        "<|observation|>",
        "<tool_response>",
        "<arg_key>",
        "# Tools\n\nYou may call one or more functions",
    };
    static const char *const lacks[] = {"can_sort", "== 'low'", "set clear_thinking"};
    for (size_t i = 0; i < COUNT_OF(needs); i++) {
        if (!contains(text, len, needs[i]))
            return false;
    }
    for (size_t i = 0; i < COUNT_OF(lacks); i++) {
        if (contains(text, len, lacks[i]))
            return false;
    }
    return true;
}

enum chat_template chat_detect(const char *jinja, size_t len)
{
    while (len > 0 && (jinja[len - 1] == '\n' || jinja[len - 1] == '\r'))
        len--;
    const uint64_t hash = fingerprint(jinja, len);
    for (size_t i = 0; i < COUNT_OF(official); i++) {
        if (official[i].len == len && official[i].hash == hash)
            return official[i].name;
    }
    return is_glm52_variant(jinja, len) ? CHAT_GLM_5_2 : CHAT_NONE;
}

int chat_render(enum chat_template t, struct json_object *request, struct chat_prompt *out,
                struct err *e)
{
    struct chat_options o;
    if (t != CHAT_GLM_5_2)
        return err_set(e, GLIM_EUNSUPPORTED, "chat template \"%s\": glim renders glm-5.2 only",
                       chat_template_name(t));
    const int rc = chat_read_options(request, &o, e);
    return rc == GLIM_OK ? chat_glm52_render(&o, out, e) : rc;
}

static int set_string(struct json_object *o, const char *key, const char *value, struct err *e)
{
    if (json_put(o, key, json_object_new_string(value)))
        return GLIM_OK;
    return err_nomem(e, "request", strlen(value));
}

int chat_normalise(struct json_object *request, struct err *e)
{
    struct json_object *const list = json_object_is_type(request, json_type_object)
                                         ? json_object_object_get(request, "messages")
                                         : NULL;
    int rc = GLIM_OK;
    for (size_t i = 0;
         json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
        struct json_object *const m = json_object_array_get_idx(list, i), *content;
        if (!json_object_is_type(m, json_type_object))
            continue;
        struct json_object *const role = json_object_object_get(m, "role");
        if (json_object_is_type(role, json_type_string)
            && strcmp(json_object_get_string(role), "developer") == 0)
            rc = set_string(m, "role", "system", e);
        if (rc == GLIM_OK && json_object_object_get_ex(m, "content", &content) && !content)
            rc = set_string(m, "content", "", e);
        if (rc != GLIM_OK)
            return rc;
    }
    return rc;
}

int chat_tokens(const struct chat_prompt *p, const struct tok *t, struct tok_ids *out,
                struct err *e)
{
    struct tok_range *const trusted = mem_zalloc(p->pieces, sizeof *trusted);
    if (!trusted)
        return err_nomem(e, "prompt", p->pieces * sizeof *trusted);
    size_t n = 0;
    for (size_t i = 0; i < p->pieces; i++) {
        if (p->piece[i].trusted)
            trusted[n++] = (struct tok_range){p->piece[i].begin, p->piece[i].end};
    }
    const int rc = tok_encode_ranges(t, p->text.data, p->text.len, trusted, n, out, e);
    free(trusted);
    return rc;
}
