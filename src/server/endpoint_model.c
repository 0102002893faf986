/* endpoint_model.c - what is served: /v1/models, /props, /tokenizer_info. */
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "server/emit.h"
#include "server/endpoint.h"
#include "server/respond.h"

/* ---- models ---- */

static void put_capabilities(struct buf *out)
{
    static const char *const yes[] = {"thinking", "effort", "tools", "structured_outputs"};
    static const char *const no[] = {"image_input", "pdf_input", "batch"};
    emit_member(out, "capabilities");
    buf_addc(out, '{');
    for (size_t i = 0; i < COUNT_OF(yes) + COUNT_OF(no); i++) {
        const bool on = i < COUNT_OF(yes);
        emit_member(out, on ? yes[i] : no[i - COUNT_OF(yes)]);
        buf_addf(out, "{\"supported\":%s}", on ? "true" : "false");
    }
    buf_addc(out, '}');
}

static void put_meta(const struct server *s, const struct glim_model_info *info, struct buf *out)
{
    emit_member(out, "meta");
    buf_addc(out, '{');
    emit_member_u64(out, "n_ctx", s->context_tok);
    emit_member_u64(out, "n_ctx_train", info->context);
    emit_member_u64(out, "n_vocab", info->vocab);
    emit_member_u64(out, "n_embd", info->hidden);
    emit_member_u64(out, "n_params", info->total_parameters);
    emit_member_u64(out, "size", info->tensor_bytes);
    buf_addc(out, '}');
}

/* One object for both OpenAI's and Anthropic's clients, with llama.cpp's meta. */
static void put_model(const struct server *s, struct buf *out)
{
    const struct glim_model_info *const info = glim_model_info(s->model);
    char when[32];
    struct tm tm;
    const time_t created = (time_t)s->created;
    (void)gmtime_r(&created, &tm);
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_addc(out, '{');
    emit_member_text(out, "id", s->name);
    emit_member_text(out, "object", "model");
    emit_member_u64(out, "created", s->created);
    emit_member_text(out, "owned_by", "glim");
    emit_member_text(out, "type", "model");
    emit_member_text(out, "display_name", info->name);
    emit_member_text(out, "created_at", when);
    emit_member_u64(out, "max_input_tokens", s->context_tok);
    emit_member_u64(out, "max_tokens", s->context_tok);
    emit_member_u64(out, "max_model_len", s->context_tok);
    put_capabilities(out);
    put_meta(s, info, out);
    buf_adds(out, ",\"architecture\":{\"input_modalities\":[\"text\"]}}");
}

void endpoint_models(struct server *s, struct exchange *x)
{
    struct buf out;
    buf_init(&out);
    buf_adds(&out, "{\"object\":\"list\",\"data\":[");
    put_model(s, &out);
    buf_addc(&out, ']');
    emit_member_bool(&out, "has_more", false);
    emit_member_text(&out, "first_id", s->name);
    emit_member_text(&out, "last_id", s->name);
    buf_addc(&out, '}');
    respond(s, x, NULL, json_media, &out);
    buf_deinit(&out);
}

void endpoint_model(struct server *s, struct exchange *x)
{
    const char *const name = exchange_path(x) + strlen("/v1/models/");
    struct fault f = {0};
    struct buf out;
    buf_init(&out);
    if (server_knows_model(s, name)) {
        put_model(s, &out);
        respond(s, x, NULL, json_media, &out);
    } else {
        (void)fault_set(&f, FAULT_MODEL, "model",
                        "The model \"%.80s\" does not exist; this server has \"%s\"", name,
                        s->name);
        respond_fault(s, x, NULL, &f);
    }
    buf_deinit(&out);
}

/* ---- props ---- */

static void put_sampling(const struct server *s, struct buf *out)
{
    struct glim_sampling p = GLIM_SAMPLING_INIT;
    glim_model_sampling(s->model, &p);
    buf_addc(out, '{');
    emit_member_real(out, "temperature", p.temperature);
    emit_member_real(out, "top_p", p.top_p);
    emit_member_real(out, "min_p", p.min_p);
    emit_member_u64(out, "top_k", p.top_k);
    buf_addc(out, '}');
}

void endpoint_props(struct server *s, struct exchange *x)
{
    struct glim_service_state state;
    struct buf out;
    glim_service_state(s->service, &state);
    buf_init(&out);
    buf_adds(&out, "{\"default_generation_settings\":{");
    emit_member_u64(&out, "n_ctx", s->context_tok);
    emit_member(&out, "params");
    put_sampling(s, &out);
    buf_addc(&out, '}');
    emit_member_u64(&out, "total_slots", state.parallel);
    emit_member_text(&out, "model_alias", s->name);
    emit_member_text(&out, "model_name", glim_model_info(s->model)->name);
    emit_member_text(&out, "chat_template", glim_template_name(s->tokenizer));
    emit_member_u64(&out, "cache_tokens", state.cache_tok);
    emit_member_u64(&out, "queue", state.queue);
    emit_member_text(&out, "build_info", glim_version());
    buf_addc(&out, '}');
    respond(s, x, NULL, json_media, &out);
    buf_deinit(&out);
}

/* ---- the tokenizer ---- */

static void put_token(const struct server *s, const char *key, const char *token, struct buf *out)
{
    emit_member_text(out, key, glim_token_id(s->tokenizer, token) >= 0 ? token : NULL);
}

/* As vLLM has it. */
void endpoint_tokenizer_info(struct server *s, struct exchange *x)
{
    struct buf out;
    buf_init(&out);
    buf_addc(&out, '{');
    emit_member_text(&out, "tokenizer_class", "PreTrainedTokenizerFast");
    emit_member_u64(&out, "vocab_size", glim_tokenizer_size(s->tokenizer));
    emit_member_u64(&out, "max_model_len", s->context_tok);
    emit_member_text(&out, "bos_token", NULL);
    put_token(s, "eos_token", "<|endoftext|>", &out);
    put_token(s, "pad_token", "<|endoftext|>", &out);
    emit_member_text(&out, "chat_template", glim_template_source(s->tokenizer));
    buf_addc(&out, '}');
    respond(s, x, NULL, json_media, &out);
    buf_deinit(&out);
}
