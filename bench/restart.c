/* restart.c - what a folder of prefixes is worth: the time to the first token of a conversation's
 * first turn, of its second turn after the service was started again, and of that without the
 * folder.
 *
 *     build/bench/restart MODEL FOLDER TOKENS [mtp]     prints a CSV row
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glim.h"

enum { ANSWER = 16, MORE = 50 };

struct turn {
    int32_t *prompt;
    size_t n;
    uint64_t first_ns, cached;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
};

static void die(const char *text)
{
    (void)fprintf(stderr, "restart: %s\n", text);
    exit(1);
}

static void on_done(void *ctx, const struct glim_result *r)
{
    struct turn *const t = ctx;
    if (r->code != 0)
        die(r->error);
    (void)pthread_mutex_lock(&t->lock);
    t->first_ns = r->queue_ns + r->prompt_ns;
    t->cached = r->cached_tok;
    t->done = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

static void answer(glim_service *s, struct turn *t)
{
    struct glim_request r = GLIM_REQUEST_INIT;
    struct glim_error e;
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->wake, NULL);
    t->done = false;
    r.prompt = t->prompt;
    r.prompts = t->n;
    r.generate.max_tokens = ANSWER;
    r.generate.ignore_eos = true;
    r.on_done = on_done;
    r.ctx = t;
    if (glim_service_submit(s, &r, NULL, &e) != 0)
        die(e.text);
    (void)pthread_mutex_lock(&t->lock);
    while (!t->done)
        (void)pthread_cond_wait(&t->wake, &t->lock);
    (void)pthread_mutex_unlock(&t->lock);
}

/* One turn of a service of its own, n tokens long; *c: its counts. */
static struct turn serve(glim_model *m, const char *folder, bool mtp, int32_t *prompt, size_t n,
                         struct glim_service_state *c)
{
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct turn t = {.prompt = prompt, .n = n};
    struct glim_error e;
    glim_service *s;
    o.context_tok = n + 1024;
    o.parallel = 4;
    o.mtp = mtp;
    o.kv_dir = folder;
    if (glim_service_start(&s, m, &o, &e) != 0)
        die(e.text);
    answer(s, &t);
    glim_service_state(s, c);
    glim_service_stop(s);
    return t;
}

int main(int argc, char **argv)
{
    glim_model *m;
    struct glim_error e;
    struct glim_service_state c;
    if (argc < 4)
        die("MODEL FOLDER TOKENS [mtp]");
    const size_t n = strtoul(argv[3], NULL, 10);
    const bool mtp = argc > 4 && strcmp(argv[4], "mtp") == 0;
    if (n == 0 || n > 1000000 || glim_model_open(&m, argv[1], NULL, &e) != 0)
        die(n == 0 || n > 1000000 ? "TOKENS: 1 to 1,000,000" : e.text);
    int32_t *const prompt = calloc(n + MORE, sizeof *prompt);
    const uint64_t vocab = glim_model_info(m)->vocab;
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; prompt && i < n + MORE; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        prompt[i] = (int32_t)((x >> 33) % vocab);
    }
    if (!prompt)
        die("out of memory");
    (void)serve(m, NULL, mtp, prompt, 128, &c); /* weights are in memory then */
    const struct turn first = serve(m, argv[2], mtp, prompt, n, &c);
    const struct turn second = serve(m, argv[2], mtp, prompt, n + MORE, &c);
    const struct turn without = serve(m, NULL, mtp, prompt, n + MORE, &c);
    printf("%s,%d,%zu,%.3f,%llu,%.3f,%.1f,%.3f\n", glim_model_info(m)->name, mtp, n,
           (double)first.first_ns / 1e9, (unsigned long long)second.cached,
           (double)second.first_ns / 1e9,
           100 * (double)second.first_ns / (double)first.first_ns,
           (double)without.first_ns / 1e9);
    free(prompt);
    glim_model_close(m);
    return 0;
}
