/* bind.h - which tensor name is which matrix, in both dialects; every shape checked once.
 *
 * After model_bind nothing else in model/ knows a name. Weights stay where they are; only vectors
 * (norms, biases) are decoded into the model's memory.
 */
#ifndef GLIM_MODEL_BIND_H
#define GLIM_MODEL_BIND_H

#include "base/arena.h"
#include "model/config.h"
#include "weights/experts.h"

struct indexer {
    struct matrix q_b;        /* [Hi*Di, Rq] */
    struct matrix k;          /* [Di, D] */
    struct matrix proj;       /* [Hi, D] */
    const float *norm, *bias; /* [Di] */
};

struct ffn {
    struct matrix gate, up, down; /* [W, D] [W, D] [D, W] */
};

struct layer {
    enum ffn_kind ffn_kind;
    enum index_kind index_kind;
    const float *attn_norm, *ffn_norm;    /* [D] */
    struct matrix q_a, q_b, kv_a, o;      /* [Rq,D] [H*(Dn+Dr),Rq] [Rk+Dr,D] [D,H*Dv] */
    const float *q_a_norm, *kv_a_norm;    /* [Rq] [Rk] */
    bool split_kv_b;                      /* k_b and v_b, a slice a head; else kv_b */
    struct matrix kv_b; /* [H*(Dn+Dv), Rk]: head h has Dn rows of W_K, then Dv rows of W_V */
    struct matrix k_b,
        v_b; /* split: [H*Rk, Dn] (W_K transposed, a head after the other), [H*Dv, Rk] */
    struct indexer index;                 /* INDEX_FULL only */
    struct ffn dense;                     /* FFN_DENSE only */
    struct ffn shared;                    /* FFN_MOE with shared experts */
    struct matrix router;                 /* FFN_MOE: [E, D] */
    const float *router_bias;             /* [E], added for choosing only; NULL = none */
    uint64_t moe_layer;                   /* FFN_MOE: index in the table of experts */
};

struct mtp {
    struct matrix eh_proj;                 /* [D, 2*D]: embedding half first */
    const float *enorm, *hnorm, *head_norm; /* [D] */
    bool own_embed, own_head;
    struct matrix embed, head;             /* the main model's unless the file has its own */
};

struct model {
    struct model_config cfg;
    struct kernels kernels;
    struct weights *weights;  /* borrowed */
    struct arena memory;      /* vectors and tables */
    struct layer *layer;      /* [layers + mtp_layers] */
    struct experts experts;
    struct matrix embed, head; /* [V, D] */
    const float *norm;        /* [D] */
    struct mtp mtp;           /* if cfg.mtp_layers */
    const float *inv_freq;    /* [Dr/2] */
};

/* The weights stay open until model_deinit. */
int model_init(struct model *m, struct weights *w, const struct model_knobs *knobs,
               enum cpu_level isa, struct err *e);
void model_deinit(struct model *m);

/* All matrices but routed experts and those whose rows are looked up (embeddings); those of the
 * MTP layer only with mtp. Returns how many; out may be NULL. */
size_t model_matrices(struct model *m, bool mtp, struct matrix **out);

/* Names, for reports: the group that a tensor belongs to. */
enum tensor_group {
    GROUP_EMBEDDING,
    GROUP_ATTENTION,
    GROUP_INDEXER,
    GROUP_DENSE,
    GROUP_ROUTER,
    GROUP_SHARED,
    GROUP_EXPERTS,
    GROUP_NORMS,
    GROUP_HEAD,
    GROUP_MTP,
    GROUP_MTP_EXPERTS,
    GROUP_UNUSED,
    GROUP_COUNT
};
const char *tensor_group_name(enum tensor_group g);
/* By the tensor's name; scales belong to their matrix's group. */
enum tensor_group tensor_group_of(const struct model *m, const char *name);

#endif
