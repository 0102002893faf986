/* forward.h - one step of the model: rows of tokens in, hidden states and logits out.
 *
 * A row is one token at one position of one cache. A chunk of a prompt is many rows of one cache, a
 * decode batch one row of many caches; the forward pass does not care. What a row computes depends
 * on its own cache and on the role only: never on its neighbours, on the chunking, or on the number
 * of threads.
 *
 * Memory is planned when the workspace is made; a step allocates nothing.
 * Shapes use the letters of docs/model.md.
 */
#ifndef GLIM_MODEL_FORWARD_H
#define GLIM_MODEL_FORWARD_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/pool.h"
#include "cache/kv.h"
#include "model/bind.h"
#include "model/stage.h"

struct row {
    struct kv *kv;
    uint64_t pos;
    int32_t token;
};

enum tap_point { TAP_ATTN, TAP_FFN, TAP_BLOCK, TAP_FINAL, TAP_PICK };

/* For tests: sees [rows, cols] after each sublayer; TAP_PICK gives int32 lists of f->picked rows
 * each. */
typedef void tap_fn(void *ctx, enum tap_point p, uint64_t layer, const void *values, size_t rows,
                    size_t cols);

/* Vectors prepared for matmul (kernels.h), one behind the other in data. */
struct packed {
    const void **row; /* [rows] */
    uint8_t *data;
};

/* The most rows of a step in ROLE_DECODE: its packed vectors are larger than a prompt's. */
enum { DECODE_ROWS = 64 };

/* Absorbed attention works on tiles of rows and blocks of heads; the indexer on tiles of rows and
 * blocks of keys. */
enum { ABSORB_ROWS = 16, ABSORB_HEADS = 64, INDEX_ROWS = 4, INDEX_KEYS = 2048 };
/* Where tiles are few, their keys are cut into up to INDEX_PARTS parts a thread, of part_keys at
 * least. */
enum { INDEX_PARTS = 2, INDEX_PART_KEYS = 4096 };

/* Rows of a gated product that are worked on together, when the step is as large as it can be. */
enum { UP_ROWS = 128 };

/* The best positions so far of one row, rising, and those that may join them. */
struct candidates {
    float *score;     /* [2 Kt + INDEX_KEYS] */
    int32_t *pos;     /* the same */
    size_t n;
    float least;      /* scores at or below have lost */
};

struct scratch { /* one a worker */
    void *packed[ABSORB_ROWS]; /* each a vector of max(Rk, Dn) */
    float *wrow;          /* [widest matrix row], [Rk, Dn]: decoded weights */
    float *vec;           /* [ABSORB_ROWS, max(Dn, Dv)] */
    float *u, *o;         /* [ABSORB_ROWS, ABSORB_HEADS, Rk + Dr] and [.., Rk] */
    double *acc;          /* [KERNEL_LANES, max(Rk, Dn)] */
    void *attend, *index; /* of the kernels of these names */
    const void **ptr;     /* [context] */
    uint32_t *seen;       /* [max(T, ABSORB_HEADS)] */
    float *expanded;      /* [expand_max, Dn + Dr + Dv] */
    float *up;            /* [rows_max, UP_ROWS] what a product's `up` gives */
    float *score;         /* [INDEX_ROWS, INDEX_KEYS] */
    struct candidates best[INDEX_PARTS * INDEX_ROWS];
    int32_t *order;       /* [Kt] */
    float *aux;           /* [2 Kt + INDEX_KEYS] */
};

struct moe_item { /* rows of one step that go to one expert */
    const struct expert *lease;
    uint32_t first, count; /* in pair_of */
};

struct forward {
    const struct model *m;
    struct experts *experts;
    struct pool *pool;
    uint64_t rows_max, context_max, expand_max, picks_max;
    uint64_t part_keys; /* INDEX_PART_KEYS; less in tests */
    bool streamed;      /* experts come one after the other */
    struct arena arena;
    struct scratch *scratch; /* [threads] */

    /* this step */
    const struct row *row; /* [T] */
    size_t T;
    enum kernel_role role;

    float *x;    /* [T,D] residual stream */
    float *h;    /* [T,D] normed input of a sublayer */
    float *y;    /* [T,D] output of a sublayer */
    float *final; /* [T,D] after the final norm */
    float *prenorm; /* [T,D] before it; for the knob mtp_prenorm */
    float *cs;   /* [T,Dr/2,2] cos and sin of the row's position */
    float *qr;   /* [T,Rq] normed query latent, shared with the indexer */
    float *q;    /* [T,H,Dn+Dr] */
    float *a;    /* [T,Rk+Dr] */
    float *att;  /* [T,H,Dv] */
    float *lat;  /* [expand_max,Rk] latents of the span that is expanded */
    struct packed lat_in; /* the same */
    struct packed h_in;   /* [T,D] h, for all matrices that read it */
    struct packed v_in;   /* [T, Rq or H*Dv] the query latent; what attention gives */
    float *qi;   /* [T,Hi,Di] */
    float *ki;   /* [T,Di] */
    float *wi;   /* [T,Hi] */
    int32_t *pick;    /* [T,picks_max] positions to attend to, ascending */
    uint32_t *picked; /* [T] how many; PICK_ALL = all up to the row's own position */
    float *gate; /* [T,W] of dense and shared feed-forwards */
    struct packed gate_in; /* the same */
    float *route;     /* [T,E] */
    int32_t *chosen;  /* [T,K] in router order */
    float *weight;    /* [T,K] */
    uint32_t *pair_of; /* [T*K] (row, rank) pairs grouped by expert */
    struct moe_item *item; /* [E] */
    uint32_t *wanted;      /* [E] their experts */
    uint32_t *ready;       /* [E] items whose experts are leased */
    const struct expert **lease; /* [E] the same */
    struct product *product; /* [E + 1] of one job */
    size_t items;
    const void **ex_in; /* [T*K] into h_in */
    struct packed act_in; /* [T*K,F] */
    float *ex_act;    /* [T*K,F] */
    float *ex_out;    /* [T*K, some of D], indexed by pair */
    float *mtp_in;    /* [T,2D] */
    struct packed mtp_packed; /* the same */
    float *mtp_out;   /* [T,D] after shared_head.norm */

    struct err failure; /* code != 0: experts could not be read, the step ends */
    atomic_int fault; /* enum fault: a choice was to be made among numbers that are not finite */

    /* Called some milliseconds apart, between two pieces of a layer's work; may use other
     * workspaces of the same model. Nonzero: the step ends with GLIM_ESTOPPED when the layer does,
     * until when it is called as before. May be NULL. */
    int (*between)(void *ctx);
    void *between_ctx;
    bool leasing; /* experts that others may have to wait for: not called meanwhile */
    tap_fn *tap;
    void *tap_ctx;
    struct stages *stages; /* the owner's clock; may be NULL */
};

/* A NaN among scores would be passed over in silence, and one in a row for the cache may meet no
 * query of its own step: the places that choose, and those that keep what nothing reads yet, look
 * for it. */
enum fault { FAULT_NONE, FAULT_ROUTER, FAULT_INDEXER, FAULT_KEY, FAULT_LATENT };

#define PICK_ALL UINT32_MAX

/* Bytes that a workspace of this size takes, with experts streamed or not. */
uint64_t forward_plan(const struct model *m, uint64_t rows_max, uint64_t context_max, int threads,
                      bool streamed);

int forward_init(struct forward *f, struct model *m, struct pool *pool, uint64_t rows_max,
                 uint64_t context_max, struct err *e);
void forward_deinit(struct forward *f);

/* The main layers over T <= rows_max rows; in ROLE_DECODE, here and below, <= DECODE_ROWS. Rows of
 * one cache come with rising positions, and every earlier position of that cache is filled. Leaves
 * f->final. Caches hold the rows' state afterwards; the caller moves kv->length. GLIM_ENUMERIC if a
 * hidden state is not finite. */
int forward_rows(struct forward *f, const struct row *row, size_t T, enum kernel_role role,
                 struct err *e);

/* logits [n,V] of hidden states [n,D]: the output matrix. */
int forward_logits(struct forward *f, const float *hidden, size_t n, enum kernel_role role,
                   float *logits, struct err *e);

/* The MTP layer over T pairs: row[t].token is the token at pos + 1, hidden [T,D] the state at pos.
 * Leaves f->mtp_out. reuse_list: attend to f->pick of the previous call (later drafts of a chain)
 * instead of choosing. */
int forward_mtp(struct forward *f, const struct row *row, const float *hidden, size_t T,
                enum kernel_role role, bool reuse_list, struct err *e);

/* What those pairs leave in the MTP layer's cache and nothing else, bit for bit. Its keys depend on
 * its input alone, and it is one layer: filling its cache takes neither attention nor experts. */
int forward_mtp_fill(struct forward *f, const struct row *row, const float *hidden, size_t T,
                     enum kernel_role role, struct err *e);

/* ---- between the files of model/ ---- */

/* pool_for with f->between between some of the items. */
void op_for(struct forward *f, size_t n, pool_fn *fn, void *ctx);

/* One matrix product of a job: y[T, to - from] = x . w[from, to)^T, rows `stride` apart; to = 0:
 * all rows of w. With `up`, a matrix of the same shape: y = silu(x . w^T) * (x . up^T). */
struct product {
    float *y;
    size_t stride;
    const void *const *x; /* [T] prepared vectors */
    size_t T;
    const struct matrix *w, *up;
    uint64_t from, to;
    uint64_t block; /* set by op_products: rows an item */
    size_t first;   /* its first item */
};

/* Products that do not need each other, in one job: cut into items of equal bytes (of equal
 * multiplications in a prompt), each thread beginning with its own stretch of the weights. */
void op_products(struct forward *f, struct product *p, size_t n);
void op_matmul(struct forward *f, float *y, size_t stride, const struct packed *x, size_t T,
               const struct matrix *w);

/* fn for each of n rows, by the caller alone if all of them have only a few elements. */
void op_rows(struct forward *f, size_t n, size_t width, pool_fn *fn, void *ctx);
/* p[T] = x [T,n], each vector prepared. */
void op_pack(struct forward *f, struct packed *p, const float *x, size_t T, size_t n);
/* The same for rows from `first` on of p; x is theirs. */
void op_pack_from(struct forward *f, struct packed *p, size_t first, const float *x, size_t T,
                  size_t n);
/* x += add (NULL: nothing to add);  y = rms(x) * g;  p = y prepared, unless p is NULL. All [T,n];
 * y may be x. */
void op_norm(struct forward *f, struct packed *p, float *y, float *x, const float *add,
             const float *g, size_t T, size_t n, double eps);
void op_add(struct forward *f, float *x, const float *add, size_t T, size_t n); /* x += add */

/* A feed-forward of f->h_in: f->gate = silu(gate . h) * (up . h);  f->y = down . f->gate_in. */
struct product ffn_gate_up(struct forward *f, const struct ffn *w);
struct product ffn_down(struct forward *f, const struct ffn *w);
void op_ffn(struct forward *f, const struct ffn *w); /* f->h_in -> f->y */

/* Notes the fault if one of x[n] is not finite; the step ends with it. */
void fault_unless_finite(struct forward *f, const float *x, size_t n, enum fault fault);
void block_run(struct forward *f, uint64_t layer, bool reuse_list);  /* one decoder layer on f->x */
void mla_run(struct forward *f, uint64_t layer, bool reuse_list);    /* f->h_in -> f->y */
void mla_fill(struct forward *f, uint64_t layer);  /* f->h_in -> the layer's cache, no more */
/* f->q of some heads of all rows, from the query latent in f->v_in. */
void mla_queries(struct forward *f, uint64_t layer, size_t h0, size_t heads, int worker);
/* f->q, cache, f->pick -> f->att; bring: mla_queries first, head by head. */
void attend_run(struct forward *f, uint64_t layer, bool bring);
/* Is attend_run to bring the queries? It saves a job where threads meet; but it is split by heads,
 * which pays where every thread has as many. Otherwise f->q is to be there. */
bool attend_brings_queries(const struct forward *f);
/* Does any row of the step see more positions than it may attend to? Otherwise the indexer keeps
 * its keys and computes nothing else. */
bool indexer_chooses(const struct forward *f);
/* Its products of f->h_in, and of the query latent in f->v_in: how many were added to p. */
size_t indexer_input_products(struct forward *f, const struct indexer *x, bool choose,
                              struct product *p);
size_t indexer_query_products(struct forward *f, const struct indexer *x, struct product *p);
/* After those: index keys go to the cache; with `list` also f->pick; choose: from queries, which
 * are there (else every row attends to all it sees). */
void indexer_run(struct forward *f, uint64_t layer, bool list, bool choose);
void moe_run(struct forward *f, const struct layer *l);              /* f->h_in -> f->y */
/* Columns of f->ex_out that a step of T rows has room for: all in decode, some in long prompts. */
size_t forward_out_columns(const struct forward *f, size_t T);
void rope_fill(struct forward *f);                                   /* f->row -> f->cs */

static inline const float *row_cs(const struct forward *f, size_t t)
{
    return f->cs + t * f->m->cfg.rope_dim;
}

#endif
