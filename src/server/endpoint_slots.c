/* endpoint_slots.c - /slots: what runs where, and what is done with what has run there, in
 * llama.cpp's fields.
 *
 * A file that is saved belongs to the API key that asked: "key-2.NAME" in the folder for the second
 * one. Who asks stays with the server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/emit.h"
#include "server/endpoint.h"
#include "server/fields.h"
#include "server/respond.h"

enum { LISTED_MAX = 320, NAME_MAX_BYTES = 200, BODY_MAX = 64 << 10 };

/* ---- the list ---- */

static const char *phase_name(enum glim_phase p)
{
    static const char *const name[] = {[GLIM_PHASE_WAITING] = "waiting",
                                       [GLIM_PHASE_PROMPT] = "prompt",
                                       [GLIM_PHASE_ANSWER] = "answer",
                                       [GLIM_PHASE_IDLE] = "idle"};
    return name[p];
}

static void put_slot(const struct server *s, const struct glim_service_slot *r, struct buf *out)
{
    const bool idle = r->phase == GLIM_PHASE_IDLE;
    buf_addf(out, "{\"id\":%d", r->slot);
    if (!idle)
        emit_member_u64(out, "id_task", r->id);
    emit_member_bool(out, "is_processing", !idle && r->phase != GLIM_PHASE_WAITING);
    emit_member_text(out, "phase", phase_name(r->phase));
    emit_member_u64(out, "n_ctx", s->context_tok);
    emit_member_u64(out, "n_prompt_tokens", idle ? r->kept_tok : r->prompt_tok);
    emit_member_u64(out, "n_prompt_tokens_cache", r->cached_tok);
    emit_member_u64(out, "n_prompt_tokens_processed", idle ? r->kept_tok : r->done_tok);
    emit_member_u64(out, "n_decoded", r->output_tok);
    emit_member_u64(out, "age_ms", r->age_ns / 1000000);
    buf_addc(out, '}');
}

void endpoint_slots(struct server *s, struct exchange *x)
{
    struct glim_service_slot r[LISTED_MAX];
    const size_t n = glim_service_slots(s->service, r, LISTED_MAX);
    struct buf out;
    buf_init(&out);
    buf_addc(&out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_adds(&out, i ? "," : "");
        put_slot(s, &r[i], &out);
    }
    buf_addc(&out, ']');
    respond(s, x, NULL, json_media, &out);
    buf_deinit(&out);
}

/* ---- save, restore, erase ---- */

static const struct verb {
    const char *name, *tokens, *bytes, *time; /* fields of the answer */
} verbs[] = {[GLIM_SLOT_SAVE] = {"save", "n_saved", "n_written", "save_ms"},
             [GLIM_SLOT_RESTORE] = {"restore", "n_restored", "n_read", "restore_ms"},
             [GLIM_SLOT_ERASE] = {"erase", "n_erased", NULL, "erase_ms"}};

struct asked {
    struct server *server;
    struct exchange *x;
    struct json_object *body;
    const char *name; /* borrowed of the body */
    enum glim_slot_verb verb;
    uint32_t slot;
};

static void asked_free(struct asked *a)
{
    if (a)
        json_object_put(a->body);
    free(a);
}

static void answer(struct asked *a, const struct glim_slot_result *r)
{
    const struct verb *const v = &verbs[a->verb];
    struct buf out;
    buf_init(&out);
    buf_addf(&out, "{\"id_slot\":%u", a->slot);
    if (v->bytes)
        emit_member_text(&out, "filename", a->name);
    emit_member_u64(&out, v->tokens, r->tokens);
    if (v->bytes)
        emit_member_u64(&out, v->bytes, r->bytes);
    buf_adds(&out, ",\"timings\":{");
    emit_member_real(&out, v->time, (double)r->ns / 1e6);
    buf_adds(&out, "}}");
    respond(a->server, a->x, NULL, json_media, &out);
    buf_deinit(&out);
}

/* On the service's thread. A path of this machine is nobody's business. */
static void on_done(void *ctx, const struct glim_slot_result *r)
{
    struct asked *const a = ctx;
    struct server *const s = a->server;
    struct exchange *const x = a->x;
    struct glim_error e = {.code = r->code};
    struct fault f = {0};
    if (r->code == 0) {
        answer(a, r);
    } else {
        const char *const folder = s->o.slot_folder ? s->o.slot_folder : "/";
        const size_t n = strlen(folder);
        const bool has = strncmp(r->error, folder, n) == 0 && r->error[n] == '/';
        (void)snprintf(e.text, sizeof e.text, "%s", r->error + (has ? n + 1 : 0));
        (void)fault_of_error(&f, &e, NULL);
        respond_fault(s, x, NULL, &f);
    }
    asked_free(a);
    exchange_release(x);
    atomic_fetch_sub(&s->generating, 1); /* now the server may go */
}

static int read_verb(struct asked *a, struct fault *f)
{
    const char *const path = strrchr(exchange_path(a->x), '/') + 1;
    const char *const action = exchange_argument(a->x, "action");
    const size_t digits = strspn(path, "0123456789");
    if (path[digits] || digits > 6)
        return fault_set(f, FAULT_NOT_FOUND, NULL, "There is no slot \"%.40s\"", path);
    a->slot = (uint32_t)strtoul(path, NULL, 10);
    for (size_t i = 0; action && i < COUNT_OF(verbs); i++) {
        a->verb = (enum glim_slot_verb)i;
        if (strcmp(action, verbs[i].name) == 0)
            return 0;
    }
    return fault_set(f, FAULT_INVALID, "action",
                     "action: \"%.40s\", expected save, restore or erase, as ?action=save",
                     action ? action : "");
}

/* A name and nothing more: what it is joined to stays the folder. */
static int check_name(const struct fields *in, const char *name)
{
    if (!name)
        return field_fault(in, "filename", "is missing");
    const size_t n = (size_t)json_object_get_string_len(json_object_object_get(in->o, "filename"));
    bool odd = n == 0 || n > NAME_MAX_BYTES || name[0] == '.';
    for (size_t i = 0; i < n; i++)
        odd = odd || (unsigned char)name[i] < 0x20 || name[i] == 0x7f || strchr("/\\:", name[i]);
    if (odd)
        return field_fault(in, "filename",
                           "expected 1 to %d bytes without /, \\ or :, that begin with no dot",
                           NAME_MAX_BYTES);
    return 0;
}

static int read_name(struct asked *a, struct fault *f)
{
    size_t n;
    if (a->verb == GLIM_SLOT_ERASE)
        return 0;
    if (!a->server->o.slot_folder)
        return fault_set(f, FAULT_UNSUPPORTED, NULL,
                         "Slots are neither saved nor restored: start glim serve with "
                         "--slot-save-path DIR");
    (void)exchange_body(a->x, &n);
    if (n > BODY_MAX)
        return fault_set(f, FAULT_TOO_LARGE, NULL, "The body is longer than %d bytes", BODY_MAX);
    if (respond_body(a->x, &a->body, f) != 0)
        return -1;
    const struct fields in = {a->body, "", f};
    return field_text(&in, "filename", &a->name) != 0 ? -1 : check_name(&in, a->name);
}

/* The path of the owner's file, who is "" or "key N". */
static void path_of(const struct asked *a, struct buf *path)
{
    const char *const owner = exchange_owner(a->x);
    buf_addf(path, "%s/", a->server->o.slot_folder);
    if (*owner)
        buf_addf(path, "key-%s.", owner + strcspn(owner, "0123456789"));
    buf_adds(path, a->name);
    buf_addc(path, 0);
}

static int submit(struct asked *a, struct fault *f)
{
    struct glim_slot_request r = GLIM_SLOT_REQUEST_INIT;
    struct glim_error e;
    struct buf path;
    buf_init(&path);
    if (a->name)
        path_of(a, &path);
    r.verb = a->verb;
    r.slot = a->slot;
    r.owner = exchange_owner(a->x);
    r.secret = exchange_key(a->x);
    r.secret_bytes = r.secret ? strlen(r.secret) : 0;
    r.file = a->name ? path.data : NULL;
    r.on_done = on_done;
    r.ctx = a;
    exchange_hold(a->x);
    atomic_fetch_add(&a->server->generating, 1);
    const bool failed = path.failed;
    const int rc = failed ? GLIM_ENOMEM : glim_service_slot(a->server->service, &r, &e);
    buf_deinit(&path);
    if (rc == 0)
        return 0;
    atomic_fetch_sub(&a->server->generating, 1);
    exchange_release(a->x);
    return failed ? memory_fault(f) : fault_of_error(f, &e, NULL);
}

void endpoint_slot_action(struct server *s, struct exchange *x)
{
    struct fault f = {0};
    struct asked *const a = mem_zalloc(1, sizeof *a);
    if (!a)
        (void)memory_fault(&f);
    else
        *a = (struct asked){.server = s, .x = x};
    if (a && read_verb(a, &f) == 0 && read_name(a, &f) == 0 && submit(a, &f) == 0)
        return;
    respond_fault(s, x, NULL, &f);
    asked_free(a);
}
