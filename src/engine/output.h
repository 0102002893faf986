/* output.h - an answer in the making: tokens come in, events go out, until something says stop.
 *
 * Draws each token from given logits, watches for stops and limits, and hands the text out through
 * the parser. Not responsible for how the logits come: generate.c steps one session, a service many
 * together.
 */
#ifndef GLIM_ENGINE_OUTPUT_H
#define GLIM_ENGINE_OUTPUT_H

#include "engine/engine.h"
#include "engine/stopper.h"
#include "text/parse.h"

enum { BIASES_MAX = 1024 };

struct output {
    struct glim_session *s;
    const struct glim_generate *g;
    const struct tok *tok;
    struct sample_params params;
    struct sample_bias bias[BIASES_MAX];
    struct json_object *tools;
    struct parse *parse;      /* NULL when raw */
    struct tok_stream stream; /* raw only */
    struct stopper stopper;
    struct buf text;
    struct drawing drawing;
    struct constraint constraint;
    uint64_t most;            /* tokens */
    uint64_t begin_ns;
    bool stopped;             /* the caller said so */
    struct glim_usage usage;  /* but for drafts */
    /* Before output_take, for its TOKEN event; with a service. */
    float logprob;
    const struct glim_logprob *top; /* [tops] borrowed */
    size_t tops;
};

/* Where params may be wrong, the text of the error names them. s and g are borrowed. */
int output_open(struct output *a, struct glim_session *s, const struct glim_generate *g,
                struct err *e);
void output_close(struct output *a); /* also after a failed output_open */

/* The next token, from the logits [V] after the timeline. Outputs of different sessions may draw at
 * the same time, with a sampler each. */
int32_t output_draw(struct output *a, struct sampler *sampler, const float *logits);
/* A drawn token, which is not on the timeline yet: its events. *more: it belongs there, and another
 * one may follow it; *keep: it belongs to the answer. */
int output_take(struct output *a, int32_t token, bool *keep, bool *more, struct err *e);
/* What was held back comes out; usage is complete. */
int output_end(struct output *a, struct err *e);

/* Reads and checks sampling parameters; bias is room for BIASES_MAX. */
int sampling_read(const struct glim_sampling *g, uint64_t vocab, struct sample_params *p,
                  struct sample_bias *bias, struct err *e);
/* The generated part of a timeline begins at `start`; the params are borrowed. */
struct drawing drawing_of(const struct glim_sampling *g, const struct sample_params *p,
                          uint64_t start);

#endif
