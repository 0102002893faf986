/* generation.h - one request that generates: from its JSON through the service to its answer.
 *
 * A request has one or more prompts and n answers to each: its choices, each a request of the
 * service's. Their events come on the service's thread; here they become parts (runs of reasoning,
 * of content, a call of a tool), which the dialect writes.
 *
 * Owned by the exchange, and freed with it.
 */
#ifndef GLIM_SERVER_GENERATION_H
#define GLIM_SERVER_GENERATION_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "server/server.h"

struct compiled;
struct dialect;

enum { CHOICES_MAX = 128, STOPS_MAX = 16, CALL_ID_LEN = 24 };

enum part_kind { PART_REASONING, PART_CONTENT, PART_TOOL };

/* A run of an answer. */
struct part {
    enum part_kind kind;
    size_t index;             /* in the answer */
    int tool;                 /* number of the call */
    char *name;               /* of the tool */
    char id[CALL_ID_LEN + 1]; /* hex digits, random: for ids of calls and items */
    struct buf text;          /* or the arguments' JSON */
    size_t scores, scores_end; /* of content, in answer.scored: its tokens */
    bool closed;
};

/* A token with its probability, where logprobs were asked for. */
struct scored {
    int32_t token;
    float logprob;
    bool prompt, first; /* of the prompt; its first token, which has no probability */
    bool end;           /* ended the answer: its text is not shown */
    size_t text, len;   /* bytes in answer.scored_text */
    size_t top, tops;   /* in answer.top */
};

struct answer {
    struct part *part;
    size_t parts, part_cap;
    struct scored *scored;
    size_t scores, score_cap, scores_sent; /* sent: what a stream has written */
    size_t scores_sure; /* their text has come: they are of the answer's content */
    struct glim_logprob *top;
    size_t tops, top_cap;
    struct buf scored_text;
    bool begun; /* work on it has */
    int calls;
    uint64_t tokens;
    /* When it has ended. */
    bool ended;
    int code;
    enum glim_finish finish;
    int stop_string; /* which of g->stop ended it, or -1 */
    struct glim_usage usage;
    uint64_t cached_tok, queue_ns, prompt_ns;
};

struct prompt {
    int32_t *id;      /* [n], owned */
    uint8_t *sampled; /* [n], owned; NULL: none was sampled here */
    size_t n;
    bool thinking; /* ends inside <think> */
};

struct choice {
    struct generation *g;
    size_t index;
    const struct prompt *prompt;
    _Atomic uint64_t id; /* of the service; 0: not submitted */
    struct answer answer;
};

struct generation {
    struct server *server;
    struct exchange *x;
    const struct dialect *dialect;
    struct json_object *body; /* what is borrowed of it stays */

    /* What `read` fills in; zero and the model's defaults before. */
    struct prompt *prompt; /* generation_add_prompt */
    size_t prompts, prompt_cap;
    uint64_t n; /* answers a prompt; 0 = 1 */
    bool stream, progress; /* progress: of the prompt, in the stream */
    struct glim_generate generate; /* sampling, stops, tools ...; on_event is not used */
    struct glim_logit_bias *bias;  /* owned */
    char *tools;                   /* the text of generate.tools, owned */
    const char *stop[STOPS_MAX];
    bool seeded; /* a seed was given */
    bool logprobs, prompt_logprobs, no_answer;
    uint32_t top_logprobs;
    struct compiled *compiled; /* what generate.grammar belongs to: constrain.h */
    bool counting;            /* only the prompt is wanted, for its length; set before `read` */
    bool one_call; /* ends after the first call of a tool */
    bool messages; /* the prompt was made of messages: see replay.h */
    bool background; /* nobody has to wait for it: background.h; the dialect keeps its answer */
    void *own;     /* the dialect's; freed with free_own */
    void (*free_own)(void *own);

    pthread_mutex_t lock; /* of what follows */
    struct choice *choice;
    size_t choices, left;
    bool failed, forgotten; /* forgotten: it is not kept */
    struct fault fault;
    struct buf out;
    uint64_t seconds; /* since 1970, when it came */
    atomic_bool gone; /* what it generates is wanted no more */
    struct generation *next; /* in the list of those in the background */
};

/* A handler: reads, submits, answers. */
void generation_serve(struct server *s, struct exchange *x, const struct dialect *d);

/* A handler: reads, and answers with the length of the prompt. */
void generation_count(struct server *s, struct exchange *x, const struct dialect *d);

/* One that has not ended ends soon. From any thread. */
void generation_cancel(struct generation *g);

/* For `read`: takes over id and sampled, also if it fails. */
int generation_add_prompt(struct generation *g, struct prompt p, struct fault *f);
/* All choices together, for usage. */
struct totals {
    uint64_t prompt_tok, cached_tok, output_tok, reasoning_tok, accepted_tok;
    uint64_t prompt_ns, generate_ns;
};
void generation_totals(const struct generation *g, struct totals *out);

#endif
