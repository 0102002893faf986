/* glim.h - run GLM-5.2 and its family from C. The only public header of libglim.
 *
 * Three objects:
 *   glim_model      an opened checkpoint, read-only, shared by any number of sessions
 *   glim_session    one conversation: a timeline of tokens and its cache; append, rewind, continue
 *   glim_tokenizer  text <-> tokens and messages -> prompt; belongs to a model or is opened by
 *       itself
 *
 * Every call that can fail returns 0 or a negative GLIM_E... code and fills *e (may be NULL) with
 * one line that names the thing and both values. Option structs start with `size`: initialise them
 * with their *_INIT macro, so that a program compiled against an older header keeps working.
 * Strings are UTF-8. No call prints, exits, reads the environment or touches the network. A model
 * may be used from one thread at a time (its sessions included); models are independent of each
 * other.
 *
 * Memory handed to the caller is freed with glim_free; borrowed pointers say until when they live.
 */
#ifndef GLIM_H
#define GLIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GLIM_API __attribute__((visibility("default")))

#define GLIM_VERSION_MAJOR 0
#define GLIM_VERSION_MINOR 1
#define GLIM_VERSION_PATCH 0

/* "0.1.0" */
GLIM_API const char *glim_version(void);

/* ---- errors ---- */

#define GLIM_OK 0
#define GLIM_EINVAL (-1)       /* an argument of the caller is wrong */
#define GLIM_EIO (-2)          /* the system could not read, write, open or map */
#define GLIM_EFORMAT (-3)      /* a file's content is malformed */
#define GLIM_EUNSUPPORTED (-4) /* well formed, but glim does not do it */
#define GLIM_ENOMEM (-5)       /* memory ran out */
#define GLIM_ELIMIT (-6)       /* a stated limit (context, budget, size) was reached */
#define GLIM_ENUMERIC     (-7) /* NaN or infinity where numbers must be finite */
#define GLIM_ESTOPPED (-8)     /* the caller asked to stop */
#define GLIM_EBUSY (-9)        /* too much waits already: try again later */
#define GLIM_EQUOTA (-10)      /* too much of one owner's waits already: the same */

struct glim_error {
    int code;
    char text[1024];
};

/* "format", "io" ...: the name of a code. */
GLIM_API const char *glim_error_name(int code);

GLIM_API void glim_free(void *p);

typedef struct glim_model glim_model;
typedef struct glim_session glim_session;
typedef struct glim_tokenizer glim_tokenizer;

/* ---- model ---- */

/* What a session keeps of a token: its latent (Q8: 8 bits, with a scale a block of 128; the part
 * that holds the position keeps 16), and the indexer's keys, which are read again for every token
 * (I8: 8 bits with one scale; AUTO: I8, but F32 with F32). */
enum glim_kv { GLIM_KV_F16, GLIM_KV_BF16, GLIM_KV_F32, GLIM_KV_Q8 };
enum glim_kv_index { GLIM_KV_INDEX_AUTO, GLIM_KV_INDEX_I8, GLIM_KV_INDEX_F16 };

/* Where public implementations of the family disagree; 0 (or NULL) is the default given in
 * docs/model.md. */
struct glim_knobs {
    double latent_eps;      /* eps of q_a_ and kv_a_layernorm; 0 = the config's rms_norm_eps */
    double index_norm_eps;  /* eps of the indexer's LayerNorm; 0 = 1e-6 */
    int index_rope;         /* 0 = as the config says, 1 = interleaved pairs, 2 = half-split */
    bool index_hadamard;    /* rotate indexer queries and keys */
    bool mtp_prenorm;       /* feed the MTP layer hidden states from before the final norm */
    bool moe_by_expert;     /* sum experts by ascending expert id instead of router order */
    bool expand_off;        /* absorbed attention everywhere */
    bool expand_all;        /* un-absorbed attention everywhere, decoding included */
    bool index_always;      /* score and select even when every position would be selected */
    bool stream_always;     /* read experts from the files even when all would fit: for tests */
};

/* A drive in numbers. */
struct glim_drive_model {
    double gb_s;       /* 0 = none is given */
    double latency_us; /* before a read's first byte */
    uint32_t depth;    /* reads that it works on at once; 0 = 32 */
};

struct glim_model_options {
    size_t size;
    int threads;         /* 0 = one per processor */
    const char *isa;     /* highest level to use ("baseline", "avx2" ...), NULL = the best */
    struct glim_knobs knobs;
    /* Called during long work with a name, what is done and what there is to do; may be NULL. */
    void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
    void *progress_ctx;
    /* Leave the threads where the system puts them. Else each but the caller's gets a processor of
     * its own, where there are threads for every physical core that the process may use. */
    bool unpinned;
    /* Memory for weights, caches and work; 0 = what the machine has available, less a reserve. What
     * does not fit is read from the files again and again: routed experts. Decided when the first
     * session is made, whose cache counts; later sessions take of the room for experts, and are
     * refused where there is not enough. */
    uint64_t ram_bytes;
    /* Folders on other drives with copies of the model's files, all or some, under the same names:
     * what is not mapped is then read from all drives at once, from each as much as its measured
     * bandwidth says. [mirrors], at most GLIM_MIRRORS_MAX; copied. They are looked at when the
     * first session is made, which fails if one of them has none of the files, or a copy of another
     * size or with other bytes in its header or some pages. Later one that cannot be read is left
     * out, with a notice. */
    const char *const *mirror;
    size_t mirrors;
    /* Called with one line when something goes on, but not as it was asked for; may be NULL. */
    void (*notice)(void *ctx, const char *text);
    void *notice_ctx;
    /* A file (SQLite, made if it is not there; its folder must be) that keeps how often each routed
     * expert is used, by model and workload, so that the next run knows which are worth keeping in
     * memory. Read and written only if experts are streamed: when they get their room, every ten
     * minutes, and when the model is closed. NULL: none. A file that cannot be used is a notice. */
    const char *usage;
    const char *workload; /* any name; NULL = "default" */
    /* A folder that is there, for checksums of routed experts: each that is read from the files is
     * then held against its own, read once more if it differs, and fails the step (GLIM_EIO) if it
     * still does. They are made by reading all experts once, in the first session of a model whose
     * files the folder has none of. NULL: reads are not checked. */
    const char *sums_folder;
    /* Asked during that work: nonzero stops it, GLIM_ESTOPPED; what is done stays. May be NULL. */
    int (*stop)(void *progress_ctx);
    /* For measuring: experts are there when a drive of these numbers would have brought them,
     * however fast the true one is. They are used as mapped, so the files should fit into the
     * system's cache, and the room for experts stays empty. */
    struct glim_drive_model drive;
};
enum { GLIM_MIRRORS_MAX = 7 };
#define GLIM_MODEL_OPTIONS_INIT {.size = sizeof(struct glim_model_options)}

/* path: a GGUF file (the first of a split set) or a Hugging Face folder. Reads the headers only:
 * weights are mapped and touched when used, so opening takes milliseconds whatever the size. o (may
 * be NULL): the defaults. */
GLIM_API int glim_model_open(glim_model **out, const char *path, const struct glim_model_options *o,
                             struct glim_error *e);
GLIM_API void glim_model_close(glim_model *m); /* after its sessions */

struct glim_model_info {
    /* Strings are borrowed from the model. */
    const char *name;          /* general.name, else the folder's or file's */
    const char *family;        /* "GLM-5.2", "GLM-5", ... */
    const char *architecture;  /* "glm_moe_dsa" or "glm-dsa" as the file says */
    const char *format;        /* "safetensors" or "gguf" */
    const char *isa;           /* the level in use */
    int threads;
    uint64_t tensors, file_bytes, tensor_bytes, files;
    uint64_t total_parameters;     /* MTP included */
    uint64_t active_parameters;    /* used for one token, without embedding and MTP */
    uint64_t always_on_parameters; /* of these, what is not a routed expert */
    uint64_t mtp_parameters;
    uint64_t unused_parameters;    /* stored, not used: indexer copies on layers that share */
    uint64_t cache_bytes_per_token; /* 16-bit cache, without MTP */
    uint64_t mtp_cache_bytes_per_token;
    uint64_t bytes_per_token;       /* weight bytes read to decode one token */
    int layers, mtp_layers, dense_layers, full_indexer_layers;
    uint64_t vocab, hidden, heads, q_rank, kv_rank, nope_dim, rope_dim, v_dim;
    uint64_t experts, experts_used, shared_experts, expert_width, dense_width, expert_groups,
        expert_groups_used;
    uint64_t index_heads, index_dim, index_topk, context;
    double rope_theta, norm_eps, latent_eps, expert_scale;
    const char *index_schedule; /* "fffsssf...": f full, s shared, - none; one letter a layer */
    const char *index_source;   /* where the schedule came from, for people */
    /* Type of the MTP layer's coarsest matrix if that has less than 8 bits a weight, else NULL:
     * such a layer drafts worse than it was trained to. */
    const char *mtp_low_type;
};

GLIM_API const struct glim_model_info *glim_model_info(const glim_model *m);

/* Parameters by group: "embedding", "attention", "indexer", "dense ffn", "router", "shared expert",
 * "routed experts", "norms", "head", "mtp ...". */
struct glim_group {
    const char *name;
    uint64_t tensors, parameters, active_parameters, bytes;
    const char *types; /* "Q8_0, F32" */
    const char *path;  /* which code path the group takes on this machine */
};
GLIM_API size_t glim_model_group_count(const glim_model *m);
GLIM_API const struct glim_group *glim_model_group(const glim_model *m, size_t i);

struct glim_tensor {
    const char *name, *type;
    int rank;
    uint64_t dim[8]; /* row-major */
    uint64_t bytes, offset;
    const char *file;
};
GLIM_API size_t glim_model_tensor_count(const glim_model *m);
GLIM_API int glim_model_tensor(const glim_model *m, size_t i,
                               struct glim_tensor *out); /* sorted by name */

/* GLIM_EIO if a file of the model shrank or became unreadable since it was opened. */
GLIM_API int glim_model_check(const glim_model *m, struct glim_error *e);

/* ---- placement ---- */

/* How often experts are chosen. MEASURED: as in use reported for GLM-5.2, where the hottest tenth
 * of a layer has 31 % of it and the hottest half 78 %. UNIFORM: all equally. */
enum glim_use { GLIM_USE_MEASURED, GLIM_USE_UNIFORM };

struct glim_plan_request {
    size_t size;
    uint64_t ram_bytes;   /* budget; 0 = what a session would take */
    uint64_t context_tok; /* cache for this many tokens; 0 = 8192 */
    uint64_t sessions;    /* 0 = 1 */
    enum glim_kv kv;
    double ram_gb_s;      /* at which generation reads weights, to predict with; 0 = 20 */
    enum glim_kv_index kv_index;
    uint64_t chunk_tok;   /* of prompts; 0 = what a session takes, with the drive below */
    bool mtp;             /* sessions with drafts */
    struct glim_drive_model drive; /* to predict with; 0 = 3 GB/s, 80 us */
    enum glim_use use;
    double hit_rate;      /* share of expert reads that memory serves, where known; 0 = it is found
                           * by playing the use against the slots */
};
#define GLIM_PLAN_REQUEST_INIT {.size = sizeof(struct glim_plan_request)}

struct glim_plan_item {
    const char *name;  /* "always-on weights", "cache", "routed experts" ... */
    uint64_t bytes, resident_bytes, streamed_bytes, read_bytes_per_token;
};

enum { GLIM_PLAN_ITEMS_MAX = 16 };

/* What would make a plan run, each alone, where it does not; 0 or false: it would not. */
struct glim_plan_advice {
    uint64_t context_tok, chunk_tok; /* the most that runs */
    bool kv_q8, no_drafts;
};

/* What placement does with the first of such sessions, to the byte. Where the model does not run,
 * nothing has a place and no speed: those figures are 0. */
struct glim_plan {
    uint64_t ram_bytes, context_tok, sessions;
    uint64_t cache_bytes_per_token, cache_bytes;
    uint64_t resident_bytes, streamed_bytes;
    uint64_t expert_slots, experts; /* in memory at a time; that generation can want */
    uint64_t ram_read_per_token, disk_read_per_token; /* bytes, the expert hit rate below assumed */
    double expert_hit_rate;      /* share of expert reads that memory serves */
    double ram_gb_s, tok_s_ram, tok_s_disk; /* bounds: reading memory alone, the drive alone */
    struct glim_drive_model drive;
    enum glim_use use;
    double ram_ms, disk_ms;      /* a token, each alone */
    double tok_s;                /* predicted: generation without drafts, both overlapping */
    uint64_t chunk_tok;          /* of prompts */
    double chunk_read_s, chunk_compute_s; /* predicted, where experts are streamed: reading its
                                           * experts, and computing all of it, each alone */
    bool fits;                   /* all resident */
    bool runs;                   /* always-on weights, sessions and one layer's experts fit */
    uint64_t least_ram_bytes;    /* the least budget that runs */
    struct glim_plan_advice advice; /* where it does not run */
    size_t items;
    struct glim_plan_item item[GLIM_PLAN_ITEMS_MAX];
};
GLIM_API int glim_model_plan(const glim_model *m, const struct glim_plan_request *q,
                             struct glim_plan *out, struct glim_error *e);

/* ---- tokenizer and prompt format ---- */

/* path: a folder with tokenizer.json, or a GGUF file. For a model use glim_model_tokenizer. */
GLIM_API int glim_tokenizer_open(glim_tokenizer **out, const char *path, struct glim_error *e);
GLIM_API void glim_tokenizer_close(glim_tokenizer *t); /* only those from glim_tokenizer_open */

/* The model's own tokenizer, built on first use and borrowed until the model is closed. */
GLIM_API int glim_model_tokenizer(glim_model *m, glim_tokenizer **out, struct glim_error *e);

GLIM_API uint64_t glim_tokenizer_size(const glim_tokenizer *t); /* ids are below this */

enum glim_tokenize_flags {
    GLIM_TOKENIZE_SPECIAL = 1, /* match added tokens in the text: for trusted text only */
};
/* *ids: owned by the caller. Invalid UTF-8 is replaced by U+FFFD. */
GLIM_API int glim_tokenize(const glim_tokenizer *t, const char *text, size_t len, unsigned flags,
                           int32_t **ids, size_t *n, struct glim_error *e);
enum glim_detokenize_flags {
    GLIM_DETOKENIZE_SKIP_SPECIAL = 1, /* leave out role tokens and the like */
};
/* *text: owned by the caller, 0-terminated. Bytes that are not UTF-8 come out as they are. */
GLIM_API int glim_detokenize(const glim_tokenizer *t, const int32_t *ids, size_t n, unsigned flags,
                             char **text, size_t *len, struct glim_error *e);
/* The id of an added token such as "<|user|>", or -1. */
GLIM_API int32_t glim_token_id(const glim_tokenizer *t, const char *token);

/* Messages -> prompt. request: a JSON object with "messages", optional "tools" and the template's
 * own arguments (enable_thinking, reasoning_effort, clear_thinking, add_generation_prompt). Text
 * from messages never becomes a special token. *text (may be NULL) is the prompt as the template
 * prints it; *ids (may be NULL) its tokens. */
GLIM_API int glim_template(const glim_tokenizer *t, const char *request, size_t len, char **text,
                           size_t *text_len, int32_t **ids, size_t *n, struct glim_error *e);
/* "glm-5.2": the template in use; NULL if the model names none that glim knows. */
GLIM_API const char *glim_template_name(const glim_tokenizer *t);
/* The chat template of the model's files, in Jinja, for programs that render it themselves; it may
 * be one that glim does not know. Borrowed until the tokenizer closes; NULL if there is none. */
GLIM_API const char *glim_template_source(const glim_tokenizer *t);

/* ---- grammars ---- */

/* What an answer must match, whatever the model would rather say: compiled once, used by any number
 * of answers at once, from any thread. docs/structured-output.md says what is understood. */
typedef struct glim_grammar glim_grammar;

enum glim_grammar_kind {
    GLIM_GRAMMAR_GBNF,        /* text: llama.cpp's grammar language */
    GLIM_GRAMMAR_JSON_SCHEMA, /* text: a JSON schema */
    GLIM_GRAMMAR_JSON_OBJECT, /* any JSON object; no text */
    GLIM_GRAMMAR_TOOLS,       /* text: a JSON array of tools, as in a request */
};
struct glim_grammar_options {
    size_t size;
    enum glim_grammar_kind kind;
    const char *text;
    /* of TOOLS */
    const char *only; /* name of the one tool that may be called; NULL: all of them */
    bool free_text;   /* may come before the first call */
    bool required;    /* there is at least one call */
    bool parallel;    /* there may be several */
    bool lenient;     /* tools without "strict": true take any arguments */
};
#define GLIM_GRAMMAR_OPTIONS_INIT {.size = sizeof(struct glim_grammar_options)}

/* t must outlive it. GLIM_EINVAL, GLIM_EUNSUPPORTED (by the keyword's name), GLIM_ELIMIT. */
GLIM_API int glim_grammar_new(glim_grammar **out, glim_tokenizer *t,
                              const struct glim_grammar_options *o, struct glim_error *e);
GLIM_API void glim_grammar_free(glim_grammar *g); /* after the answers that use it */

/* ---- session ---- */

struct glim_session_options {
    size_t size;
    uint64_t context_tok; /* room for this many tokens; 0 = min(model's context, 8192) */
    uint64_t chunk_tok;   /* prefill step; 0 = 512, or where experts are streamed, as many of 512 to
                           * 4096 as this drive and these threads are best with */
    enum glim_kv kv;
    bool mtp;             /* keep the MTP layer's cache, for drafts; the model must have one */
    enum glim_kv_index kv_index;
};
#define GLIM_SESSION_OPTIONS_INIT {.size = sizeof(struct glim_session_options)}

/* o (may be NULL): the defaults. */
GLIM_API int glim_session_new(glim_session **out, glim_model *m,
                              const struct glim_session_options *o, struct glim_error *e);
GLIM_API void glim_session_free(glim_session *s);

GLIM_API uint64_t glim_session_length(const glim_session *s); /* tokens on the timeline */
GLIM_API uint64_t glim_session_context(const glim_session *s);
GLIM_API uint64_t glim_session_chunk(const glim_session *s); /* tokens of a prefill step at most */
GLIM_API const int32_t *glim_session_tokens(
    const glim_session *s); /* borrowed until the next call */

enum glim_append_flags {
    GLIM_APPEND_DECODE = 1,     /* as decode rows, the summation order of generation */
    GLIM_APPEND_ALL_LOGITS = 2, /* call on_logits for every token, not for the last only */
};
struct glim_append {
    size_t size;
    const int32_t *tokens;
    size_t n;
    unsigned flags;
    /* Called with the logits [vocab] that follow token `index` of this call (borrowed for the
     * call); return nonzero to stop. mtp: [vocab] what the draft layer foretold for the same place,
     * from the hidden state before `index` and the token at it; NULL without options.mtp and for
     * the first token of the timeline. */
    int (*on_logits)(void *ctx, size_t index, const float *logits, const float *mtp);
    void *ctx;
    /* Return nonzero to stop between chunks: the call ends with GLIM_ESTOPPED, finished chunks
     * stay. May be NULL. */
    int (*progress)(void *ctx, size_t done, size_t n);
};
#define GLIM_APPEND_INIT {.size = sizeof(struct glim_append)}

/* Puts tokens at the end of the timeline. On an error the timeline holds the chunks that were
 * finished. */
GLIM_API int glim_session_append(glim_session *s, const struct glim_append *a,
                                 struct glim_error *e);
/* Forgets all after the first n tokens; later results are the same as if they had never been
 * there. */
GLIM_API int glim_session_rewind(glim_session *s, uint64_t n, struct glim_error *e);
/* Logits [vocab] after the last token; NULL on an empty timeline or right after a rewind. */
GLIM_API const float *glim_session_logits(const glim_session *s);

/* Up to n draft tokens from the MTP layer after `next`, the token chosen at the end of the timeline
 * (not appended yet). logits (may be NULL): [n, vocab]. Needs options.mtp; the session is unchanged
 * afterwards. */
GLIM_API int glim_session_draft(glim_session *s, int32_t next, size_t n, int32_t *draft,
                                float *logits, struct glim_error *e);

/* ---- sampling ---- */

struct glim_logit_bias {
    int32_t token;
    float bias;
};
struct glim_sampling {
    size_t size;
    double temperature;        /* 0 = greedy */
    double top_p, min_p;       /* 1 and 0 = off */
    uint32_t top_k;            /* 0 = off */
    double repetition_penalty; /* 1 = off; over the timeline's last penalty_window tokens */
    double presence_penalty, frequency_penalty; /* 0 = off; over generated tokens */
    uint32_t penalty_window;   /* 0 = 512 */
    uint64_t seed;             /* same seed, same tokens, on any machine */
    const struct glim_logit_bias *bias;
    size_t biases;
};
#define GLIM_SAMPLING_INIT                                                                         \
    {                                                                                              \
        .size = sizeof(struct glim_sampling), .top_p = 1, .repetition_penalty = 1                  \
    }

/* The defaults of the model's generation_config.json (or general.sampling.* of a GGUF file), else
 * temperature 1 and top_p 0.95; seed 0. */
GLIM_API void glim_model_sampling(const glim_model *m, struct glim_sampling *out);

/* The token that `s` (same values as in glim_generate) draws from the session's logits; does not
 * append it. */
GLIM_API int glim_session_sample(glim_session *s, const struct glim_sampling *p, int32_t *token,
                                 struct glim_error *e);

/* ---- generation ---- */

enum glim_event_kind {
    GLIM_EVENT_REASONING,  /* text inside the thinking block */
    GLIM_EVENT_CONTENT,    /* text of the answer */
    GLIM_EVENT_TOOL_BEGIN, /* text = the function's name */
    GLIM_EVENT_TOOL_ARGS,  /* text = a fragment of the arguments' JSON object */
    GLIM_EVENT_TOOL_END,
    GLIM_EVENT_TOKEN,      /* every token, before its text: token, and its raw bytes */
    /* Of a service only: */
    GLIM_EVENT_PROMPT,       /* `done` of `total` tokens of the prompt are on the timeline */
    GLIM_EVENT_PROMPT_TOKEN, /* with prompt_logprobs, each token of the prompt, as TOKEN */
    GLIM_EVENT_END_TOKEN,    /* with logprobs, the token that ends the answer and is none of it */
};
struct glim_logprob {
    int32_t token;
    float logprob; /* natural logarithm, before temperature, filters and penalties */
};
struct glim_event {
    enum glim_event_kind kind;
    const char *text; /* borrowed for the call, 0-terminated; whole UTF-8 but for TOKEN */
    size_t len;
    int32_t token;
    int tool; /* index of the call, for TOOL events */
    float logprob; /* of the token, where logprobs were asked for; 0 for the prompt's first */
    const struct glim_logprob *top; /* [tops] the likeliest tokens, likeliest first; borrowed */
    size_t tops;
    uint64_t done, total; /* PROMPT */
    uint64_t cached, ns;  /* PROMPT: of `done`, found in the cache; since it was begun */
};
/* Return nonzero to stop. */
typedef int glim_event_fn(void *ctx, const struct glim_event *ev);

enum glim_finish {
    GLIM_FINISH_STOP,
    GLIM_FINISH_LENGTH,
    GLIM_FINISH_TOOL_CALLS,
    GLIM_FINISH_STOPPED
};

/* With options.mtp the MTP layer drafts tokens that a step then verifies together with the one that
 * was drawn. The answer is the same, bit for bit, with drafts and without; they cost or save
 * time. */
enum {
    GLIM_DRAFTS_AUTO = 0, /* as many as pay at the moment, maybe none; none without mtp */
    GLIM_DRAFTS_OFF = -1,
    GLIM_DRAFTS_MAX = 5,  /* 1 to this many: always so many; needs options.mtp */
};

struct glim_generate {
    size_t size;
    struct glim_sampling sampling;
    uint64_t max_tokens;       /* 0 = until a stop or the context is full */
    const char *const *stop;   /* strings that end the answer; not part of it */
    size_t stops;
    const int32_t *stop_token; /* besides the model's own */
    size_t stop_tokens;
    bool ignore_eos;
    bool thinking;             /* the prompt ended inside <think>: output begins as reasoning */
    bool raw;                  /* no parsing: all text is CONTENT, special tokens too */
    const char *tools;         /* JSON array of tools, to type arguments; may be NULL */
    glim_event_fn *on_event;
    void *ctx;
    int drafts;                /* GLIM_DRAFTS_AUTO, GLIM_DRAFTS_OFF, or how many each time */
    int *stop_string; /* gets which of `stop` ended the answer, or -1, at its end; may be NULL */
    /* The answer matches it, from its beginning or, if `thinking`, from the end of the reasoning;
     * it ends where the grammar lets it. Borrowed until the answer has ended. NULL: none. */
    const glim_grammar *grammar;
    uint64_t max_reasoning_tok; /* with `thinking`, its end included, which is put there if need be;
                                 * 0 = no limit */
};
#define GLIM_GENERATE_INIT {.size = sizeof(struct glim_generate), .sampling = GLIM_SAMPLING_INIT}

struct glim_usage {
    uint64_t prompt_tok, output_tok, reasoning_tok;
    uint64_t generate_ns; /* from the first sampled token to the last */
    enum glim_finish finish;
    int32_t last_token;
    /* Filled in only if glim_generate.size covers `drafts`. */
    uint64_t verifications;             /* steps that had drafts */
    uint64_t drafted_tok, accepted_tok; /* drafts, and those that became part of the timeline */
};

/* Samples and appends until a stop. The timeline then ends with the last token of the answer; a
 * stop token is not appended. */
GLIM_API int glim_generate(glim_session *s, const struct glim_generate *g, struct glim_usage *usage,
                           struct glim_error *e);

/* ---- service ---- */

/* A model that works for many requests at once. One thread of the service's own runs the model:
 * generation of all requests in common steps, prompts in chunks between them. Whoever else runs
 * beside it, and whatever is found of its prompt in the cache, an answer is the same bit for bit.
 * While there is a service, nothing else may run the model; its info, its tokenizer and templates
 * may be used from any thread. The functions of a service may be called from any thread, also from
 * its callbacks, but for glim_service_stop. */
typedef struct glim_service glim_service;

struct glim_service_options {
    size_t size;
    uint64_t context_tok;   /* most of one request, answer included; 0 = 32,768, or the model's */
    uint64_t cache_tok;     /* room for tokens of running requests and kept prefixes together; 0 =
                             * 2 x context_tok */
    uint32_t parallel;      /* requests that are worked on at a time, at most 64; 0 = 32 */
    uint32_t queue;         /* requests that may wait; 0 = 256 */
    uint64_t chunk_tok;     /* of prompts; 0 = 512 */
    enum glim_kv kv;
    enum glim_kv_index kv_index;
    bool mtp;               /* drafts while one request alone generates */
    double prompt_share;    /* of the time, for prompts while others generate; 0 = 0.4 */
    /* A folder that keeps prefixes beyond the service's end, for the next one with this model and
     * these formats: whole pages of 64 tokens, compressed, with checksums. Made with mode 0700 if
     * it is not there; one that lets others in is refused (GLIM_EINVAL), since it holds what people
     * wrote. Services of several processes may share it. While it cannot be written, a notice says
     * so and all else goes on. NULL: none. */
    const char *kv_dir;
    uint64_t kv_dir_bytes;  /* of its files at most: those not used for the longest time go; 0 =
                             * 20 GB */
    /* Each request has a secret, and what is kept of it is for requests with the same one alone: on
     * disk encrypted (AES-256-GCM, keys by HKDF-SHA256) under names that say nothing, in memory
     * apart from what others have. Needs OpenSSL: else GLIM_EUNSUPPORTED. */
    bool kv_encrypt;
    bool slot_files;        /* slots may be saved and restored. Needs zstd and OpenSSL */
    uint32_t owner_queue;   /* requests of one owner that may wait; 0 = as many as of all */
};
#define GLIM_SERVICE_OPTIONS_INIT {.size = sizeof(struct glim_service_options)}

/* The model must outlive the service, and have no sessions. o (may be NULL): the defaults. */
GLIM_API int glim_service_start(glim_service **out, glim_model *m,
                                const struct glim_service_options *o, struct glim_error *e);
/* Requests that are left end with GLIM_ESTOPPED; returns when the thread has ended, which with
 * kv_dir may write for 20 s more. s may be NULL. */
GLIM_API void glim_service_stop(glim_service *s);

struct glim_result {
    int code;          /* 0, or why there is no (whole) answer: error */
    const char *error; /* "" if code is 0; borrowed, as all here */
    struct glim_usage usage; /* prompt_tok, output_tok ...: of what was done */
    uint64_t cached_tok;     /* of the prompt, found in the cache */
    uint64_t queue_ns, prompt_ns; /* waited; from then to the first token */
    const int32_t *token;    /* [tokens] of the answer, as sampled, without the stop token */
    size_t tokens;
};

struct glim_request {
    size_t size;
    const int32_t *prompt; /* [prompts]; copied, as all below */
    size_t prompts;
    /* [prompts] nonzero: a token that the model sampled in an earlier answer. Such a token is
     * computed again as it was then, so that finding it in the cache changes nothing. NULL: no
     * such token. */
    const uint8_t *sampled;
    /* How to go on; its on_event and ctx are not used. max_tokens may be more than fits. */
    struct glim_generate generate;
    const char *owner;     /* who asks: owners take turns. NULL = "" */
    uint64_t timeout_ns;   /* since submission; then GLIM_ESTOPPED. 0 = none */
    bool logprobs;         /* TOKEN events have logprob, and `top` of the likeliest */
    uint32_t top_logprobs; /* up to GLIM_TOP_LOGPROBS_MAX */
    bool prompt_logprobs;  /* PROMPT_TOKEN events; takes nothing from the cache */
    bool no_answer;        /* the prompt only */
    /* Both are called on the service's thread and must not wait. on_event: return nonzero to stop
     * (GLIM_FINISH_STOPPED). on_done: once, and nothing after it. */
    glim_event_fn *on_event;
    void (*on_done)(void *ctx, const struct glim_result *r);
    void *ctx;
    /* With options.kv_encrypt: [secret_bytes] 16 at least, and hard to guess, for whoever gets hold
     * of the files may try. Not copied; keys that are derived of it are kept in memory until the
     * service stops. */
    const void *secret;
    size_t secret_bytes;
};
enum { GLIM_TOP_LOGPROBS_MAX = 20 };
#define GLIM_REQUEST_INIT {.size = sizeof(struct glim_request), .generate = GLIM_GENERATE_INIT}

/* *id (may be NULL): for glim_service_cancel. GLIM_EBUSY if the queue is full, GLIM_EQUOTA if too
 * many of this owner's wait, GLIM_ELIMIT if the prompt leaves no room for an answer; on_done is
 * then not called. */
GLIM_API int glim_service_submit(glim_service *s, const struct glim_request *r, uint64_t *id,
                                 struct glim_error *e);
/* Ends a request within a step: on_done is called with GLIM_FINISH_STOPPED and what there was. What
 * its prompt left in the cache stays. An id that has ended is ignored. */
GLIM_API void glim_service_cancel(glim_service *s, uint64_t id);

/* Counts since the start, and how things stand now. */
struct glim_service_state {
    uint64_t context_tok, cache_tok, parallel, queue;       /* limits */
    uint64_t running, waiting;                              /* requests now */
    uint64_t done, failed, stopped, refused;                /* requests, since the start */
    uint64_t prompt_tok, cached_tok, output_tok;            /* since the start */
    uint64_t drafted_tok, accepted_tok;
    uint64_t steps, step_rows;      /* of generation: step_rows / steps requests share a step */
    uint64_t prompt_ns, generate_ns; /* in which the thread worked for prompts, for answers */
    uint64_t set_back;              /* times that a request gave its room to an older one, and was
                                     * computed again later */
    uint64_t cache_used_tok;        /* room taken by running requests and kept prefixes */
    uint64_t cache_kept_tok;        /* by kept prefixes, which running requests may share */
    uint64_t saved_pages, saved_bytes; /* written to kv_dir since the start */
    uint64_t save_failed;           /* times that one could not be written */
    uint64_t restored_tok;          /* read from kv_dir; cached_tok has them too */
};
GLIM_API void glim_service_state(glim_service *s, struct glim_service_state *out);

/* A request that is worked on runs in a slot, numbered from 0. When it has ended, the slot
 * remembers its tokens until another request runs there. A request takes the free slot of its owner
 * whose tokens it goes on from, else one that was never used, else the one that was not used for
 * the longest time. What was computed is no slot's own: it is kept for all, as long as there is
 * room. */
enum glim_phase { GLIM_PHASE_WAITING, GLIM_PHASE_PROMPT, GLIM_PHASE_ANSWER, GLIM_PHASE_IDLE };
/* A slot, or a request that waits for one. */
struct glim_service_slot {
    int32_t slot;  /* -1: it waits */
    uint64_t id;   /* of the request; 0: none is worked on */
    enum glim_phase phase;
    uint64_t prompt_tok, cached_tok, done_tok, output_tok; /* done: of the prompt */
    uint64_t age_ns; /* since submission */
    uint64_t kept_tok; /* IDLE: of the timeline that the slot remembers */
    char owner[64];
};
/* Up to `max` of them, the slots by number, then what waits; returns how many. */
GLIM_API size_t glim_service_slots(glim_service *s, struct glim_service_slot *out, size_t max);

/* What to do with the timeline that an idle slot remembers. */
enum glim_slot_verb {
    GLIM_SLOT_SAVE,    /* its whole pages of 64 tokens, as far as they are in memory, into `file` */
    GLIM_SLOT_RESTORE, /* those of `file` into the cache, for whoever's prompt begins so; the slot
                        * remembers them */
    GLIM_SLOT_ERASE,   /* its pages leave the cache, in memory and in kv_dir, but for those that
                        * others go on from; the slot forgets */
};
struct glim_slot_result {
    int code;          /* 0, GLIM_EBUSY: a request runs there; GLIM_EINVAL: it is another owner's,
                        * holds nothing, or there is no such file; GLIM_EFORMAT: it is torn, or of
                        * another model, format or key; GLIM_EIO ... */
    const char *error; /* "" if code is 0; borrowed */
    uint64_t tokens;   /* saved, restored or erased */
    uint64_t bytes;    /* written or read */
    uint64_t ns;       /* from its beginning to its end */
};
struct glim_slot_request {
    size_t size;
    enum glim_slot_verb verb;
    uint32_t slot;
    const char *owner; /* as the request's that ran there; copied, as all here. NULL = "" */
    const char *file;  /* a path, of SAVE and RESTORE; a new file has mode 0600 */
    const void *secret; /* as struct glim_request has it */
    size_t secret_bytes;
    /* Once, on the service's thread; must not wait. */
    void (*on_done)(void *ctx, const struct glim_slot_result *r);
    void *ctx;
};
#define GLIM_SLOT_REQUEST_INIT {.size = sizeof(struct glim_slot_request)}
/* One after the other, between steps and some 50 ms at a time, so that streams go on. On an error
 * on_done is not called: GLIM_EINVAL, GLIM_EBUSY (64 wait), GLIM_EUNSUPPORTED (no slot_files). */
GLIM_API int glim_service_slot(glim_service *s, const struct glim_slot_request *r,
                               struct glim_error *e);

/* ---- streaming ---- */

/* All 0 while everything is mapped, and before the first session. */
struct glim_streaming {
    bool streamed;
    const char *reads;         /* "io_uring", "threads"; static storage */
    uint64_t always_bytes;     /* of weights that every token reads, in memory of glim's own */
    bool locked;               /* the system keeps them there */
    uint64_t room_bytes;       /* for experts */
    uint64_t wanted, hits;     /* experts that steps have asked for; that were in memory */
    uint64_t read_bytes;       /* from the files */
    uint64_t wait_ns;          /* in which a step had nothing to compute but what was being read */
    /* From each drive, always-on weights included: the model's own, then options.mirror. */
    uint64_t drive_bytes[1 + GLIM_MIRRORS_MAX];
    /* With sums_folder: experts whose checksum was looked at, nanoseconds that took, and how many
     * were not right. */
    uint64_t checked, check_ns, wrong;
};
GLIM_API void glim_model_streaming(const glim_model *m, struct glim_streaming *out);

/* What the drive gives for a second of reads as streaming makes them: experts at random, as many at
 * once, into the same memory, which forgets what it held. GLIM_EINVAL if nothing is streamed. */
GLIM_API int glim_model_drive(glim_model *m, double *gb_s, struct glim_error *e);

/* ---- mirrors ---- */

/* A folder with copies of a model's files, for options.mirror. Of the files only those are copied
 * that hold weights: info.files, numbered from 0. */
struct glim_mirror_file {
    const char *path;       /* the model's own; borrowed from the model */
    uint64_t bytes;
    bool there;             /* the folder has it: of the same size, and equal where it was looked */
    uint64_t part_bytes;    /* of a copy that is not finished */
};
/* Looks at the sizes, the header and some pages. GLIM_EFORMAT if what is there differs, with the
 * sizes or the offset. */
GLIM_API int glim_mirror_file(const glim_model *m, const char *dir, size_t i,
                              struct glim_mirror_file *out, struct glim_error *e);

/* Called with bytes of a file; return nonzero to stop. */
typedef int glim_mirror_progress_fn(void *ctx, uint64_t done, uint64_t total);

/* Copies file i, or the rest of it if an earlier call was interrupted. GLIM_EIO if anything of that
 * name is there, GLIM_ELIMIT if the drive has no room for it. progress may be NULL. */
GLIM_API int glim_mirror_stage(const glim_model *m, const char *dir, size_t i,
                               glim_mirror_progress_fn *progress, void *ctx, struct glim_error *e);
/* Compares all of file i, if the folder has it. GLIM_EFORMAT with the first offset where they
 * differ. */
GLIM_API int glim_mirror_verify(const glim_model *m, const char *dir, size_t i,
                                glim_mirror_progress_fn *progress, void *ctx,
                                struct glim_mirror_file *out, struct glim_error *e);

struct glim_drive {
    uint64_t free_bytes;
    uint64_t device; /* equal numbers: the same file system */
    double gb_s;     /* of scattered reads of 1 MiB, 16 at once; 0 = not measured */
};
/* The drive of a folder, or the model's own for NULL. measure: how fast it is, by reading the
 * largest copy that is there for up to half a second, or a file of 64 MiB without a name that is
 * written for it. */
GLIM_API int glim_mirror_drive(const glim_model *m, const char *dir, bool measure,
                               struct glim_drive *out, struct glim_error *e);

/* ---- time ---- */

/* Where a model's time goes, all sessions together. */
struct glim_stage {
    const char *name; /* "attention", "indexer", "router", "experts" ...; static storage */
    /* Of the time that passed in it: the threads worked, or waited for each other or for what one
     * does alone; the mean over the threads. All stages together are the time that passed. */
    uint64_t work_ns, wait_ns;
    uint64_t bytes_per_token, parameters; /* of weights that one token reads there */
};
enum { GLIM_STAGES_MAX = 16 };
struct glim_stages {
    size_t stages;
    struct glim_stage stage[GLIM_STAGES_MAX];
};

/* Starts the clock of the stages at zero, or stops it. It costs under a microsecond a layer; off,
 * as it is at first, nothing. */
GLIM_API void glim_model_clock(glim_model *m, bool on);
/* Since the clock was started; all times are 0 while it is off. */
GLIM_API void glim_model_stages(glim_model *m, struct glim_stages *out);

/* What the model's threads together can multiply at most, in operations a second (a multiplication
 * and an addition are two): the multiply instruction of the level in use for weights in integer
 * blocks, on registers alone; the best of a few tries. Takes about 0.2 s. */
GLIM_API double glim_model_peak_flop_s(glim_model *m);

/* ---- machine ---- */

struct glim_machine {
    char cpu[128];   /* the processor's own name, or "unknown" */
    const char *isa; /* static storage */
    int processors;
    uint64_t memory_bytes;
    uint64_t memory_available_bytes; /* to this process: the limits of its control groups count */
    uint64_t memory_limit_bytes; /* of the control group that leaves least; 0 = there is none */
    char memory_group[256];      /* that group's folder */
    uint64_t memory_budget_bytes; /* what a model takes where glim_model_options.ram_bytes is 0 */
};
GLIM_API void glim_machine(struct glim_machine *out);

#ifdef __cplusplus
}
#endif
#endif
