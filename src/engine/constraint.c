/* constraint.c - see constraint.h. */
#include "engine/constraint.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "text/tokentrie.h"

int constraint_open(struct constraint *c, const struct glim_grammar *g, uint64_t pos,
                    struct err *e)
{
    if (grammar_run_new(&c->run, g->grammar, g->trie, e) != 0)
        return e->code;
    c->tokens = g->trie->tokens;
    c->words = g->trie->words;
    c->mask = mem_zalloc(c->words, sizeof *c->mask);
    if (!c->mask)
        return err_nomem(e, "mask of tokens", c->words * sizeof *c->mask);
    c->pos = pos;
    c->never = g->tools ? -1 : tok_find(g->trie->t, "<tool_call>", strlen("<tool_call>"));
    return GLIM_OK;
}

void constraint_begin(struct constraint *c, uint64_t pos)
{
    c->active = true;
    c->pos = pos;
    c->at = grammar_start(c->run);
}

void constraint_close(struct constraint *c)
{
    grammar_run_free(c->run);
    free(c->mask);
    *c = (struct constraint){0};
}

/* The state that the token at position n is drawn in. */
static int state_at(struct constraint *c, const int32_t *timeline, uint64_t n, grammar_state *out,
                    struct err *e)
{
    const size_t k = (size_t)(n - c->pos);
    assert(n >= c->pos && k <= DRAFT_MAX);
    if (k == 0)
        c->aheads = 0; /* drafts that come are new */
    for (; c->aheads < k; c->aheads++) {
        const grammar_state from = c->aheads ? c->ahead[c->aheads - 1] : c->at;
        if (grammar_accept(c->run, from, timeline[c->pos + c->aheads], &c->ahead[c->aheads], e)
            != 0)
            return e->code;
    }
    *out = k ? c->ahead[k - 1] : c->at;
    return GLIM_OK;
}

static void allow_stops(struct constraint *c, const int32_t *stop, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (stop[k] >= 0 && (size_t)stop[k] < c->tokens)
            c->mask[stop[k] / 32] |= (uint32_t)1 << stop[k] % 32;
    }
}

static bool any(const struct constraint *c)
{
    for (size_t i = 0; i < c->words; i++) {
        if (c->mask[i])
            return true;
    }
    return false;
}

/* Of reasoning, which a call would end. */
static const uint32_t *mask_before(struct constraint *c)
{
    if (c->never < 0)
        return NULL;
    memset(c->mask, 0xff, c->words * sizeof *c->mask);
    c->mask[c->never / 32] &= ~((uint32_t)1 << c->never % 32);
    return c->mask;
}

const uint32_t *constraint_mask(struct constraint *c, const int32_t *timeline, uint64_t n)
{
    grammar_state s = 0;
    struct err e;
    if (!c->active)
        return c->run ? mask_before(c) : NULL;
    if (state_at(c, timeline, n, &s, &e) != 0 || grammar_mask(c->run, s, c->mask, &e) != 0) {
        if (n == c->pos) /* else a draft, which the answer does not need */
            c->failure = e;
        return NULL;
    }
    if (grammar_may_end(c->run, s)) {
        allow_stops(c, c->own_stop, c->own_stops);
        if (!c->ignore_eos || !any(c))
            allow_stops(c, c->eos, c->eoses);
    }
    if (any(c))
        return c->mask;
    if (n == c->pos)
        (void)err_set(&c->failure, GLIM_EUNSUPPORTED,
                      "grammar: nothing may come next, and no stop token ends the answer");
    return NULL;
}

int constraint_take(struct constraint *c, int32_t token, uint64_t pos, struct err *e)
{
    if (!c->active)
        return GLIM_OK;
    if (c->failure.code != 0)
        return err_set(e, c->failure.code, "%s", c->failure.text);
    assert(pos == c->pos);
    if (grammar_accept(c->run, c->at, token, &c->at, e) != 0)
        return e->code;
    grammar_keep(c->run, c->at);
    c->aheads = 0;
    c->pos = pos + 1;
    return GLIM_OK;
}
