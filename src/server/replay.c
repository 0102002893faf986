/* replay.c - see replay.h. */
#include "server/replay.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"
#include "base/util.h"
#include "server/fields.h"
#include "server/replay_form.h"

enum { BUCKETS = 1 << 14, ANSWER_TOK_MAX = 1 << 17 };

/* How an answer is found: after the same tokens, or anywhere. */
enum way { EXACT, MESSAGE, WAYS };

struct key {
    uint64_t v[2];
};

struct kept {
    struct kept *older, *newer; /* by use */
    struct kept *next[WAYS];    /* in a bucket */
    struct key key[WAYS], reasoning;
    size_t n, after; /* tokens; where those after the reasoning begin */
    int32_t token[];
};

struct replay {
    pthread_mutex_t lock;
    uint64_t secret[2], max_bytes, bytes;
    struct kept *oldest, *newest;
    struct kept *bucket[WAYS][BUCKETS];
    uint64_t found, wanted;
    /* ids, or -1 */
    int32_t assistant, think, end_think, role[4];
};

/* ---- keys ---- */

static void hash_prefix(const struct replay *r, const char *owner, struct siphash *h)
{
    siphash_init(h, r->secret);
    siphash_bytes(h, owner, strlen(owner));
}

static void hash_token(struct siphash *h, int32_t token)
{
    siphash_word(h, (uint32_t)token);
}

/* The key of a message after what h has seen. */
static struct key key_after(const struct siphash *h, const struct buf *form)
{
    struct siphash copy = *h;
    struct key k;
    siphash_bytes(&copy, form->data, form->len);
    siphash_end(&copy, k.v);
    return k;
}

static bool key_equal(const struct key *a, const struct key *b)
{
    return a->v[0] == b->v[0] && a->v[1] == b->v[1];
}

/* ---- the table; with the lock held ---- */

static struct kept **bucket(struct replay *r, enum way w, const struct key *k)
{
    return &r->bucket[w][k->v[0] % BUCKETS];
}

static struct kept *find(struct replay *r, enum way w, const struct key *k)
{
    struct kept *e = *bucket(r, w, k);
    while (e && !key_equal(&e->key[w], k))
        e = e->next[w];
    return e;
}

static void unlink_use(struct replay *r, struct kept *e)
{
    if (e->older)
        e->older->newer = e->newer;
    else
        r->oldest = e->newer;
    if (e->newer)
        e->newer->older = e->older;
    else
        r->newest = e->older;
}

static void link_newest(struct replay *r, struct kept *e)
{
    e->newer = NULL;
    e->older = r->newest;
    if (r->newest)
        r->newest->newer = e;
    else
        r->oldest = e;
    r->newest = e;
}

static uint64_t size_of(const struct kept *e)
{
    return sizeof *e + e->n * sizeof *e->token;
}

static void drop(struct replay *r, struct kept *e)
{
    for (int w = 0; w < WAYS; w++) {
        struct kept **at = bucket(r, (enum way)w, &e->key[w]);
        while (*at != e)
            at = &(*at)->next[w];
        *at = e->next[w];
    }
    unlink_use(r, e);
    r->bytes -= size_of(e);
    free(e);
}

/* The latest of equal ones is found first. */
static void insert(struct replay *r, struct kept *e)
{
    struct kept *const same = find(r, EXACT, &e->key[EXACT]);
    if (same)
        drop(r, same);
    for (int w = 0; w < WAYS; w++) {
        struct kept **const b = bucket(r, (enum way)w, &e->key[w]);
        e->next[w] = *b;
        *b = e;
    }
    link_newest(r, e);
    r->bytes += size_of(e);
    while (r->bytes > r->max_bytes && r->oldest)
        drop(r, r->oldest);
}

/* ---- its life ---- */

int replay_new(struct replay **out, const glim_tokenizer *t, uint64_t max_bytes, struct err *e)
{
    static const char *const roles[] = {"<|user|>", "<|assistant|>", "<|observation|>",
                                        "<|system|>"};
    struct replay *const r = mem_zalloc(1, sizeof *r);
    *out = r;
    if (!r)
        return err_nomem(e, "replay", sizeof *r);
    (void)pthread_mutex_init(&r->lock, NULL);
    r->max_bytes = max_bytes;
    if (getrandom(r->secret, sizeof r->secret, 0) != (ssize_t)sizeof r->secret)
        return err_set(e, GLIM_EIO, "no random numbers");
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        r->role[i] = glim_token_id(t, roles[i]);
    r->assistant = glim_token_id(t, "<|assistant|>");
    r->think = glim_token_id(t, "<think>");
    r->end_think = glim_token_id(t, "</think>");
    return GLIM_OK;
}

void replay_free(struct replay *r)
{
    if (!r)
        return;
    while (r->oldest)
        drop(r, r->oldest);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

void replay_counts(struct replay *r, uint64_t *found, uint64_t *wanted)
{
    (void)pthread_mutex_lock(&r->lock);
    *found = r->found;
    *wanted = r->wanted;
    (void)pthread_mutex_unlock(&r->lock);
}

/* ---- keeping ---- */

static size_t after_reasoning(const struct replay *r, const int32_t *token, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (token[i] == r->end_think)
            return i + 1;
    }
    return n;
}

static void make_keys(const struct replay *r, const char *owner, const struct prompt *p,
                      const struct answer *a, struct kept *k, bool *failed)
{
    struct buf form, reasoning;
    struct siphash h;
    buf_init(&form);
    buf_init(&reasoning);
    form_of_answer(a, &form);
    form_of_reasoning(a, &reasoning);
    hash_prefix(r, owner, &h);
    k->key[MESSAGE] = key_after(&h, &form);
    k->reasoning = key_after(&h, &reasoning);
    for (size_t i = 0; i < p->n; i++)
        hash_token(&h, p->id[i]);
    k->key[EXACT] = key_after(&h, &form);
    *failed = form.failed || reasoning.failed;
    buf_deinit(&form);
    buf_deinit(&reasoning);
}

void replay_keep(struct replay *r, const char *owner, const struct prompt *p,
                 const struct answer *a, const int32_t *token, size_t n)
{
    bool failed = n == 0 || n > ANSWER_TOK_MAX;
    struct kept *const k = failed ? NULL : mem_zalloc(1, sizeof *k + n * sizeof *k->token);
    if (!k)
        return;
    memcpy(k->token, token, n * sizeof *token);
    k->n = n;
    k->after = p->thinking ? after_reasoning(r, token, n) : 0;
    make_keys(r, owner, p, a, k, &failed);
    /* Reasoning that never ended has nothing after it to stand for the message. */
    if (failed || (k->after == n && p->thinking)) {
        free(k);
        return;
    }
    (void)pthread_mutex_lock(&r->lock);
    insert(r, k);
    (void)pthread_mutex_unlock(&r->lock);
}

/* ---- splicing ---- */

struct splice {
    struct replay *r;
    struct json_object *messages;
    size_t next, last_user; /* message; SIZE_MAX: no user message */
    bool keep_thinking, changed, failed;
    const char *owner;
    const struct prompt *from;
    struct siphash seen; /* of the tokens so far */
    int32_t *id;
    uint8_t *sampled;
    size_t n, id_cap, sampled_cap;
};

static void put(struct splice *s, int32_t token, bool sampled)
{
    if (mem_grow(&s->id, &s->id_cap, s->n + 1, sizeof *s->id) != 0
        || mem_grow(&s->sampled, &s->sampled_cap, s->n + 1, 1) != 0) {
        s->failed = true;
        return;
    }
    s->id[s->n] = token;
    s->sampled[s->n++] = sampled;
    hash_token(&s->seen, token);
}

static void put_rendered(struct splice *s, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        put(s, s->from->id[i], false);
}

static bool is_role(const struct replay *r, int32_t token)
{
    for (size_t i = 0; i < COUNT_OF(r->role); i++) {
        if (token == r->role[i])
            return true;
    }
    return false;
}

static struct json_object *next_assistant(struct splice *s, size_t *index)
{
    while (s->next < json_object_array_length(s->messages)) {
        struct json_object *const m = json_object_array_get_idx(s->messages, s->next);
        *index = s->next++;
        if (json_is(json_object_object_get(m, "role"), "assistant"))
            return m;
    }
    return NULL;
}

/* Did the client send back the reasoning that was sampled, or none? */
static bool reasoning_fits(struct splice *s, const struct kept *k, struct json_object *m)
{
    struct buf form;
    struct siphash h;
    buf_init(&form);
    form_of_message_reasoning(m, &form);
    hash_prefix(s->r, s->owner, &h);
    const struct key key = key_after(&h, &form);
    const bool fits = strcmp(form.data, "\"\"") == 0 || key_equal(&key, &k->reasoning);
    s->failed |= form.failed;
    buf_deinit(&form);
    return fits;
}

/* The tokens of message m, whose rendered reasoning is [begin, close), before </think>. With the
 * lock held; false: none were found. */
static bool put_kept(struct splice *s, struct json_object *m, bool open, size_t begin, size_t close,
                     const struct buf *form)
{
    struct siphash anywhere, closed = s->seen;
    hash_prefix(s->r, s->owner, &anywhere);
    hash_token(&closed, s->r->end_think);
    const struct key with = key_after(&s->seen, form), without = key_after(&closed, form),
                     message = key_after(&anywhere, form);
    struct kept *k = find(s->r, EXACT, &with);
    const bool whole = k && open && k->after > 0 && reasoning_fits(s, k, m);
    bool sampled = whole;
    if (!whole) {
        k = begin == close ? find(s->r, EXACT, &without) : NULL;
        sampled = k && k->after == 0; /* answered without reasoning, right here */
        k = sampled ? k : find(s->r, MESSAGE, &message);
    }
    if (!k)
        return false;
    if (!whole)
        put_rendered(s, begin, close + 1);
    for (size_t i = whole ? 0 : k->after; i < k->n; i++)
        put(s, k->token[i], sampled);
    unlink_use(s->r, k);
    link_newest(s->r, k);
    return true;
}

/* A message of the assistant's, rendered in [at, end) from its role token on. */
static void put_message(struct splice *s, struct json_object *m, size_t index, size_t at,
                        size_t end)
{
    struct replay *const r = s->r;
    const int32_t *const id = s->from->id;
    size_t close = at + 2;
    while (close < end && id[close] != r->end_think)
        close++;
    const bool shaped = at + 2 < end && id[at + 1] == r->think && close < end;
    const bool open = s->keep_thinking || s->last_user == SIZE_MAX || index > s->last_user;
    if (!shaped) {
        put_rendered(s, at, end);
        return;
    }
    struct buf form;
    buf_init(&form);
    form_of_message(m, &form);
    put_rendered(s, at, at + 2);
    (void)pthread_mutex_lock(&r->lock);
    r->wanted++;
    s->failed |= form.failed;
    const bool found = !form.failed && put_kept(s, m, open, at + 2, close, &form);
    r->found += found;
    (void)pthread_mutex_unlock(&r->lock);
    s->changed = s->changed || found;
    if (!found)
        put_rendered(s, at + 2, end);
    buf_deinit(&form);
}

static void splice_all(struct splice *s)
{
    const struct prompt *const p = s->from;
    for (size_t at = 0; at < p->n && !s->failed;) {
        size_t index = 0, end = at + 1;
        struct json_object *const m =
            p->id[at] == s->r->assistant ? next_assistant(s, &index) : NULL;
        while (m && end < p->n && !is_role(s->r, p->id[end]))
            end++;
        if (m)
            put_message(s, m, index, at, end);
        else
            put_rendered(s, at, end);
        at = end;
    }
}

static size_t find_last_user(struct json_object *messages)
{
    for (size_t i = json_object_array_length(messages); i-- > 0;) {
        struct json_object *const m = json_object_array_get_idx(messages, i);
        if (json_is(json_object_object_get(m, "role"), "user"))
            return i;
    }
    return SIZE_MAX;
}

bool replay_splice(struct replay *r, const char *owner, struct json_object *messages,
                   bool keep_thinking, struct prompt *p)
{
    struct splice s = {.r = r,
                       .messages = messages,
                       .keep_thinking = keep_thinking,
                       .owner = owner,
                       .from = p,
                       .last_user = find_last_user(messages)};
    hash_prefix(r, owner, &s.seen);
    splice_all(&s);
    if (s.changed && !s.failed) {
        free(p->id);
        free(p->sampled);
        p->id = s.id;
        p->sampled = s.sampled;
        p->n = s.n;
    } else {
        free(s.id);
        free(s.sampled);
    }
    return !s.failed;
}
