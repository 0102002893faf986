/* answer.c - see answer.h. */
#include "server/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/util.h"

void answer_clear(struct answer *a)
{
    for (size_t i = 0; i < a->parts; i++) {
        free(a->part[i].name);
        buf_deinit(&a->part[i].text);
    }
    free(a->part);
    free(a->scored);
    free(a->top);
    buf_deinit(&a->scored_text);
}

struct part *answer_open_part(const struct answer *a)
{
    return a->parts > 0 && !a->part[a->parts - 1].closed ? &a->part[a->parts - 1] : NULL;
}

static void make_id(char id[CALL_ID_LEN + 1])
{
    unsigned char bytes[CALL_ID_LEN / 2] = {0};
    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != (ssize_t)sizeof bytes) {
        const uint64_t now = now_ns();
        memcpy(bytes, &now, sizeof now);
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

struct part *answer_add_part(struct answer *a, enum part_kind kind, const char *name)
{
    if (mem_grow(&a->part, &a->part_cap, a->parts + 1, sizeof *a->part) != 0)
        return NULL;
    struct part *const p = &a->part[a->parts];
    *p = (struct part){.kind = kind, .index = a->parts};
    p->name = name ? strdup(name) : NULL;
    if (name && !p->name)
        return NULL;
    if (kind == PART_TOOL)
        p->tool = a->calls++;
    make_id(p->id);
    buf_init(&p->text);
    a->parts++;
    return p;
}

bool answer_add_scored(struct answer *a, const struct glim_event *ev)
{
    const size_t tops = ev->top ? ev->tops : 0;
    if (mem_grow(&a->scored, &a->score_cap, a->scores + 1, sizeof *a->scored) != 0
        || mem_grow(&a->top, &a->top_cap, a->tops + tops + 1, sizeof *a->top) != 0)
        return false;
    if (!a->scored_text.data)
        buf_init(&a->scored_text);
    const bool prompt = ev->kind == GLIM_EVENT_PROMPT_TOKEN;
    a->scored[a->scores] = (struct scored){.token = ev->token,
                                           .logprob = ev->logprob,
                                           .prompt = prompt,
                                           .first = prompt && a->scores == 0,
                                           .end = ev->kind == GLIM_EVENT_END_TOKEN,
                                           .text = a->scored_text.len,
                                           .len = ev->len,
                                           .top = a->tops,
                                           .tops = tops};
    if (tops > 0)
        memcpy(a->top + a->tops, ev->top, tops * sizeof *a->top);
    a->tops += tops;
    a->scores++;
    buf_add(&a->scored_text, ev->text, ev->len);
    return !a->scored_text.failed;
}

void answer_sure_scores(struct answer *a)
{
    a->scores_sure = a->scores;
}

void answer_drop_scores(struct answer *a)
{
    if (a->scores == a->scores_sure)
        return;
    a->scores = a->scores_sure;
    a->tops = a->scored[a->scores].top;
    a->scored_text.len = a->scored[a->scores].text;
}

void answer_text(const struct answer *a, enum part_kind kind, struct buf *out)
{
    for (size_t i = 0; i < a->parts; i++) {
        if (a->part[i].kind == kind)
            buf_add(out, a->part[i].text.data, a->part[i].text.len);
    }
}

bool answer_has(const struct answer *a, enum part_kind kind)
{
    for (size_t i = 0; i < a->parts; i++) {
        if (a->part[i].kind == kind)
            return true;
    }
    return false;
}

void answer_take_result(struct answer *a, const struct glim_result *r)
{
    a->ended = true;
    a->code = r->code;
    a->usage = r->usage;
    a->finish = r->usage.finish;
    a->cached_tok = r->cached_tok;
    a->queue_ns = r->queue_ns;
    a->prompt_ns = r->prompt_ns;
}
