/* constrain.c - see constrain.h. */
#include "server/constrain.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { KEPT_MAX = 64 }; /* that nobody uses */

struct compiled {
    struct compiled *next; /* less recently used */
    char *key;
    glim_grammar *grammar;
    uint64_t users;
};

struct constraints {
    pthread_mutex_t lock;
    struct compiled *first;
};

int constraints_new(struct constraints **out, struct err *e)
{
    *out = mem_zalloc(1, sizeof **out);
    if (!*out)
        return err_nomem(e, "grammars", sizeof **out);
    (void)pthread_mutex_init(&(*out)->lock, NULL);
    return GLIM_OK;
}

static void free_compiled(struct compiled *c)
{
    glim_grammar_free(c->grammar);
    free(c->key);
    free(c);
}

void constraints_free(struct constraints *c)
{
    if (!c)
        return;
    for (struct compiled *x = c->first, *next; x; x = next) {
        next = x->next;
        free_compiled(x);
    }
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Takes it out of the list; NULL: not there. */
static struct compiled *unlink_key(struct constraints *c, const char *key)
{
    for (struct compiled **at = &c->first; *at; at = &(*at)->next) {
        struct compiled *const x = *at;
        if (strcmp(x->key, key) == 0) {
            *at = x->next;
            return x;
        }
    }
    return NULL;
}

static void push_front(struct constraints *c, struct compiled *x)
{
    x->next = c->first;
    c->first = x;
}

/* Of those that nobody uses, the most recent ones stay. */
static void trim(struct constraints *c)
{
    size_t idle = 0;
    for (struct compiled **at = &c->first; *at;) {
        struct compiled *const x = *at;
        if (x->users == 0 && ++idle > KEPT_MAX) {
            *at = x->next;
            free_compiled(x);
        } else {
            at = &x->next;
        }
    }
}

static char *key_of(const struct glim_grammar_options *o)
{
    struct buf b;
    size_t len;
    buf_init(&b);
    buf_addf(&b, "%d %d%d%d%d ", (int)o->kind, o->free_text, o->required, o->parallel, o->lenient);
    buf_adds(&b, o->only ? o->only : "");
    buf_addc(&b, '\n');
    buf_adds(&b, o->text ? o->text : "");
    return buf_take(&b, &len);
}

static int compile(struct generation *g, const struct glim_grammar_options *o, const char *param,
                   struct compiled **out, struct fault *f)
{
    struct glim_error e;
    struct compiled *const x = mem_zalloc(1, sizeof *x);
    *out = x;
    if (!x)
        return memory_fault(f);
    if (glim_grammar_new(&x->grammar, g->server->tokenizer, o, &e) == 0)
        return 0;
    free(x);
    (void)fault_set(f, e.code == GLIM_ENOMEM ? FAULT_BUSY : FAULT_INVALID, param, "%s: %s", param,
                    e.text);
    f->code = e.code == GLIM_EUNSUPPORTED ? "unsupported_parameter" : f->code;
    return -1;
}

int constrain(struct generation *g, const struct glim_grammar_options *o, const char *param,
              struct fault *f)
{
    struct constraints *const c = g->server->constraints;
    if (g->compiled)
        return fault_set(f, FAULT_INVALID, param,
                         "the answer is constrained by another field already, expected one of "
                         "response_format, grammar, strict tools and a forced tool_choice");
    char *const key = key_of(o);
    if (!key)
        return memory_fault(f);
    (void)pthread_mutex_lock(&c->lock);
    struct compiled *x = unlink_key(c, key);
    const int rc = x ? 0 : compile(g, o, param, &x, f);
    if (rc == 0) {
        free(x->key); /* the same, if it was there */
        x->key = key;
        x->users++;
        push_front(c, x);
        trim(c);
        g->compiled = x;
        g->generate.grammar = x->grammar;
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (rc != 0)
        free(key);
    return rc;
}

void constrain_release(struct generation *g)
{
    if (!g->compiled)
        return;
    (void)pthread_mutex_lock(&g->server->constraints->lock);
    g->compiled->users--;
    (void)pthread_mutex_unlock(&g->server->constraints->lock);
    g->compiled = NULL;
}

int constrain_schema(struct generation *g, struct json_object *schema, const char *param,
                     struct fault *f)
{
    struct glim_grammar_options o = GLIM_GRAMMAR_OPTIONS_INIT;
    struct buf text;
    buf_init(&text);
    json_write(&text, schema);
    o.kind = GLIM_GRAMMAR_JSON_SCHEMA;
    o.text = text.data;
    const int rc = text.failed ? memory_fault(f) : constrain(g, &o, param, f);
    buf_deinit(&text);
    return rc;
}

static bool is_strict(struct json_object *tool)
{
    struct json_object *const fn = json_object_object_get(tool, "function");
    return json_object_get_boolean(json_object_object_get(fn ? fn : tool, "strict"));
}

int constrain_tools(struct generation *g, const struct tool_calls *how, struct fault *f)
{
    struct glim_grammar_options o = GLIM_GRAMMAR_OPTIONS_INIT;
    bool strict = false;
    for (size_t i = 0; i < json_object_array_length(how->tools); i++)
        strict = strict || is_strict(json_object_array_get_idx(how->tools, i));
    if (g->compiled)
        return fault_set(f, FAULT_INVALID, "tools",
                         "an answer that must match response_format, json_schema or grammar cannot "
                         "call tools, expected tool_choice \"none\"");
    if (!how->required && !how->only && !strict)
        return 0;
    o.kind = GLIM_GRAMMAR_TOOLS;
    o.text = g->generate.tools;
    o.only = how->only;
    o.required = how->required || how->only;
    o.free_text = !o.required;
    o.parallel = how->parallel && !how->only;
    const char *const param = strict && !o.required ? "tools" : "tool_choice";
    /* A forced call keeps to its schema, strict or not, unless that is beyond us. */
    if (o.required && constrain(g, &o, param, f) == 0)
        return 0;
    if (o.required && (strict || !f->code || strcmp(f->code, "unsupported_parameter") != 0))
        return -1;
    *f = (struct fault){0};
    o.lenient = true;
    return constrain(g, &o, param, f);
}
