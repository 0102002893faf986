/* service.c - many answers of one service at once, without HTTP: what bench/serve compares with.
 *
 *     build/bench/service MODEL STREAMS TOKENS     prints milliseconds a token, of all together
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "glim.h"

enum { PROMPT = 8, STREAMS_MAX = 64 };

struct run {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    size_t left;
    double first_s; /* of any stream's first token; 0: none yet */
};

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *text)
{
    (void)fprintf(stderr, "service: %s\n", text);
    exit(1);
}

static int on_event(void *ctx, const struct glim_event *ev)
{
    struct run *const r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    if (ev->kind == GLIM_EVENT_TOKEN && r->first_s == 0)
        r->first_s = now_s();
    (void)pthread_mutex_unlock(&r->lock);
    return 0;
}

static void on_done(void *ctx, const struct glim_result *result)
{
    struct run *const r = ctx;
    if (result->code != 0)
        die(result->error);
    (void)pthread_mutex_lock(&r->lock);
    r->left--;
    (void)pthread_cond_signal(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
}

static void submit(glim_service *s, struct run *r, int32_t first, uint64_t tokens)
{
    int32_t prompt[PROMPT];
    struct glim_request q = GLIM_REQUEST_INIT;
    struct glim_error e;
    for (int i = 0; i < PROMPT; i++)
        prompt[i] = first;
    q.prompt = prompt;
    q.prompts = PROMPT;
    q.generate.max_tokens = tokens;
    q.generate.ignore_eos = true;
    q.generate.sampling.temperature = 0;
    q.on_event = on_event;
    q.on_done = on_done;
    q.ctx = r;
    if (glim_service_submit(s, &q, NULL, &e) != 0)
        die(e.text);
}

/* Seconds from the first token of any to the last of all. */
static double run(glim_service *s, size_t streams, uint64_t tokens)
{
    struct run r = {.lock = PTHREAD_MUTEX_INITIALIZER,
                    .wake = PTHREAD_COND_INITIALIZER,
                    .left = streams};
    for (size_t i = 0; i < streams; i++)
        submit(s, &r, (int32_t)(1000 + i), tokens);
    (void)pthread_mutex_lock(&r.lock);
    while (r.left > 0)
        (void)pthread_cond_wait(&r.wake, &r.lock);
    (void)pthread_mutex_unlock(&r.lock);
    return now_s() - r.first_s;
}

int main(int argc, char **argv)
{
    glim_model *m;
    glim_service *s;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct glim_error e;
    if (argc != 4)
        die("MODEL STREAMS TOKENS");
    const size_t streams = strtoul(argv[2], NULL, 10);
    const uint64_t tokens = strtoul(argv[3], NULL, 10);
    if (streams < 1 || streams > STREAMS_MAX || tokens < 2 || tokens > 1000)
        die("STREAMS: 1 to 64, TOKENS: 2 to 1,000");
    o.context_tok = 2048;
    o.cache_tok = streams * (tokens + 128);
    o.parallel = (uint32_t)streams;
    if (glim_model_open(&m, argv[1], NULL, &e) != 0 || glim_service_start(&s, m, &o, &e) != 0)
        die(e.text);
    (void)run(s, 1, 4); /* weights are in memory then */
    printf("%.6f\n", 1e3 * run(s, streams, tokens) / (double)(streams * tokens));
    glim_service_stop(s);
    glim_model_close(m);
    return 0;
}
