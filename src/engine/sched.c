/* sched.c - a service's thread: whose prompt, whose tokens, in which step.
 *
 * All answers take a token in one step. Prompts are computed in chunks, and a chunk in pieces of
 * milliseconds, between which the answers take their tokens as often as gives prompts their share
 * of the time. So a long prompt neither stops the answers nor pays for them with small chunks. What
 * bounds a chunk, while there are answers, is that other prompts wait for its end: CHUNK_NS of its
 * own time. Shorter ones would read experts for fewer rows, and expand earlier positions again. A
 * chunk has rows of several prompts where one does not fill it, those first that waited longest.
 */
#include <assert.h>
#include <string.h>

#include "base/util.h"
#include "engine/service.h"

enum { CHUNK_LEAST = 32 };
static const double CHUNK_NS = 6e9;

/* ---- jobs ---- */

void service_forget(struct glim_service *v, struct job *j)
{
    size_t n = 0;
    for (size_t i = 0; i < v->jobs; i++) {
        if (v->job[i] != j)
            v->job[n++] = v->job[i];
    }
    v->jobs = n;
    (void)pthread_mutex_lock(&v->lock);
    queue_done(&v->queue, j->r);
    memset(v->running, 0, sizeof v->running);
    for (size_t i = 0; i < n; i++)
        v->running[v->job[i]->r->place] = v->job[i]->r;
    v->state = v->counts;
    (void)pthread_mutex_unlock(&v->lock);
}

static void publish(struct glim_service *v)
{
    v->counts.cache_used_tok = (uint64_t)v->pages.used * KV_PAGE_TOK;
    v->counts.cache_kept_tok = v->prefix.nodes * KV_PAGE_TOK;
    (void)pthread_mutex_lock(&v->lock);
    v->state = v->counts;
    (void)pthread_mutex_unlock(&v->lock);
}

static void admit(struct glim_service *v, struct request *r)
{
    struct job *j;
    struct err e;
    const int rc = job_new(&j, v, r, &e);
    if (!j) {
        (void)pthread_mutex_lock(&v->lock);
        queue_done(&v->queue, r);
        v->running[r->place] = NULL;
        (void)pthread_mutex_unlock(&v->lock);
        v->counts.failed++;
        r->on_done(r->ctx, &(struct glim_result){.code = rc, .error = e.text});
        request_free(r);
        return;
    }
    v->job[v->jobs++] = j;
    if (rc != 0)
        job_end(j, rc, &e);
}

/* Ends what nobody waits for any more. */
static void end_over(struct glim_service *v)
{
    struct err e;
    for (size_t i = v->jobs; i-- > 0;) {
        if (!v->job[i]->in_step && job_over(v->job[i], &e) != 0)
            job_end(v->job[i], e.code, &e);
    }
}

/* ---- answers ---- */

/* Its next token can go behind its timeline. */
static bool takes_tokens(const struct job *j)
{
    return j->drawn && j->s.kv.length == j->want && j->s.w == &j->service->decode;
}

static void job_goes_on(struct job *j)
{
    struct err e;
    bool ended;
    const int rc = job_take(j, &ended, &e);
    if (rc != 0 || ended)
        job_end(j, rc, &e);
}

/* A step of its own put `next` on its timeline, or failed. */
static void stepped(struct job *j, int rc, const float *logits, const struct err *e)
{
    if (rc != 0) {
        job_end(j, rc, e);
        return;
    }
    job_draw(j, j->service->decode.sampler, logits);
    job_goes_on(j);
}

/* The only one there is: with drafts, if they pay. */
static void step_alone(struct glim_service *v, struct job *j)
{
    struct err e;
    const int rc =
        speculate_append(&j->spec, j->next, j->output.most - j->output.usage.output_tok, &e);
    v->counts.steps++;
    v->counts.step_rows++;
    stepped(j, rc, j->s.logits, &e);
}

static void step_job(struct glim_service *v, struct job *j)
{
    struct span one = {.session = &j->s, .token = &j->next, .n = 1, .wants_logits = true};
    struct err e;
    const int rc = step_spans(&v->decode, &one, 1, ROLE_DECODE, &e);
    stepped(j, rc, one.logits, &e);
}

struct drawing_job {
    struct glim_service *v;
    struct job **job;
    const struct span *span;
};

static void draw_item(void *ctx, size_t i, int worker)
{
    const struct drawing_job *const d = ctx;
    job_draw(d->job[i], &d->v->decode.sampler[worker], d->span[i].logits);
}

/* A token of each. If the step fails, each alone, so that only those fail whose fault it is. */
static void step_together(struct glim_service *v, struct job **job, size_t n)
{
    struct span span[JOBS_MAX];
    struct err e;
    for (size_t i = 0; i < n; i++) {
        speculate_end(&job[i]->spec);
        span[i] = (struct span){
            .session = &job[i]->s, .token = &job[i]->next, .n = 1, .wants_logits = true};
    }
    const int rc = step_spans(&v->decode, span, n, ROLE_DECODE, &e);
    v->counts.steps++;
    v->counts.step_rows += n;
    struct drawing_job draw = {v, job, span};
    if (rc == 0)
        pool_for(v->model->pool, n, draw_item, &draw);
    for (size_t i = 0; i < n; i++) {
        if (rc == 0)
            job_goes_on(job[i]);
        else
            step_job(v, job[i]);
    }
}

static size_t list_answers(struct glim_service *v, struct job **out)
{
    size_t n = 0;
    for (size_t i = 0; i < v->jobs; i++) {
        if (takes_tokens(v->job[i]))
            out[n++] = v->job[i];
    }
    return n;
}

static bool any_answers(const struct glim_service *v)
{
    for (size_t i = 0; i < v->jobs; i++) {
        if (takes_tokens(v->job[i]))
            return true;
    }
    return false;
}

/* From the oldest on, which sets younger ones back if it must. */
static void make_room_for_answers(struct glim_service *v)
{
    uint64_t pages = 0;
    for (size_t i = 0; i < v->jobs; i++) {
        if (!takes_tokens(v->job[i]))
            continue;
        const uint64_t own = job_pages(v->job[i], 1 + DRAFT_MAX);
        if (room_make(v, i, pages + own))
            pages += own;
        else
            job_set_back(v->job[i]);
    }
}

/* Every answer takes a token. */
static void answer_round(struct glim_service *v)
{
    struct job *job[JOBS_MAX];
    const uint64_t begin = now_ns();
    end_over(v);
    make_room_for_answers(v);
    const size_t n = list_answers(v, job);
    if (n == 0)
        return;
    if (v->jobs == 1)
        step_alone(v, job[0]);
    else
        step_together(v, job, n);
    v->decode_end_ns = now_ns();
    v->decode_ns = v->decode_end_ns - begin;
    v->counts.generate_ns += v->decode_ns;
    publish(v);
}

/* ---- prompts ---- */

/* Between two pieces of a prompt's step. Nonzero: nobody wants it any more. */
static int between(void *ctx)
{
    struct glim_service *const v = ctx;
    struct err e;
    bool wanted = false;
    for (size_t i = 0; i < v->jobs; i++)
        wanted = wanted || (v->job[i]->in_step && job_over(v->job[i], &e) == 0);
    const double pause = (double)v->decode_ns * v->prompt_share / (1 - v->prompt_share);
    const uint64_t begin = now_ns();
    if (begin - v->decode_end_ns >= (uint64_t)pause && any_answers(v)) {
        answer_round(v);
        v->nested_ns += now_ns() - begin;
    }
    return !wanted;
}

static uint64_t chunk_rows(const struct glim_service *v)
{
    const uint64_t most = v->shape.chunk;
    if (v->row_ns == 0 || !any_answers(v))
        return most;
    const uint64_t rows = (uint64_t)(CHUNK_NS / v->row_ns);
    return min_u64(most, max_u64(rows, CHUNK_LEAST));
}

static bool wants_prompt(const struct job *j) { return j->s.w == &j->service->prompt; }

/* The job whose prompt waited longest, of those that are not in the step yet and have that role
 * next; role < 0: any. */
static size_t next_prompt(struct glim_service *v, int role)
{
    size_t best = v->jobs;
    uint64_t promised = room_promised(v);
    for (size_t i = 0; i < v->jobs; i++) {
        struct job *const j = v->job[i];
        const bool begun = job_holds_pages(j);
        if (!wants_prompt(j) || j->in_step || (j->r->prompt_logprobs && role >= 0)
            || (!begun && !room_to_begin(v, i, promised)))
            continue;
        const bool joined = job_join(j);
        if (!begun && job_holds_pages(j))
            promised = room_promised(v);
        if (!joined)
            continue;
        if (j->s.kv.length == j->want) /* all of it was found: end_complete's */
            continue;
        if (role >= 0 && j->s.role[j->s.kv.length] != role)
            continue;
        if (best == v->jobs || j->turn < v->job[best]->turn)
            best = i;
    }
    return best;
}

/* Its prompt is on the timeline. */
static void reached(struct job *j, const float *logits)
{
    struct err e;
    bool ended;
    job_keep(j, false);
    const int rc = job_reached(j, logits, &ended, &e);
    if (rc != 0 || ended)
        job_end(j, rc, &e);
}

static void prompt_done(struct job *j, const struct span *x, int rc, const struct err *e)
{
    struct glim_service *const v = j->service;
    struct err now;
    j->in_step = false;
    j->turn = ++v->turns;
    if (rc == GLIM_ESTOPPED && job_over(j, &now) == 0)
        return; /* others of the step were over: again later */
    if (rc != 0) {
        job_end(j, rc, job_over(j, &now) != 0 ? &now : e);
        return;
    }
    atomic_store(&j->r->done_tok, min_u64(j->s.kv.length, j->r->prompts));
    const struct glim_event ev = {.kind = GLIM_EVENT_PROMPT, .text = "", .token = -1, .tool = -1,
                                  .done = j->s.kv.length, .total = j->r->prompts,
                                  .cached = j->result.cached_tok,
                                  .ns = now_ns() - j->begin_ns};
    if (!j->answering && j->r->on_event)
        (void)j->r->on_event(j->r->ctx, &ev);
    if (j->s.kv.length == j->want)
        reached(j, x->logits);
    else
        job_keep(j, false);
}

/* Rows of prompts for one step; how many jobs. */
static size_t fill_step(struct glim_service *v, struct span *span, struct job **job, int *role)
{
    uint64_t rows = 0, taken = 0, most = chunk_rows(v);
    size_t n = 0;
    *role = -1;
    for (size_t k; n < v->prompt.logit_rows && rows < most
                   && (k = next_prompt(v, *role)) < v->jobs;) {
        struct job *const j = v->job[k];
        if (*role < 0) {
            *role = j->s.role[j->s.kv.length];
            most = rows_of_role(most, (enum kernel_role)*role);
        }
        const uint64_t here = job_same_role(j, most - rows);
        if (!(k == 0 ? room_make(v, k, taken + job_pages(j, here))
                     : room_evict(v, taken + job_pages(j, here)))) {
            j->turn = ++v->turns; /* older ones end some time */
            break;
        }
        taken += job_pages(j, here);
        j->in_step = true;
        job[n] = j;
        span[n++] = (struct span){.session = &j->s,
                                  .token = j->s.token + j->s.kv.length,
                                  .n = here,
                                  .wants_logits = j->s.kv.length + here == j->want && !j->drawn};
        rows += here;
    }
    return n;
}

static void learn_speed(struct glim_service *v, uint64_t begin, const struct span *span, size_t n)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < n; i++)
        rows += span[i].n;
    const double ns = (double)(now_ns() - begin - v->nested_ns), one = ns / (double)rows;
    v->counts.prompt_ns += (uint64_t)ns;
    if (rows >= CHUNK_LEAST / 2)
        v->row_ns = v->row_ns == 0 ? one : 0.7 * v->row_ns + 0.3 * one;
}

/* Joined prefixes may leave nothing to compute. */
static bool end_complete(struct glim_service *v)
{
    for (size_t i = 0; i < v->jobs; i++) {
        struct job *const j = v->job[i];
        if (wants_prompt(j) && j->joined && j->s.kv.length == j->want && j->drawn) {
            reached(j, NULL);
            return true;
        }
    }
    return false;
}

static void score_prompt(struct glim_service *v, size_t k)
{
    struct job *const j = v->job[k];
    struct err e;
    j->turn = ++v->turns;
    if (!room_make(v, k, job_pages(j, j->want)))
        return; /* older ones end some time */
    j->in_step = true;
    const int rc = job_prompt_logprobs(j, &e);
    j->in_step = false;
    if (rc != 0)
        job_end(j, rc, &e);
    else
        reached(j, j->s.logits);
}

static void prompt_round(struct glim_service *v)
{
    struct span span[JOBS_MAX];
    struct job *job[JOBS_MAX];
    struct err e;
    int role;
    const uint64_t begin = now_ns();
    v->nested_ns = 0;
    kept_round(v);
    const size_t first = next_prompt(v, -1);
    if (end_complete(v) || first == v->jobs)
        return;
    if (v->job[first]->r->prompt_logprobs && !v->job[first]->answering) {
        score_prompt(v, first);
        return;
    }
    const size_t n = fill_step(v, span, job, &role);
    if (n == 0)
        return;
    const int rc = step_spans(&v->prompt, span, n, (enum kernel_role)role, &e);
    const bool apart = rc != 0 && rc != GLIM_ESTOPPED && n > 1;
    learn_speed(v, begin, span, n);
    for (size_t i = 0; i < n; i++) {
        const int own =
            apart ? step_spans(&v->prompt, &span[i], 1, (enum kernel_role)role, &e) : rc;
        prompt_done(job[i], &span[i], own, &e);
    }
}

/* ---- the thread ---- */

/* What waits and is over, out of the queue and told so. */
static void refuse_over(struct glim_service *v)
{
    struct request *r;
    struct err e;
    while ((r = queue_take_over(&v->queue))) {
        (void)pthread_mutex_unlock(&v->lock);
        const int rc = atomic_load(&r->cancelled) ? GLIM_OK : request_over(r, &e);
        const struct glim_result result = {.code = rc,
                                           .error = rc ? e.text : "",
                                           .usage = {.finish = GLIM_FINISH_STOPPED,
                                                     .prompt_tok = r->prompts},
                                           .queue_ns = now_ns() - r->submitted_ns};
        v->counts.stopped++;
        r->on_done(r->ctx, &result);
        request_free(r);
        (void)pthread_mutex_lock(&v->lock);
    }
}

/* Takes requests while there is a place. */
static void take_requests(struct glim_service *v)
{
    for (;;) {
        (void)pthread_mutex_lock(&v->lock);
        refuse_over(v);
        struct request *const r = v->jobs < v->shape.parallel ? queue_take(&v->queue) : NULL;
        if (r) {
            r->place = places_choose(v, r);
            v->running[r->place] = r;
        }
        (void)pthread_mutex_unlock(&v->lock);
        if (!r)
            return;
        admit(v, r);
    }
}

/* Without work, waits for some, or to hand over a page. False: the end. */
static bool wait_for_work(struct glim_service *v)
{
    (void)pthread_mutex_lock(&v->lock);
    const bool ends = v->jobs == 0 && atomic_load(&v->stopping) && v->queue.waiting == 0;
    if (v->jobs == 0 && !ends && v->queue.waiting == 0 && !kept_wants(v)
        && !actions_waiting(v))
        (void)pthread_cond_wait(&v->wake, &v->lock);
    (void)pthread_mutex_unlock(&v->lock);
    return !ends;
}

void *service_thread(void *service)
{
    struct glim_service *const v = service;
    v->prompt.forward.between = between;
    v->prompt.forward.between_ctx = v;
    do {
        take_requests(v);
        end_over(v);
        prompt_round(v);
        answer_round(v);
        actions_step(v);
        kept_step(v);
        publish(v);
    } while (wait_for_work(v));
    actions_finish(v);
    kept_finish(v);
    return NULL;
}
