/* bench.h - glim bench among its rooms: measuring (bench_run.c), what the figures mean
 * (bench_row.c), the table (bench_text.c), data for programs (bench_data.c), a drawing
 * (bench_svg.c).
 *
 * A test is a prompt or a generation of so many tokens behind so many others on so many threads,
 * and makes one row.
 */
#ifndef GLIM_CLI_BENCH_H
#define GLIM_CLI_BENCH_H

#include "cli/opts.h"
#include "glim.h"

enum bench_kind { BENCH_PROMPT, BENCH_DECODE, BENCH_DRAFTS };

struct bench_row {
    enum bench_kind kind;
    int threads;
    uint64_t tokens, depth;
    double *tok_s;             /* [reps] in the order measured */
    struct glim_stages stages; /* of all repetitions */
    uint64_t stage_tok;        /* tokens that they computed */
    struct glim_usage usage;   /* BENCH_DRAFTS: of the last repetition */
    struct glim_streaming disk; /* wanted, hits, read_bytes, wait_ns, drive_bytes: of all
                                 * repetitions */
    double drive_gb_s;          /* 0: nothing is streamed */
    /* the machine's limits for so many threads */
    double read_bandwidth_gb_s, peak_flop_s;
};

struct bench {
    const struct opts *o;
    glim_model *model;                 /* of the last thread count */
    glim_session *session, *drafting;  /* without and with drafts; NULL = not there, or not now */
    bool drafts;                       /* are timed */
    bool in_turn;                      /* there is room for one session at a time */
    uint64_t context;                  /* of each, tokens */
    uint64_t on_timeline;              /* tokens of `token` that both hold */
    double memory_gb_s;                /* read by its threads */
    int32_t *token;                    /* [longest timeline] random, the same for every test */
    struct bench_row *row;
    size_t rows, done;
    struct glim_streaming disk;        /* when the clock was started */
};

/* Measures every test of b->o. The caller calls bench_deinit, also after an error. */
int bench_run(struct bench *b, struct glim_error *e);
void bench_deinit(struct bench *b);

/* What a row says; `i` is its model. Figures that a row does not have are NaN. */
struct bench_figures {
    double median, least, most; /* tokens a second */
    /* Prompts do not read every weight for every token, and drafts share a reading: decode only. */
    double gb_s, bandwidth_share;
    /* Products with weights only, without drafts; a multiplication and an addition are two. */
    double flop_s, peak_share;
};
struct bench_figures bench_figures(const struct bench *b, const struct bench_row *r);

/* From disk; NaN where nothing is streamed. */
struct bench_disk {
    double hit_rate, bytes_per_token, gb_s, share, wait_share;
};
struct bench_disk bench_disk(const struct bench_row *r);

/* Of one stage: milliseconds a token, of which the threads worked and waited. */
double bench_work_ms(const struct bench_row *r, size_t stage);
double bench_wait_ms(const struct bench_row *r, size_t stage);
double bench_all_wait_ms(const struct bench_row *r);
/* Drafts that became part of the answer, a verification. */
double bench_accepted(const struct bench_row *r);

/* "pp512", "tg128 @ d4096", "tg128 +mtp": as llama-bench calls them. Returns name. */
enum { BENCH_NAME_LEN = 64 };
const char *bench_name(const struct bench_row *r, char name[BENCH_NAME_LEN]);

void bench_text(const struct bench *b);
void bench_json(const struct bench *b);
void bench_csv(const struct bench *b);
struct buf;
void bench_svg(const struct bench *b, struct buf *out);

#endif
