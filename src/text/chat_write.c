/* chat_write.c - see chat_write.h. */
#include "text/chat_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

void chat_prompt_init(struct chat_prompt *p)
{
    *p = (struct chat_prompt){0};
    buf_init(&p->text);
}

void chat_prompt_deinit(struct chat_prompt *p)
{
    buf_deinit(&p->text);
    free(p->piece);
    chat_prompt_init(p);
}

/* What was appended since `begin` is one more piece, or more of the last one. */
static int close_piece(struct chat_prompt *p, size_t begin, bool trusted, struct err *e)
{
    if (p->text.failed)
        return err_nomem(e, "prompt", p->text.len);
    if (p->text.len == begin)
        return GLIM_OK;
    if (p->pieces > 0 && p->piece[p->pieces - 1].trusted == trusted) {
        p->piece[p->pieces - 1].end = p->text.len;
        return GLIM_OK;
    }
    if (mem_grow(&p->piece, &p->cap, p->pieces + 1, sizeof *p->piece) != 0)
        return err_nomem(e, "prompt", p->pieces * sizeof *p->piece);
    p->piece[p->pieces++] = (struct chat_piece){begin, p->text.len, trusted};
    return GLIM_OK;
}

int chat_put(struct chat_prompt *p, const char *own, struct err *e)
{
    const size_t begin = p->text.len;
    buf_adds(&p->text, own);
    return close_piece(p, begin, true, e);
}

int chat_put_text(struct chat_prompt *p, const char *text, size_t len, struct err *e)
{
    const size_t begin = p->text.len;
    utf8_append_valid(&p->text, text, len);
    return close_piece(p, begin, false, e);
}

int chat_put_json(struct chat_prompt *p, struct json_object *value, struct err *e)
{
    struct buf b;
    buf_init(&b);
    json_write_python(&b, value);
    const int rc = b.failed ? err_nomem(e, "prompt", b.len) : chat_put_text(p, b.data, b.len, e);
    buf_deinit(&b);
    return rc;
}

bool chat_truthy(struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_null: return false;
    case json_type_boolean: return json_object_get_boolean(v);
    case json_type_int: return json_object_get_int64(v) != 0;
    case json_type_double: return json_object_get_double(v) != 0.0;
    case json_type_string: return json_object_get_string_len(v) > 0;
    case json_type_array: return json_object_array_length(v) > 0;
    case json_type_object: return json_object_object_length(v) > 0;
    }
    return false;
}

/* Bytes of the white-space character that s[0..n) begins with, 0 if none. Python's str.isspace: the
 * 25 of Unicode and U+001C to U+001F. */
static size_t space_at(const unsigned char *s, size_t n)
{
    if ((s[0] >= 0x09 && s[0] <= 0x0D) || (s[0] >= 0x1C && s[0] <= 0x20))
        return 1;
    if (n >= 2 && s[0] == 0xC2)
        return s[1] == 0x85 || s[1] == 0xA0 ? 2 : 0;
    if (n < 3)
        return 0;
    const uint32_t three = (uint32_t)s[0] << 16 | (uint32_t)s[1] << 8 | s[2];
    const bool space = three == 0xE19A80                            /* U+1680 */
                       || (three >= 0xE28080 && three <= 0xE2808A)  /* U+2000 to U+200A */
                       || three == 0xE280A8 || three == 0xE280A9    /* U+2028, U+2029 */
                       || three == 0xE280AF || three == 0xE2819F    /* U+202F, U+205F */
                       || three == 0xE38080;                        /* U+3000 */
    return space ? 3 : 0;
}

void chat_strip(const char *text, size_t *begin, size_t *end)
{
    const unsigned char *const s = (const unsigned char *)text;
    size_t n;
    while (*begin < *end && (n = space_at(s + *begin, *end - *begin)) > 0)
        *begin += n;
    while (*begin < *end) {
        size_t last = *end - 1; /* where the last character begins */
        while (last > *begin && (s[last] & 0xC0) == 0x80)
            last--;
        if (space_at(s + last, *end - last) != *end - last)
            break;
        *end = last;
    }
}

int chat_string(struct json_object *o, const char *key, const char *where, struct json_object **out,
                struct err *e)
{
    *out = json_object_object_get(o, key);
    if (json_object_is_type(*out, json_type_string))
        return GLIM_OK;
    return err_set(e, GLIM_EINVAL, "%s.%s: expected a string, found %s", where, key,
                   *out ? json_type_to_name(json_object_get_type(*out)) : "nothing");
}

/* An optional true or false. */
static int read_flag(struct json_object *request, const char *key, bool absent, bool *out,
                     struct err *e)
{
    struct json_object *const v = json_object_object_get(request, key);
    *out = absent;
    if (!v)
        return GLIM_OK;
    if (!json_object_is_type(v, json_type_boolean))
        return err_set(e, GLIM_EINVAL, "%s: expected true or false", key);
    *out = json_object_get_boolean(v);
    return GLIM_OK;
}

static int read_effort(struct json_object *request, const char **out, struct err *e)
{
    struct json_object *const v = json_object_object_get(request, "reasoning_effort");
    if (v && !json_object_is_type(v, json_type_string))
        return err_set(e, GLIM_EINVAL, "reasoning_effort: expected a string");
    *out = v ? json_object_get_string(v) : NULL;
    return GLIM_OK;
}

static int read_array(struct json_object *request, const char *key, bool required,
                      struct json_object **out, struct err *e)
{
    *out = json_object_object_get(request, key);
    if ((!*out && !required) || json_object_is_type(*out, json_type_array))
        return GLIM_OK;
    return err_set(e, GLIM_EINVAL, "%s: expected an array", key);
}

int chat_read_options(struct json_object *request, struct chat_options *out, struct err *e)
{
    *out = (struct chat_options){0};
    if (!json_object_is_type(request, json_type_object))
        return err_set(e, GLIM_EINVAL, "request: expected an object");
    bool clear = true;
    int rc = read_array(request, "messages", true, &out->messages, e);
    if (rc == GLIM_OK)
        rc = read_array(request, "tools", false, &out->tools, e);
    if (rc == GLIM_OK)
        rc = read_effort(request, &out->effort, e);
    if (rc == GLIM_OK)
        rc = read_flag(request, "enable_thinking", true, &out->thinking, e);
    if (rc == GLIM_OK)
        rc = read_flag(request, "clear_thinking", true, &clear, e);
    if (rc == GLIM_OK)
        rc = read_flag(request, "add_generation_prompt", false, &out->generate, e);
    out->keep_thinking = !clear;
    if (out->tools && json_object_is_type(out->tools, json_type_array)
        && json_object_array_length(out->tools) == 0)
        out->tools = NULL;
    return rc;
}
