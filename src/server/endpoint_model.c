/* endpoint_model.c - what is served: /v1/models, /props, /tokenizer_info. */
#include <string.h>
#include <time.h>

#include "server/endpoint.h"
#include "server/respond.h"

static void add_text(struct json_object *o, const char *key, const char *text)
{
    (void)json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void add_u64(struct json_object *o, const char *key, uint64_t v)
{
    (void)json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_bool(struct json_object *o, const char *key, bool v)
{
    (void)json_object_object_add(o, key, json_object_new_boolean(v));
}

/* ---- models ---- */

static struct json_object *capabilities(void)
{
    static const char *const yes[] = {"thinking", "effort", "tools", "structured_outputs"};
    static const char *const no[] = {"image_input", "pdf_input", "batch"};
    struct json_object *const all = json_object_new_object();
    for (size_t i = 0; i < sizeof yes / sizeof *yes + sizeof no / sizeof *no; i++) {
        const bool on = i < sizeof yes / sizeof *yes;
        struct json_object *const one = json_object_new_object();
        add_bool(one, "supported", on);
        (void)json_object_object_add(all, on ? yes[i] : no[i - sizeof yes / sizeof *yes], one);
    }
    return all;
}

/* One object for both OpenAI's and Anthropic's clients, with llama.cpp's meta. */
static struct json_object *model_object(const struct server *s)
{
    const struct glim_model_info *const info = glim_model_info(s->model);
    struct json_object *const o = json_object_new_object();
    struct json_object *const meta = json_object_new_object();
    struct json_object *const architecture = json_object_new_object();
    struct json_object *const modalities = json_object_new_array();
    char when[32];
    struct tm tm;
    const time_t created = (time_t)s->created;
    (void)gmtime_r(&created, &tm);
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    add_text(o, "id", s->name);
    add_text(o, "object", "model");
    add_u64(o, "created", s->created);
    add_text(o, "owned_by", "glim");
    add_text(o, "type", "model");
    add_text(o, "display_name", info->name);
    add_text(o, "created_at", when);
    add_u64(o, "max_input_tokens", s->context_tok);
    add_u64(o, "max_tokens", s->context_tok);
    add_u64(o, "max_model_len", s->context_tok);
    (void)json_object_object_add(o, "capabilities", capabilities());
    add_u64(meta, "n_ctx", s->context_tok);
    add_u64(meta, "n_ctx_train", info->context);
    add_u64(meta, "n_vocab", info->vocab);
    add_u64(meta, "n_embd", info->hidden);
    add_u64(meta, "n_params", info->total_parameters);
    add_u64(meta, "size", info->tensor_bytes);
    (void)json_object_object_add(o, "meta", meta);
    (void)json_object_array_add(modalities, json_object_new_string("text"));
    (void)json_object_object_add(architecture, "input_modalities", modalities);
    (void)json_object_object_add(o, "architecture", architecture);
    return o;
}

void endpoint_models(struct server *s, struct exchange *x)
{
    struct json_object *const o = json_object_new_object();
    struct json_object *const data = json_object_new_array();
    (void)json_object_array_add(data, model_object(s));
    add_text(o, "object", "list");
    (void)json_object_object_add(o, "data", data);
    add_bool(o, "has_more", false);
    add_text(o, "first_id", s->name);
    add_text(o, "last_id", s->name);
    respond_json(x, 200, o);
}

void endpoint_model(struct server *s, struct exchange *x)
{
    const char *const name = exchange_path(x) + strlen("/v1/models/");
    struct fault f = {0};
    if (server_knows_model(s, name)) {
        respond_json(x, 200, model_object(s));
        return;
    }
    (void)fault_set(&f, FAULT_MODEL, "model",
                    "The model \"%.80s\" does not exist; this server has "
                    "\"%s\"",
                    name, s->name);
    respond_fault(s, x, NULL, &f);
}

/* ---- props ---- */

static struct json_object *sampling_object(const struct server *s)
{
    struct glim_sampling p = GLIM_SAMPLING_INIT;
    struct json_object *const o = json_object_new_object();
    glim_model_sampling(s->model, &p);
    (void)json_object_object_add(o, "temperature", json_object_new_double(p.temperature));
    (void)json_object_object_add(o, "top_p", json_object_new_double(p.top_p));
    (void)json_object_object_add(o, "min_p", json_object_new_double(p.min_p));
    add_u64(o, "top_k", p.top_k);
    return o;
}

void endpoint_props(struct server *s, struct exchange *x)
{
    struct json_object *const o = json_object_new_object();
    struct json_object *const defaults = json_object_new_object();
    struct glim_service_state state;
    glim_service_state(s->service, &state);
    add_u64(defaults, "n_ctx", s->context_tok);
    (void)json_object_object_add(defaults, "params", sampling_object(s));
    (void)json_object_object_add(o, "default_generation_settings", defaults);
    add_u64(o, "total_slots", state.parallel);
    add_text(o, "model_alias", s->name);
    add_text(o, "model_name", glim_model_info(s->model)->name);
    add_text(o, "chat_template", glim_template_name(s->tokenizer));
    add_u64(o, "cache_tokens", state.cache_tok);
    add_u64(o, "queue", state.queue);
    add_text(o, "build_info", glim_version());
    respond_json(x, 200, o);
}

/* ---- the tokenizer ---- */

static void add_token(struct json_object *o, const struct server *s, const char *key,
                      const char *token)
{
    add_text(o, key, glim_token_id(s->tokenizer, token) >= 0 ? token : NULL);
}

/* As vLLM has it. */
void endpoint_tokenizer_info(struct server *s, struct exchange *x)
{
    struct json_object *const o = json_object_new_object();
    add_text(o, "tokenizer_class", "PreTrainedTokenizerFast");
    add_u64(o, "vocab_size", glim_tokenizer_size(s->tokenizer));
    add_u64(o, "max_model_len", s->context_tok);
    add_text(o, "bos_token", NULL);
    add_token(o, s, "eos_token", "<|endoftext|>");
    add_token(o, s, "pad_token", "<|endoftext|>");
    add_text(o, "chat_template", glim_template_source(s->tokenizer));
    respond_json(x, 200, o);
}
