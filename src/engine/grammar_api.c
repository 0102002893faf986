/* grammar_api.c - grammars for the caller. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "engine/constraint.h"
#include "engine/engine.h"
#include "text/tokentrie.h"

/* The tokenizer's trie, made when first needed. */
static int trie_of(struct glim_tokenizer *t, const struct tokentrie **out, struct err *e)
{
    int rc = GLIM_OK;
    (void)pthread_mutex_lock(&t->lock);
    if (!t->trie)
        rc = tokentrie_new(&t->trie, t->tok, e);
    *out = t->trie;
    (void)pthread_mutex_unlock(&t->lock);
    return rc;
}

static int compile_json(const struct glim_grammar_options *o, const struct tok *t,
                        struct grammar **out, struct err *e)
{
    const bool tools = o->kind == GLIM_GRAMMAR_TOOLS;
    struct json_object *j = NULL;
    if (json_read(o->text, strlen(o->text), tools ? "tools" : "schema", &j, e) != 0)
        return e->code;
    const struct grammar_tools options = {
        .tools = j, .only = o->only, .text = o->free_text, .required = o->required,
        .parallel = o->parallel, .lenient = o->lenient,
    };
    const int rc = tools ? grammar_from_tools(out, t, &options, e)
                         : grammar_from_schema(out, t, j, e);
    json_object_put(j);
    return rc;
}

static int compile(const struct glim_grammar_options *o, const struct tok *t, struct grammar **out,
                   struct err *e)
{
    if (o->kind != GLIM_GRAMMAR_JSON_OBJECT && !o->text)
        return err_set(e, GLIM_EINVAL, "grammar: no text");
    switch (o->kind) {
    case GLIM_GRAMMAR_GBNF: return grammar_from_gbnf(out, t, o->text, strlen(o->text), e);
    case GLIM_GRAMMAR_JSON_OBJECT: return grammar_from_json(out, t, e);
    case GLIM_GRAMMAR_JSON_SCHEMA:
    case GLIM_GRAMMAR_TOOLS: return compile_json(o, t, out, e);
    }
    return err_set(e, GLIM_EINVAL, "grammar: kind %d, expected 0 to %d", (int)o->kind,
                   (int)GLIM_GRAMMAR_TOOLS);
}

int glim_grammar_new(glim_grammar **out, glim_tokenizer *t, const struct glim_grammar_options *o,
                     struct glim_error *err)
{
    struct err e = {0};
    struct glim_grammar_options full = GLIM_GRAMMAR_OPTIONS_INIT;
    memcpy(&full, o, min_u64(o->size, sizeof full));
    struct glim_grammar *const g = mem_zalloc(1, sizeof *g);
    *out = NULL;
    if (!g)
        return give(err, &e, err_nomem(&e, "grammar", sizeof *g));
    g->tools = full.kind == GLIM_GRAMMAR_TOOLS;
    int rc = trie_of(t, &g->trie, &e);
    if (rc == 0)
        rc = compile(&full, t->tok, &g->grammar, &e);
    if (rc != 0)
        glim_grammar_free(g);
    else
        *out = g;
    return give(err, &e, rc);
}

void glim_grammar_free(glim_grammar *g)
{
    if (!g)
        return;
    grammar_free(g->grammar);
    free(g);
}
