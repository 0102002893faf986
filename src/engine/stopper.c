/* stopper.c - see stopper.h. */
#include "engine/stopper.h"

#include <string.h>

void stopper_init(struct stopper *s, const char *const *stop, size_t stops)
{
    *s = (struct stopper){.stop = stop, .stops = stops};
    buf_init(&s->held);
}

void stopper_deinit(struct stopper *s) { buf_deinit(&s->held); }

/* Where the first stop string begins in held, or its length; which one is remembered. */
static size_t find_stop(struct stopper *s)
{
    size_t best = s->held.len;
    for (size_t i = 0; i < s->stops; i++) {
        const size_t n = strlen(s->stop[i]);
        const char *const at = n ? memmem(s->held.data, s->held.len, s->stop[i], n) : NULL;
        if (at && (size_t)(at - s->held.data) < best) {
            best = (size_t)(at - s->held.data);
            s->which = i;
        }
    }
    return best;
}

/* Length of the longest tail of held that begins some stop string. */
static size_t possible_tail(const struct stopper *s)
{
    size_t most = 0;
    for (size_t i = 0; i < s->stops; i++) {
        const size_t n = strlen(s->stop[i]);
        size_t tail = n ? n - 1 : 0;
        if (tail > s->held.len)
            tail = s->held.len;
        while (tail > most && memcmp(s->held.data + s->held.len - tail, s->stop[i], tail) != 0)
            tail--;
        most = tail > most ? tail : most;
    }
    return most;
}

static void pass(struct stopper *s, size_t n, struct buf *out)
{
    buf_add(out, s->held.data, n);
    memmove(s->held.data, s->held.data + n, s->held.len - n);
    s->held.len -= n;
}

void stopper_add(struct stopper *s, const char *text, size_t len, struct buf *out)
{
    if (s->hit)
        return;
    buf_add(&s->held, text, len);
    const size_t at = find_stop(s);
    if (at < s->held.len) {
        s->hit = true;
        pass(s, at, out);
        buf_clear(&s->held);
    } else {
        pass(s, s->held.len - possible_tail(s), out);
    }
}

void stopper_flush(struct stopper *s, struct buf *out)
{
    if (!s->hit)
        pass(s, s->held.len, out);
}
