/* endpoint_responses.c - GET and DELETE /v1/responses/ID, POST /v1/responses/ID/cancel: of one that
 * runs in the background, or else of one that is kept. */
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "server/background.h"
#include "server/emit.h"
#include "server/endpoint.h"
#include "server/fieldlist.h"
#include "server/respond.h"
#include "server/responses_store.h"

/* The response that a path names, as the stores call it: without "resp_". */
struct named {
    const char *text; /* as it stands there */
    size_t len;
    char id[64]; /* "" if it is none of ours */
};

static void read_id(const struct exchange *x, const char *behind, struct named *n)
{
    static const char prefix[] = "resp_";
    const size_t skip = sizeof prefix - 1;
    n->text = exchange_path(x) + strlen("/v1/responses/");
    n->len = strlen(n->text) - strlen(behind);
    n->id[0] = 0;
    if (n->len < skip + sizeof n->id && strncmp(n->text, prefix, skip) == 0) {
        memcpy(n->id, n->text + skip, n->len - skip);
        n->id[n->len - skip] = 0;
    }
}

/* Empties out. */
static void answer(struct server *s, struct exchange *x, const struct named *n, bool there,
                   struct buf *out)
{
    struct fault f = {0};
    if (there) {
        respond(s, x, NULL, json_media, out);
    } else {
        (void)fault_set(&f, FAULT_NOT_FOUND, "response_id", "Response with id '%.*s' not found.",
                        (int)min_u64(n->len, 80), n->text);
        respond_fault(s, x, NULL, &f);
    }
    buf_deinit(out);
}

static bool delete(struct server *s, const char *owner, const struct named *n, struct buf *out)
{
    const bool ran = background_ask(s->background, owner, n->id, BACKGROUND_FORGET, NULL);
    const bool kept = responses_store_delete(s->responses, owner, n->id); /* perhaps just now */
    if (!ran && !kept)
        return false;
    buf_addf(out, "{\"id\":\"resp_%s\",\"object\":\"response\",\"deleted\":true}", n->id);
    return true;
}

void endpoint_response(struct server *s, struct exchange *x)
{
    const char *const owner = exchange_owner(x);
    struct named n;
    struct buf out;
    bool there;
    buf_init(&out);
    read_id(x, "", &n);
    if (exchange_method(x) == HTTP_DELETE)
        there = delete(s, owner, &n, &out);
    else
        there = background_ask(s->background, owner, n.id, BACKGROUND_LOOK, &out)
                || responses_store_get(s->responses, owner, n.id, &out);
    answer(s, x, &n, there, &out);
}

/* Was it one that could be cancelled, when it ran? */
static bool was_in_background(const struct buf *whole)
{
    struct json_object *o = NULL;
    const bool read = json_read(whole->data, whole->len, "response", &o, NULL) == 0;
    const bool was = read && json_object_get_boolean(block_get(o, "background"));
    json_object_put(o);
    return was;
}

void endpoint_response_cancel(struct server *s, struct exchange *x)
{
    const char *const owner = exchange_owner(x);
    struct named n;
    struct fault f = {0};
    struct buf out;
    buf_init(&out);
    read_id(x, "/cancel", &n);
    bool there = background_ask(s->background, owner, n.id, BACKGROUND_CANCEL, &out);
    if (!there && (there = responses_store_get(s->responses, owner, n.id, &out))
        && !was_in_background(&out)) {
        (void)fault_set(&f, FAULT_INVALID, "response_id",
                        "Only a response with \"background\": true can be cancelled.");
        respond_fault(s, x, NULL, &f);
        buf_deinit(&out);
        return;
    }
    answer(s, x, &n, there, &out);
}
