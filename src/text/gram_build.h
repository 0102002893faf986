/* gram_build.h - the workbench that GBNF, JSON Schema and tool calls are compiled with: nodes and
 * edges -> struct grammar. Internal to text/grammar.
 *
 * Building goes from left to right: a function is given the node where its text begins and says
 * where it ends. Faults stick: after the first one (b->rc) every call does nothing, so that a
 * caller checks once a loop. Not responsible for: what the text means.
 */
#ifndef GLIM_TEXT_GRAM_BUILD_H
#define GLIM_TEXT_GRAM_BUILD_H

#include "base/err.h"
#include "text/gram_impl.h"

struct grammar;

enum {
    GRAM_NODES_MAX = 250000,
    GRAM_EDGES_MAX = 500000,
    GRAM_RULES_MAX = 30000,
    GRAM_REPEAT_MAX = 1000000,  /* of the bounds of a repetition */
    GRAM_EMPTY_REPEAT_MAX = 64, /* the same, of something that may be empty */
};

#define GRAM_CHAR_MAX 0x10FFFFu

struct gram_frag {
    uint32_t start, end; /* nothing but the fragment's own text leads from start to end */
};

struct gram_range {
    uint32_t lo, hi; /* code points */
};

struct gram_builder {
    struct err *e;
    int rc;
    struct gram_draft_edge *edge;
    struct gram_draft_rule *rule;
    struct gram_repeat *repeat;
    size_t nodes, edges, rules, repeats, edge_cap, rule_cap, repeat_cap;
};

struct gram_draft_edge {
    uint32_t from;
    struct gram_edge edge;
};

struct gram_draft_rule {
    struct gram_frag frag;
    char *name; /* owned, for messages; may be NULL */
};

void gram_builder_init(struct gram_builder *b, struct err *e);
void gram_builder_deinit(struct gram_builder *b);
/* Sets rc and the message, unless there was a fault before; returns b->rc. */
int gram_fault(struct gram_builder *b, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int gram_no_memory(struct gram_builder *b);

uint32_t gram_node(struct gram_builder *b);
/* A rule with a start and an end; the first one is the whole text. name: copied, for messages; may
 * be NULL. */
uint32_t gram_rule(struct gram_builder *b, const char *name, size_t len);
struct gram_frag gram_rule_frag(const struct gram_builder *b, uint32_t rule);

void gram_empty(struct gram_builder *b, uint32_t from, uint32_t to);
void gram_bytes(struct gram_builder *b, uint32_t from, uint8_t lo, uint8_t hi, uint32_t to);
void gram_token(struct gram_builder *b, uint32_t from, int32_t id, uint32_t to);
void gram_call(struct gram_builder *b, uint32_t from, uint32_t rule, uint32_t to);

/* Valid UTF-8, byte by byte; returns the node after it. */
uint32_t gram_text(struct gram_builder *b, uint32_t from, const char *text, size_t len);
uint32_t gram_string(struct gram_builder *b, uint32_t from, const char *text); /* 0-terminated */

/* One character of the ranges, which are in order, do not overlap and end at GRAM_CHAR_MAX.
 * Surrogates among them are left out. */
void gram_chars(struct gram_builder *b, uint32_t from, const struct gram_range *r, size_t n,
                uint32_t to);

/* frag min to max times; frag is used up. Returns the node after it. */
uint32_t gram_times(struct gram_builder *b, uint32_t from, struct gram_frag frag, uint32_t min,
                    uint32_t max);

/* Checks and packs. tokens: of the tokenizer. GLIM_EINVAL: a rule that begins with itself, or no
 * text at all matches. The builder is left for gram_builder_deinit. */
int gram_finish(struct gram_builder *b, uint32_t tokens, struct grammar **out);

#endif
