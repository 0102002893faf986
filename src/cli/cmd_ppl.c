/* cmd_ppl.c - glim ppl: perplexity of a text, and how two models differ on it.
 *
 *     perplexity = exp(mean over scored tokens of -log p(token | what stands before it in its
 *         window))
 *     KL         = mean over scored tokens of sum_i p_i (log p_i - log q_i), p from --against, q
 *         from this model
 *
 * Windows (scores.h) follow one another without overlap. Each stands behind the model's start
 * tokens on an empty cache; its first token is not scored, so a model without start tokens is
 * measured on the same tokens. Sums are in double.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"
#include "cli/scores.h"

enum { WINDOW_TOK = 512 };

struct ppl {
    const struct opts *o;
    glim_model *model;
    glim_session *session;
    struct scores s;      /* what is scored */
    struct outfile save;
    FILE *against;
    float *other;         /* [vocab]: the row of --against */
    int32_t *step;        /* [window]: start tokens and a piece of the text */
    size_t step_n, done;  /* done: scored tokens */
    struct scores_count count;
    double nll, nll_sq, other_nll, kl, kl_max;
    uint64_t agree;
    struct glim_error fault; /* what on_logits found wrong */
};

/* ---- scores ---- */

static size_t argmax(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* log sum exp(x); NaN if any is NaN. */
static double log_sum_exp(const float *x, size_t n)
{
    const double top = (double)x[argmax(x, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - top);
    return top + log(sum);
}

/* sum p (log p - log q) for logits p and q with these normalisers. */
static double kl_divergence(const float *p, double p_norm, const float *q, double q_norm, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double lp = (double)p[i] - p_norm, lq = (double)q[i] - q_norm;
        sum += exp(lp) * (lp - lq);
    }
    return sum > 0 ? sum : 0; /* rounding may leave it a hair below */
}

static int compare_row(struct ppl *p, const float *row, double norm, int32_t token)
{
    const size_t v = p->s.vocab;
    if (fread(p->other, sizeof *row, v, p->against) != v)
        return glim_error_set(&p->fault, GLIM_EIO, "%s: ends too early", p->o->against);
    const double other = log_sum_exp(p->other, v);
    const double kl = kl_divergence(p->other, other, row, norm, v);
    if (!isfinite(kl))
        return glim_error_set(&p->fault, GLIM_ENUMERIC, "%s: logits that are not finite",
                              p->o->against);
    p->kl += kl;
    p->kl_max = kl > p->kl_max ? kl : p->kl_max;
    p->agree += argmax(p->other, v) == argmax(row, v);
    p->other_nll += other - (double)p->other[token];
    return GLIM_OK;
}

/* row: [vocab], the scores for the place where `token` stands. */
static int score_token(struct ppl *p, const float *row, int32_t token)
{
    const double norm = log_sum_exp(row, p->s.vocab), nll = norm - (double)row[token];
    if (!isfinite(nll))
        return glim_error_set(&p->fault, GLIM_ENUMERIC, "token %zu: logits that are not finite",
                              p->done);
    p->nll += nll;
    p->nll_sq += nll * nll;
    p->done++;
    progress_note("%zu of %llu tokens, perplexity %.4g", p->done,
                  (unsigned long long)p->count.rows, exp(p->nll / (double)p->done));
    if (p->save.file && !outfile_write(&p->save, row, p->s.vocab * sizeof *row))
        return GLIM_ESTOPPED; /* outfile_close says why */
    return p->against ? compare_row(p, row, norm, token) : GLIM_OK;
}

static int on_logits(void *ctx, size_t index, const float *logits, const float *mtp)
{
    (void)mtp;
    struct ppl *const p = ctx;
    if (interrupted())
        return 1;
    /* Row `index` is about the token after it; the first of the text is given, not scored. */
    if (index < p->s.start.n || index + 1 >= p->step_n)
        return 0;
    return score_token(p, logits, p->step[index + 1]) != GLIM_OK;
}

static int score_window(struct ppl *p, size_t from, size_t n, struct glim_error *e)
{
    memcpy(p->step + p->s.start.n, p->s.text.id + from, n * sizeof *p->step);
    p->step_n = p->s.start.n + n;
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = p->step;
    a.n = p->step_n;
    a.flags = GLIM_APPEND_ALL_LOGITS | (p->o->decode ? GLIM_APPEND_DECODE : 0);
    a.on_logits = on_logits;
    a.ctx = p;
    int rc = glim_session_rewind(p->session, 0, e);
    if (rc == GLIM_OK)
        rc = glim_session_append(p->session, &a, e);
    if (p->fault.code != GLIM_OK)
        *e = p->fault;
    return p->fault.code != GLIM_OK ? p->fault.code : rc;
}

static int score_all(struct ppl *p, struct glim_error *e)
{
    int rc = GLIM_OK;
    for (size_t at = 0, n; rc == GLIM_OK && (n = scores_window(&p->s, &at)) > 0; at += n)
        if (n > 1)
            rc = score_window(p, at, n, e);
    progress_end();
    return rc == GLIM_OK ? glim_model_check(p->model, e) : rc;
}

/* ---- what is scored ---- */

static int from_err(const struct err *from, struct glim_error *e)
{
    return glim_error_set(e, from->code, "%s", from->text);
}

static int read_text(struct ppl *p, struct ids *out, struct glim_error *e)
{
    struct err be;
    struct buf text;
    glim_tokenizer *t;
    int32_t *id = NULL;
    size_t n = 0;
    buf_init(&text);
    int rc = glim_model_tokenizer(p->model, &t, e);
    if (rc == GLIM_OK && input_file(p->o->file, &text, &be) != GLIM_OK)
        rc = from_err(&be, e);
    if (rc == GLIM_OK)
        rc = glim_tokenize(t, text.data, text.len, p->o->special ? GLIM_TOKENIZE_SPECIAL : 0, &id,
                           &n, e);
    for (size_t i = 0; rc == GLIM_OK && i < n; i++)
        if (ids_push(out, id[i], &be) != GLIM_OK)
            rc = from_err(&be, e);
    glim_free(id);
    buf_deinit(&text);
    return rc;
}

/* [gMASK]<sop>, where the vocabulary has them. */
static int find_start(struct ppl *p, struct glim_error *e)
{
    static const char *const name[] = {"[gMASK]", "<sop>"};
    struct err be;
    glim_tokenizer *t;
    int rc = glim_model_tokenizer(p->model, &t, e);
    for (size_t i = 0; rc == GLIM_OK && i < COUNT_OF(name); i++) {
        const int32_t id = glim_token_id(t, name[i]);
        if (id >= 0 && ids_push(&p->s.start, id, &be) != GLIM_OK)
            rc = from_err(&be, e);
    }
    return rc;
}

static int scores_from_text(struct ppl *p, struct glim_error *e)
{
    p->s.vocab = glim_model_info(p->model)->vocab;
    p->s.window = p->o->ctx ? p->o->ctx : WINDOW_TOK;
    int rc = find_start(p, e);
    if (rc == GLIM_OK)
        rc = read_text(p, &p->s.text, e);
    if (rc == GLIM_OK && p->s.window < p->s.start.n + 2)
        rc = glim_error_set(e, GLIM_EINVAL, "--ctx: %llu, expected at least %zu",
                            (unsigned long long)p->s.window, p->s.start.n + 2);
    if (rc == GLIM_OK && scores_count(&p->s).rows == 0)
        rc = glim_error_set(e, GLIM_EINVAL, "%s: %zu tokens, expected at least 2 in a window",
                            p->o->file, p->s.text.n);
    return rc;
}

/* With -f too, the text must be the one that was saved. */
static int check_same_text(struct ppl *p, struct glim_error *e)
{
    struct ids own = {0};
    int rc = read_text(p, &own, e);
    if (rc == GLIM_OK
        && (own.n != p->s.text.n
            || (own.n && memcmp(own.id, p->s.text.id, own.n * sizeof *own.id) != 0)))
        rc = glim_error_set(e, GLIM_EINVAL, "%s and %s do not hold the same tokens", p->o->file,
                            p->o->against);
    ids_deinit(&own);
    return rc;
}

static int scores_from_file(struct ppl *p, struct glim_error *e)
{
    struct err be;
    const uint64_t vocab = glim_model_info(p->model)->vocab;
    if (scores_open(&p->s, p->o->against, &p->against, &be) != GLIM_OK)
        return from_err(&be, e);
    if (p->s.vocab != vocab)
        return glim_error_set(e, GLIM_EINVAL, "%s: vocabulary of %llu, the model's is %llu",
                              p->o->against, (unsigned long long)p->s.vocab,
                              (unsigned long long)vocab);
    if (p->o->ctx && p->o->ctx != p->s.window)
        return glim_error_set(e, GLIM_EINVAL, "%s: windows of %llu, --ctx says %llu", p->o->against,
                              (unsigned long long)p->s.window, (unsigned long long)p->o->ctx);
    return p->o->file ? check_same_text(p, e) : GLIM_OK;
}

static int prepare(struct ppl *p, struct glim_error *e)
{
    int rc = model_open(p->o, &p->model, e);
    if (rc == GLIM_OK)
        rc = p->o->against ? scores_from_file(p, e) : scores_from_text(p, e);
    if (rc == GLIM_OK)
        rc = model_session(p->o, p->model, p->s.window, &p->session, e);
    if (rc != GLIM_OK)
        return rc;
    p->count = scores_count(&p->s);
    p->other = mem_zalloc(p->s.vocab, sizeof *p->other);
    p->step = mem_zalloc(p->s.window, sizeof *p->step);
    if (!p->other || !p->step)
        return glim_error_set(e, GLIM_ENOMEM, "out of memory");
    if (p->s.start.n)
        memcpy(p->step, p->s.start.id, p->s.start.n * sizeof *p->step);
    return GLIM_OK;
}

/* ---- results ---- */

struct result {
    double mean, error; /* of -log p, and its standard error */
    double perplexity, other_perplexity, mean_kl, agreement;
};

static struct result result_of(const struct ppl *p)
{
    const double n = (double)p->done, mean = p->nll / n;
    const double var = p->done > 1 ? (p->nll_sq - n * mean * mean) / (n - 1) : 0;
    return (struct result){
        .mean = mean,
        .error = sqrt((var > 0 ? var : 0) / n),
        .perplexity = exp(mean),
        .other_perplexity = exp(p->other_nll / n),
        .mean_kl = p->kl / n,
        .agreement = (double)p->agree / n,
    };
}

static void result_text(const struct ppl *p, const struct result *r)
{
    char a[HUMAN_LEN], b[HUMAN_LEN], c[HUMAN_LEN];
    printf("tokens          %s in %s windows of %llu, %s scored\n", human_count(a, p->s.text.n),
           human_count(b, p->count.windows), (unsigned long long)p->s.window,
           human_count(c, p->done));
    printf("perplexity      %.6g +- %.2g\n", r->perplexity, r->perplexity * r->error);
    if (!p->against)
        return;
    printf("other's         %.6g\n", r->other_perplexity);
    printf("mean KL         %.6g\n", r->mean_kl);
    printf("largest KL      %.6g\n", p->kl_max);
    printf("same first      %.4f %%\n", 100 * r->agreement);
}

static void result_json(const struct ppl *p, const struct result *r)
{
    struct json_object *const j = json_object_new_object();
    json_add_text(j, "model", glim_model_info(p->model)->name);
    json_add_u64(j, "tokens", p->s.text.n);
    json_add_u64(j, "windows", p->count.windows);
    json_add_u64(j, "window", p->s.window);
    json_add_u64(j, "scored", p->done);
    json_add_real(j, "perplexity", r->perplexity);
    json_add_real(j, "mean_nll", r->mean);
    json_add_real(j, "nll_standard_error", r->error);
    if (p->against) {
        json_add_real(j, "against_perplexity", r->other_perplexity);
        json_add_real(j, "mean_kl", r->mean_kl);
        json_add_real(j, "max_kl", p->kl_max);
        json_add_real(j, "top1_agreement", r->agreement);
    }
    out_json(j);
}

static int measure(struct ppl *p, struct glim_error *e)
{
    int rc = prepare(p, e);
    if (rc == GLIM_OK && p->o->save_logits) {
        rc = outfile_open(&p->save, p->o->save_logits, e);
        if (rc == GLIM_OK)
            (void)scores_write_head(&p->s, &p->save);
    }
    if (rc == GLIM_OK)
        rc = score_all(p, e);
    return outfile_close(&p->save, rc, e);
}

int cmd_ppl(const struct opts *o)
{
    struct ppl p = {.o = o};
    struct glim_error e;
    int code = EXIT_OK;
    if (!o->file && !o->against)
        return usage_error("glim ppl: give a text with -f FILE");
    if (o->save_logits && strcmp(o->save_logits, "-") == 0)
        return usage_error("glim ppl: --save-logits needs a file");
    if (measure(&p, &e) != GLIM_OK) {
        code = fail_glim(&e);
    } else {
        const struct result r = result_of(&p);
        if (o->json)
            result_json(&p, &r);
        else
            result_text(&p, &r);
    }
    if (p.against)
        (void)fclose(p.against);
    free(p.other);
    free(p.step);
    scores_deinit(&p.s);
    glim_session_free(p.session);
    glim_model_close(p.model);
    return code;
}
