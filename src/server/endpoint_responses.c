/* endpoint_responses.c - GET and DELETE /v1/responses/ID. */
#include <string.h>

#include "base/json.h"
#include "server/emit.h"
#include "server/endpoint.h"
#include "server/respond.h"
#include "server/responses_store.h"

static void deleted(const char *id, struct buf *out)
{
    buf_adds(out, "{\"id\":");
    emit_string(out, id);
    buf_adds(out, ",\"object\":\"response\",\"deleted\":true}");
}

void endpoint_response(struct server *s, struct exchange *x)
{
    static const char prefix[] = "resp_";
    const char *const id = exchange_path(x) + strlen("/v1/responses/");
    const char *const owner = exchange_owner(x);
    struct fault f = {0};
    struct buf out;
    bool there = strncmp(id, prefix, sizeof prefix - 1) == 0;
    const char *const own = there ? id + sizeof prefix - 1 : "";
    buf_init(&out);
    if (exchange_method(x) != HTTP_DELETE)
        there = there && responses_store_get(s->responses, owner, own, &out);
    else if ((there = there && responses_store_delete(s->responses, owner, own)))
        deleted(id, &out);
    if (there) {
        respond(s, x, NULL, json_media, &out);
    } else {
        (void)fault_set(&f, FAULT_NOT_FOUND, "response_id", "Response with id '%.80s' not found.",
                        id);
        respond_fault(s, x, NULL, &f);
    }
    buf_deinit(&out);
}
