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
#include "sample/sample.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "weights/weights.h"

enum { STOP_TOKENS_MAX = 16, NAME_BYTES = 256 };

struct glim_tokenizer {
    struct tok *tok;
    enum chat_template chat;
};

struct glim_model {
    struct weights weights;
    struct model model;
    struct pool *pool;
    enum cpu_level isa;
    char name[NAME_BYTES];
    char schedule[MODEL_LAYERS_MAX + 1];
    struct glim_model_info info;
    struct glim_group group[GROUP_COUNT];
    char group_types[GROUP_COUNT][NAME_BYTES], group_path[GROUP_COUNT][NAME_BYTES];
    size_t groups;
    uint64_t expert_bytes;      /* of one routed expert, the mean */
    uint64_t always_read_bytes; /* weight bytes every token reads */
    uint64_t embed_bytes;
    int32_t stop_token[STOP_TOKENS_MAX];
    size_t stop_tokens;
    struct glim_sampling sampling;
    struct glim_tokenizer *tokenizer; /* NULL until first asked for */
    uint64_t sessions;
    char *path;
};

struct glim_session {
    struct glim_model *model;
    struct kv kv;
    struct forward forward;
    struct sampler sampler;
    uint64_t chunk;
    bool mtp;
    int32_t *token;   /* [capacity] the timeline */
    uint8_t *role;    /* [capacity] enum kernel_role each token went through */
    struct row *row;  /* [chunk] */
    float *state;     /* [D] what the MTP layer wants of the last token; valid if state_valid */
    float *mtp_in;    /* [chunk, D] */
    float *logits;    /* [V] after the last token; valid if logits_valid */
    float *many;      /* [LOGIT_ROWS, V] */
    float *many_mtp;  /* the same for drafts; with mtp only */
    bool state_valid, logits_valid;
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
struct kv_layout cache_layout(const struct glim_model *m, bool mtp, enum kv_type type,
                              uint8_t *index);
enum kv_type kv_type_of(enum glim_kv kv);

/* session.c, for generate.c */
int session_append(struct glim_session *s, const struct glim_append *a, struct err *e);
int session_check(const struct glim_session *s, struct err *e);

#endif
