/* pairs.c - rows of a step for one timeline, and what the MTP layer takes of them.
 *
 * The MTP layer's row at position j joins the state of token j with the token at j + 1. Pairs of a
 * prompt are filled with its chunk; those of decoded tokens may be late, up to LATE_MAX of them,
 * and are filled together when a draft or a prompt wants them. Pairs below kv.mtp_length are
 * filled; while state_valid, s->state holds the states from that position to the last one.
 */
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"

static const struct model_config *config(const struct glim_session *s)
{
    return &s->model->model.cfg;
}

int session_check(const struct glim_session *s, struct err *e)
{
    return io_any_fault() ? tensorfile_check(s->model->weights.file, e) : GLIM_OK;
}

/* The states that the MTP layer takes: after the final norm, or before it by the knob. */
static const float *mtp_states(const struct glim_session *s)
{
    return config(s)->knobs.mtp_prenorm ? s->w->forward.prenorm : s->w->forward.final;
}

float *session_state(const struct glim_session *s, uint64_t pos)
{
    return s->state + (pos - s->kv.mtp_length) * config(s)->hidden;
}

void session_keep(struct glim_session *s, uint64_t pos, size_t first, size_t n)
{
    const uint64_t d = config(s)->hidden;
    if (s->mtp)
        memcpy(session_state(s, pos), mtp_states(s) + first * d, n * d * sizeof *s->state);
}

void session_paired(struct glim_session *s)
{
    const uint64_t last = s->kv.length - 1;
    memmove(s->state, session_state(s, last), config(s)->hidden * sizeof *s->state);
    s->kv.mtp_length = last;
}

uint64_t session_late_pairs(const struct glim_session *s)
{
    return s->mtp && s->kv.length ? s->kv.length - 1 - s->kv.mtp_length : 0;
}

uint64_t rows_of_role(uint64_t rows, enum kernel_role role)
{
    return role == ROLE_DECODE ? min_u64(rows, DECODE_ROWS) : rows;
}

int session_rows(struct glim_session *s, const int32_t *token, size_t n, uint64_t pos,
                 struct err *e)
{
    for (size_t t = 0; t < n; t++)
        s->w->row[t] = (struct row){&s->kv, pos + t, token[t]};
    return kv_own(&s->kv, pos, pos + n, e);
}

int session_step(struct glim_session *s, const int32_t *token, size_t n, uint64_t pos,
                 enum kernel_role role, struct err *e)
{
    s->ahead.rows = 0;
    if (session_rows(s, token, n, pos, e) != 0)
        return e->code;
    return forward_rows(&s->w->forward, s->w->row, n, role, e);
}

int session_restore(struct glim_session *s, struct err *e)
{
    const uint64_t last = s->kv.length - 1;
    if (session_step(s, &s->token[last], 1, last, s->role[last], e) != 0
        || session_check(s, e) != 0)
        return e->code;
    session_keep(s, last, 0, 1);
    s->state_valid = true;
    return GLIM_OK;
}

int session_fill(struct glim_session *s, uint64_t first, uint64_t end, struct err *e)
{
    while (first < end) {
        const enum kernel_role role = s->role[first + 1];
        size_t n = 1;
        while (first + n < end && n < rows_of_role(s->w->rows, role)
               && s->role[first + n + 1] == role)
            n++;
        if (session_rows(s, &s->token[first + 1], n, first, e) != 0
            || forward_mtp_fill(&s->w->forward, s->w->row, session_state(s, first), n, role, e)
                   != 0)
            return e->code;
        first += n;
    }
    return GLIM_OK;
}

int session_catch_up(struct glim_session *s, struct err *e)
{
    if (session_late_pairs(s) == 0)
        return GLIM_OK;
    if (session_fill(s, s->kv.mtp_length, s->kv.length - 1, e) != 0)
        return e->code;
    session_paired(s);
    return GLIM_OK;
}
