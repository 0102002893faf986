/* engine.h - what is behind the public handles. Private to engine/.
 *
 * The public functions are thin: they run the inner function with a struct err and hand its text
 * over (give).
 */
#ifndef GLIM_ENGINE_ENGINE_H
#define GLIM_ENGINE_ENGINE_H

#include "base/pool.h"
#include "cache/kv.h"
#include "glim.h"
#include "model/bind.h"
#include "model/forward.h"
#include "sample/draft.h"
#include "sample/sample.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "weights/plan.h"
#include "weights/resident.h"
#include "weights/weights.h"

enum { STOP_TOKENS_MAX = 16, NAME_BYTES = 256, LOGIT_ROWS = 8 };
enum { CONTEXT_DEFAULT = 8192, CHUNK_DEFAULT = 512, CHUNK_MAX = 4096 }; /* tokens */

struct glim_tokenizer {
    struct tok *tok;
    enum chat_template chat;
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
    struct forward forward;
    struct sampler sampler;
    uint64_t memory_bytes; /* of the model's budget */
    uint64_t chunk, rows; /* of a prompt's step; of any step */
    bool mtp;
    int32_t *token;   /* [capacity] the timeline */
    uint8_t *role;    /* [capacity] enum kernel_role each token went through */
    struct row *row;  /* [rows] */
    float *state;     /* mtp: [LATE_MAX + rows, D] hidden states from position kv.mtp_length on */
    float *logits;    /* [V] after the last token; valid if logits_valid */
    float *many;      /* [LOGIT_ROWS, V] */
    float *many_mtp;  /* the same for drafts; with mtp only */
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
};
struct session_sizes {
    uint64_t cache, drafts, work; /* bytes */
};
struct session_sizes session_sizes(const struct glim_model *m, const struct session_shape *s,
                                   bool streamed);

/* placement.c */

/* GLIM_EINVAL for numbers that no drive has. */
int drive_check(const struct glim_drive_model *d, struct err *e);
/* Fills placement.always_bytes, when the model is opened. */
int placement_measure(struct glim_model *m, struct err *e);
/* The budget, for what the caller asked: 0 = what this process may take less a reserve. */
uint64_t placement_budget(uint64_t ram_bytes);
/* What a model and so many sessions of a shape need. The caller frees out->class. */
int placement_need(const struct glim_model *m, const struct session_shape *s, uint64_t sessions,
                   uint64_t budget, struct plan_need *out, struct err *e);
/* For a need that is refused: what else would make it run. */
void placement_advise(const struct glim_model *m, const struct session_shape *s,
                      uint64_t sessions, const struct plan_need *need,
                      struct glim_plan_advice *out);
/* Room for a session, until placement_leave: *bytes. The first one decides where weights live;
 * later ones take of the experts' room, and are refused (GLIM_ELIMIT) where that is not enough. */
int placement_enter(struct glim_model *m, const struct session_shape *s, uint64_t *bytes,
                    struct err *e);
void placement_leave(struct glim_model *m, uint64_t bytes);

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

/* session.c, for generate.c and speculate.c */

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
};
/* The token at position n of an answer; s->token[0..n) stand before it. Depends on those, n, the
 * logits and the parameters, and on nothing else. */
int32_t session_draw(struct glim_session *s, const struct drawing *d, const float *logits,
                     uint64_t n);

#endif
