/* engine.h - what is behind the public handles. Private to engine/.
 *
 * The public functions are thin: they run the inner function with a struct err and hand its text
 * over (give).
 */
#ifndef GLIM_ENGINE_ENGINE_H
#define GLIM_ENGINE_ENGINE_H

#include <pthread.h>

#include "base/pool.h"
#include "cache/kv.h"
#include "engine/constraint.h"
#include "engine/step.h"
#include "glim.h"
#include "model/bind.h"
#include "sample/draft.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "weights/plan.h"
#include "weights/resident.h"
#include "weights/slots.h"
#include "weights/weights.h"

enum { STOP_TOKENS_MAX = 16, NAME_BYTES = 256, LOGIT_ROWS = 8 };
/* Pairs of the MTP layer that may be late: pairs.c. */
enum { LATE_MAX = 64 };
enum { CONTEXT_DEFAULT = 8192, CHUNK_DEFAULT = 512, CHUNK_MAX = 4096 }; /* tokens */

struct glim_tokenizer {
    struct tok *tok;
    enum chat_template chat;
    char *jinja; /* the chat template's text; NULL = none */
    pthread_mutex_t lock; /* of trie */
    struct tokentrie *trie; /* NULL until a grammar needs it */
};

/* habits.c */
struct habits {
    char *path;      /* NULL = none */
    char *workload;
    char model[17];  /* a hash in hexadecimal digits; known once there is a store */
    uint64_t saved_ns;
};

/* Where the weights live (placement.c). */
struct placement {
    uint64_t ram_bytes;        /* as the caller gave it; 0 = what the machine has */
    struct glim_drive_model drive;   /* gb_s > 0: simulated */
    bool stream_always;        /* even if everything fits */
    uint64_t always_bytes[2];  /* in memory of our own: without the draft layer, with it */
    enum plan_place place;     /* PLAN_REFUSED until the first session is made */
    bool mtp;                  /* that had drafts */
    uint64_t budget_bytes, weight_bytes; /* the latter: all but experts' slots */
    uint64_t least_room_bytes; /* for those */
    uint64_t session_bytes;    /* of all sessions now */
    uint64_t chunk;            /* of the first, in tokens */
};

struct glim_model {
    struct weights weights;
    struct model model;
    struct pool *pool;
    struct stages stages; /* of all sessions */
    enum cpu_level isa;
    char name[NAME_BYTES];
    char schedule[MODEL_LAYERS_MAX + 1];
    struct glim_model_info info;
    struct glim_group group[GROUP_COUNT];
    char group_types[GROUP_COUNT][NAME_BYTES], group_path[GROUP_COUNT][NAME_BYTES];
    size_t groups;
    uint64_t expert_bytes;      /* of one routed expert, the mean */
    uint64_t always_read_bytes; /* weight bytes every token reads */
    uint64_t stage_bytes[STAGE_COUNT], stage_parameters[STAGE_COUNT]; /* that one token reads */
    int32_t stop_token[STOP_TOKENS_MAX];
    size_t stop_tokens;
    struct glim_sampling sampling;
    struct glim_tokenizer *tokenizer; /* NULL until first asked for */
    uint64_t sessions;
    char *path;
    char *sums_folder;  /* owned; NULL: reads are not checked */
    int (*stop)(void *ctx);
    struct placement placement;
    struct resident resident;
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *progress_ctx;
    void (*notice)(void *ctx, const char *text);
    void *notice_ctx;
    char *mirror[GLIM_MIRRORS_MAX]; /* folders */
    size_t mirrors;
    struct reader *reader;          /* borrowed from the store of experts; NULL: all is mapped */
    struct habits habits;
};

/* Decode rows that were computed ahead of the timeline: row i is what comes of token[i] at position
 * at + i, if the tokens before it are those on the timeline. */
struct ahead {
    int32_t token[LOGIT_ROWS];
    uint64_t at;
    size_t rows;      /* 0 = none */
    bool paired;      /* the MTP layer's cache has the pair of token[0] already: see session_look */
};

struct glim_session {
    struct glim_model *model;
    struct kv kv;
    struct stepper *w, own; /* w: what it steps with; own, or a service's */
    uint64_t memory_bytes; /* of the model's budget */
    uint64_t chunk;   /* rows of a prompt's step */
    bool mtp;
    int32_t *token;   /* [capacity] the timeline */
    uint8_t *role;    /* [capacity] enum kernel_role each token went through */
    float *state;     /* mtp: [LATE_MAX + w->rows, D] hidden states from kv.mtp_length on */
    float *logits;    /* [V] after the last token; valid if logits_valid */
    bool state_valid, logits_valid;
    struct ahead ahead;
    struct draft_policy policy; /* of all answers of this session */
};

/* Hands an inner error to the caller; returns rc. */
int give(struct glim_error *out, const struct err *e, int rc);

/* Puts the model's path in front of an error that does not begin with it yet; returns its code. */
int blame(struct err *e, const char *path);

/* info.c: fills info, groups and the derived sizes. */
int info_fill(struct glim_model *m, struct err *e);
/* defaults.c: stop tokens and sampling defaults from the metadata. */
int defaults_read(struct glim_model *m, struct err *e);
/* tokenizer_api.c */
int tokenizer_of_file(const struct tensorfile *f, const char *path, struct glim_tokenizer **out,
                      struct err *e);
void tokenizer_free(struct glim_tokenizer *t);
/* The layout of a cache for this model. `index` is scratch of the caller, [MODEL_LAYERS_MAX +
 * 1]. */
struct kv_layout cache_layout(const struct glim_model *m, bool mtp, enum glim_kv kv,
                              enum glim_kv_index keys, uint8_t *index);

/* session.c: what a session takes of memory. Sums saturate. */
struct session_shape {
    uint64_t context, chunk; /* tokens */
    enum glim_kv kv;
    enum glim_kv_index kv_index;
    bool mtp;
    /* Of a service: sessions at a time, and room for tokens of all. 0: one session by itself. */
    uint64_t parallel, cache;
};
struct session_sizes {
    uint64_t cache, drafts, work; /* bytes */
};
/* A step has room for a prompt's chunk, and with drafts for a token and those after it. */
uint64_t step_rows(uint64_t chunk, bool mtp);
/* Of its steppers: a session's own, or a service's for prompts and for answers; how many. */
int stepper_shapes(const struct glim_model *m, const struct session_shape *s,
                   struct stepper_shape out[2]);
struct session_sizes session_sizes(const struct glim_model *m, const struct session_shape *s,
                                   bool streamed);
/* GLIM_EINVAL and GLIM_EUNSUPPORTED for what the model cannot do. A chunk of 0 is left for
 * placement to choose. */
int session_shape_of(const struct glim_model *m, const struct glim_session_options *o,
                     struct session_shape *out, struct err *e);
/* A timeline that steps with w, its cache from `pages` (kv_init); no budget is looked at. Failed or
 * not, session_deinit ends it. */
int session_init(struct glim_session *s, struct glim_model *m, const struct session_shape *shape,
                 struct kv_pages *pages, struct stepper *w, struct err *e);
void session_deinit(struct glim_session *s);

/* needs.c */

/* Fills placement.always_bytes, when the model is opened. */
int placement_measure(struct glim_model *m, struct err *e);
/* The budget, for what the caller asked: 0 = what this process may take less a reserve. */
uint64_t placement_budget(uint64_t ram_bytes);
/* What a model, whose experts' classes are k (weights/slots.h), and so many sessions of a shape
 * need. out->class is k's. */
void placement_need(const struct glim_model *m, const struct session_shape *s, uint64_t sessions,
                    uint64_t budget, const struct slot_classes *k, struct plan_need *out);
/* The same for sessions of another shape. */
void placement_need_of(const struct glim_model *m, const struct session_shape *s,
                       uint64_t sessions, struct plan_need *need);
/* The matrices that every token reads: the caller frees *out. */
int placement_always(struct glim_model *m, bool mtp, struct matrix ***out, size_t *n,
                     struct err *e);
/* All weights that are used, as they stand in the files. */
uint64_t placement_mapped_bytes(const struct glim_model *m, bool mtp);
uint64_t placement_session_bytes(const struct glim_model *m, const struct session_shape *s,
                                 bool streamed);
/* For a need that is refused: what else would make it run. */
void placement_advise(const struct glim_model *m, const struct session_shape *s,
                      uint64_t sessions, const struct plan_need *need,
                      struct glim_plan_advice *out);
/* The same in words: returns GLIM_ELIMIT. */
int placement_refuse(const struct glim_model *m, const struct session_shape *s,
                     const struct plan_need *need, const struct plan *p, struct err *e);

/* placement.c */

/* GLIM_EINVAL for numbers that no drive has. */
int drive_check(const struct glim_drive_model *d, struct err *e);
/* Room for a session, until placement_leave: *bytes. The first one decides where weights live;
 * later ones take of the experts' room, and are refused (GLIM_ELIMIT) where that is not enough.
 * s->chunk 0 becomes what is best where experts are streamed, as far as there is room, else
 * CHUNK_DEFAULT, or the context if that is less. */
int placement_enter(struct glim_model *m, struct session_shape *s, uint64_t *bytes,
                    struct err *e);
void placement_leave(struct glim_model *m, uint64_t bytes);

/* chunk.c: how many tokens of a prompt go through a streamed model in one step */
struct chunk_speeds {
    double ram_bytes_per_s, drive_bytes_per_s, latency_s;
    double flop_per_s; /* of prompts */
};
uint64_t chunk_least(uint64_t context);
/* Of the model's threads, as they are at its level on a machine that was measured: a plan is the
 * same each time. */
double chunk_flop_s(const struct glim_model *m);
/* Measures the drives of a reader of the model's files for at most 30 ms; leaves v as it is if they
 * cannot be read. */
void chunk_drive(const struct glim_model *m, struct reader *r, struct chunk_speeds *v);
/* For sessions whose need is streamed: a chunk_least times a power of two, up to CHUNK_MAX and the
 * context, that is not refused. */
uint64_t chunk_choose(const struct glim_model *m, const struct session_shape *s, uint64_t sessions,
                      const struct plan_need *need, const struct chunk_speeds *v);
struct predict_chunk_out;
void chunk_foretell(const struct glim_model *m, uint64_t tokens, double hit_rate,
                    const struct chunk_speeds *v, struct predict_chunk_out *out);
/* Layers with experts that a prompt, and generation without drafts, goes through. */
uint64_t model_expert_layers(const struct glim_model *m);

/* What is assumed of a machine that is not measured. */
#define ASSUMED_RAM_GB_S 20.0
#define ASSUMED_DISK_GB_S 3.0
#define ASSUMED_LATENCY_US 80.0

/* model_api.c: to the caller's `notice`, if there is one. */
void model_notice(void *m, const char *text);

/* mirror_api.c: makes copies on other drives serve a reader of the model's files. */
int mirrors_attach(struct glim_model *m, struct reader *r, struct err *e);
/* habits.c: what a streamed model's runs have used. begin: when there is a store. step: after each
 * step; writes every few minutes. end: when the model is closed, before its parts are. */
int habits_init(struct glim_model *m, const struct glim_model_options *o, struct err *e);
void habits_begin(struct glim_model *m);
void habits_step(struct glim_model *m);
void habits_end(struct glim_model *m);

/* pairs.c: the parts of a step for one timeline */

/* GLIM_EIO if a file of the model could not be read meanwhile. */
int session_check(const struct glim_session *s, struct err *e);
/* Of `rows` that a step may have, what one of this role may. */
uint64_t rows_of_role(uint64_t rows, enum kernel_role role);
/* s->w->row for a step that writes to the cache from pos on. */
int session_rows(struct glim_session *s, const int32_t *token, size_t n, uint64_t pos,
                 struct err *e);
/* A step of the main layers. What was computed ahead is gone. */
int session_step(struct glim_session *s, const int32_t *token, size_t n, uint64_t pos,
                 enum kernel_role role, struct err *e);
/* After a rewind the last token's hidden state is gone: runs that token again, in its own role
 * (T2). */
int session_restore(struct glim_session *s, struct err *e);
/* The state of the token at pos, kv.mtp_length at least. */
float *session_state(const struct glim_session *s, uint64_t pos);
/* With mtp, keeps states of n rows of the last step, from `first` on, as those of position pos and
 * on. */
void session_keep(struct glim_session *s, uint64_t pos, size_t first, size_t n);
/* Fills the MTP layer's cache for the pairs of positions [first, end): their states are kept, their
 * tokens and roles stand on the timeline or behind it, one position later. */
int session_fill(struct glim_session *s, uint64_t first, uint64_t end, struct err *e);
/* It holds all pairs of the timeline now: of the states, the last is enough. */
void session_paired(struct glim_session *s);

/* session.c, for step.c, generate.c and speculate.c */

/* Before a step: puts tokens [n] behind the timeline, with pages for their rows. pairs: none is to
 * be late. */
int session_lay(struct glim_session *s, const int32_t *token, size_t n, enum kernel_role role,
                bool pairs, struct err *e);
/* After it: they are of the timeline. pairs: theirs are filled. */
void session_grow(struct glim_session *s, size_t n, bool pairs);

/* Computes tokens [n] as decode rows behind the timeline, which stays as it is: s->ahead. n is at
 * most LOGIT_ROWS, s->rows and the room that is left. paired: the last call was session_draft with
 * token[0] as `next`, which left that pair in the MTP layer's cache. */
int session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                 struct err *e);
/* If the next row ahead is this token's, the timeline takes it, with its logits and its state, and
 * is as if the token had been appended alone; else false, and nothing has changed. */
bool session_take(struct glim_session *s, int32_t token);
/* Fills the MTP layer's cache for all pairs of the timeline; how many it lacks. */
int session_catch_up(struct glim_session *s, struct err *e);
uint64_t session_late_pairs(const struct glim_session *s);
/* Chooses draft k of a chain from the MTP layer's logits [V]. */
typedef int32_t draft_choose_fn(void *ctx, const float *logits, size_t k);
/* glim_session_draft; choose NULL = the likeliest. */
int session_draft(struct glim_session *s, int32_t next, size_t n, draft_choose_fn *choose,
                  void *ctx, int32_t *out, float *logits, struct err *e);

/* generate.c: how the tokens of an answer are drawn. */
struct drawing {
    const struct sample_params *params;
    uint64_t start;  /* timeline length before the answer */
    uint64_t window; /* of the repetition penalty */
    struct constraint *constraint; /* NULL = none */
    /* Reasoning that goes on up to this position ends there, with `end`; a call ends it, too. */
    uint64_t reasoning_end; /* 0 = anywhere */
    int32_t end, call;      /* </think>, <tool_call>; -1: there is none */
};
/* The token at position n of an answer; s->token[0..n) stand before it. Depends on those, n, the
 * logits and the parameters, and on nothing else. */
int32_t session_draw(struct glim_session *s, struct sampler *sampler, const struct drawing *d,
                     const float *logits, uint64_t n);

#endif
