/* cmd_launch.c - glim launch: starts a coding agent with the environment that points it at a
 * running glim serve.
 *
 * Which variables and arguments each client wants is a table. In its texts %u is the server's
 * address, %k the key, %m what the server calls its model; that is asked of the server (models.h)
 * unless it is given. %c is how many tokens the server's context has: clients assume 200,000 to a
 * million of a model that they do not know, and would not shorten their conversations in time; %r
 * the same where there is room for Claude Code to do so, %l as a member of opencode's JSON. Texts
 * with a %c or %r that stands for nothing are left out. The program is then replaced by the
 * client's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/util.h"
#include "cli/cmd.h"
#include "cli/models.h"
#include "cli/out.h"

enum { SETTINGS_MAX = 12, WORDS_MAX = 16, KEY_FILE_BYTES = 1 << 20 };
/* Claude Code begins with 12,000 tokens and keeps 33,000 free: in less than this it would shorten
 * its conversation again and again, and stop. Not told, it goes on until the server refuses. */
enum { ROOM_TOK = 65536 };

struct client {
    const char *name, *install;
    const char *const *unset; /* variables that would count more than ours; up to NULL */
    struct {
        const char *name, *value;
    } set[SETTINGS_MAX];
    const char *words[WORDS_MAX]; /* arguments before the user's */
};

static const char *const none[] = {NULL};
static const char *const anthropic_others[] = {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK",
                                               "CLAUDE_CODE_USE_VERTEX", NULL};

static const struct client clients[] = {
    {"claude", "npm install -g @anthropic-ai/claude-code", anthropic_others,
     {{"ANTHROPIC_BASE_URL", "%u"},
      {"ANTHROPIC_AUTH_TOKEN", "%k"},
      {"ANTHROPIC_MODEL", "%m"},
      {"ANTHROPIC_DEFAULT_OPUS_MODEL", "%m"},
      {"ANTHROPIC_DEFAULT_SONNET_MODEL", "%m"},
      {"ANTHROPIC_DEFAULT_HAIKU_MODEL", "%m"},
      {"CLAUDE_CODE_SUBAGENT_MODEL", "%m"},
      {"CLAUDE_CODE_MAX_CONTEXT_TOKENS", "%r"},
      {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"},
      {"API_TIMEOUT_MS", "3600000"}},
     {NULL}},
    {"codex", "npm install -g @openai/codex", none,
     {{"GLIM_API_KEY", "%k"}},
     {"-c", "model_provider=\"glim\"", "-c", "model_providers.glim.name=\"glim\"", "-c",
      "model_providers.glim.base_url=\"%u/v1\"", "-c",
      "model_providers.glim.wire_api=\"responses\"", "-c",
      "model_providers.glim.env_key=\"GLIM_API_KEY\"", "-c",
      "model_providers.glim.stream_idle_timeout_ms=3600000", "--config=model_context_window=%c",
      "-m", "%m"}},
    {"opencode", "npm install -g opencode-ai", none,
     {{"OPENCODE_CONFIG_CONTENT",
       "{\"model\":\"glim/%m\",\"small_model\":\"glim/%m\",\"provider\":{\"glim\":{\"npm\":"
       "\"@ai-sdk/openai-compatible\",\"name\":\"glim\",\"options\":{\"baseURL\":\"%u/v1\","
       "\"apiKey\":\"%k\",\"timeout\":3600000},\"models\":{\"%m\":{\"name\":\"%m\"%l}}}}}"}},
     {NULL}},
    {"aider", "pip install aider-chat", none,
     {{"OPENAI_API_BASE", "%u/v1"},
      {"OPENAI_BASE_URL", "%u/v1"},
      {"OPENAI_API_KEY", "%k"},
      {"AIDER_MODEL", "openai/%m"},
      {"AIDER_TIMEOUT", "3600"}},
     {NULL}},
};

struct launch {
    const struct client *client;
    struct buf url, key, model, context, room, limit;
};

/* ---- texts ---- */

static bool is_left_out(const struct launch *l, const char *text)
{
    return (l->context.len == 0 && strstr(text, "%c")) || (l->room.len == 0 && strstr(text, "%r"));
}

/* False: the text is left out. Else the caller deinits *out. */
static bool expand(const struct launch *l, const char *text, struct buf *out)
{
    if (is_left_out(l, text))
        return false;
    buf_init(out);
    for (; *text; text++) {
        const char c = text[0] == '%' ? text[1] : 0;
        const struct buf *const b = c == 'u'   ? &l->url
                                    : c == 'k' ? &l->key
                                    : c == 'm' ? &l->model
                                    : c == 'c' ? &l->context
                                    : c == 'r' ? &l->room
                                    : c == 'l' ? &l->limit
                                               : NULL;
        if (b)
            buf_add(out, b->data, b->len);
        else
            buf_addc(out, *text);
        text += b != NULL;
    }
    return true;
}

/* 'text', as a shell takes it. */
static void put_quoted(const char *text, struct buf *out)
{
    buf_addc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_adds(out, "'\\''");
        else
            buf_addc(out, *text);
    }
    buf_addc(out, '\'');
}

/* What goes into JSON, TOML and a shell has to be harmless in all of them. */
static bool is_plain(const struct buf *b)
{
    for (size_t i = 0; i < b->len; i++) {
        const unsigned char c = (unsigned char)b->data[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '\'')
            return false;
    }
    return b->len > 0;
}

/* ---- options ---- */

static const struct client *find_client(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        if (strcmp(clients[i].name, name) == 0)
            return &clients[i];
    }
    return NULL;
}

static int read_key(struct launch *l, const struct opts *o, struct err *e)
{
    char *text;
    size_t len;
    buf_adds(&l->key, o->api_key.n ? o->api_key.v[0] : o->api_key_file ? "" : "none");
    if (o->api_key.n || !o->api_key_file)
        return GLIM_OK;
    const int rc = io_read_file(o->api_key_file, KEY_FILE_BYTES, &text, &len, e);
    if (rc != GLIM_OK)
        return rc;
    /* The first line that is none of the comments. */
    const char *line = text;
    while (*line == '#' || *line == '\n' || *line == '\r')
        line += strcspn(line, "\n") + (line[strcspn(line, "\n")] != 0);
    buf_add(&l->key, line, strcspn(line, "\r\n"));
    free(text);
    return GLIM_OK;
}

static void take_context(struct launch *l, uint64_t tok)
{
    if (tok == 0)
        return;
    if (tok < ROOM_TOK)
        say_notice("the server's context of %llu tokens is small for agents, which begin with up "
                   "to 12,000; glim serve --ctx 131072 has more",
                   (unsigned long long)tok);
    else
        buf_addf(&l->room, "%llu", (unsigned long long)tok);
    buf_addf(&l->context, "%llu", (unsigned long long)tok);
    buf_addf(&l->limit, ",\"limit\":{\"context\":%llu,\"output\":%llu}", (unsigned long long)tok,
             (unsigned long long)tok / 4);
}

static int read_options(struct launch *l, const struct opts *o, struct err *e)
{
    const char *const url = o->url ? o->url : "http://127.0.0.1:4546";
    uint64_t context_tok = 0;
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        n--;
    buf_add(&l->url, url, n);
    if (read_key(l, o, e) != GLIM_OK)
        return e->code;
    if (!is_plain(&l->key))
        return err_set(e, GLIM_EINVAL, "the key has white space, quotes or control characters");
    if (!is_plain(&l->url) || strncmp(url, "http", 4) != 0)
        return err_set(e, GLIM_EINVAL, "--url %s: expected http://HOST:PORT", url);
    if (o->alias)
        buf_adds(&l->model, o->alias);
    else if (models_ask(l->url.data, l->key.data, &l->model, &context_tok, e) != GLIM_OK)
        return e->code;
    take_context(l, context_tok);
    if (is_plain(&l->model))
        return GLIM_OK;
    return err_set(e, GLIM_EINVAL, "the model's name \"%s\" has white space, quotes or control "
                   "characters; start glim serve with --alias", l->model.data);
}

/* ---- the client ---- */

static void print(const struct launch *l)
{
    struct buf line;
    buf_init(&line);
    for (size_t i = 0; l->client->unset[i]; i++)
        buf_addf(&line, "unset %s\n", l->client->unset[i]);
    for (size_t i = 0; i < SETTINGS_MAX && l->client->set[i].name; i++) {
        struct buf value;
        if (!expand(l, l->client->set[i].value, &value))
            continue;
        buf_addf(&line, "export %s=", l->client->set[i].name);
        put_quoted(value.data, &line);
        buf_addc(&line, '\n');
        buf_deinit(&value);
    }
    buf_addf(&line, "# %s", l->client->name);
    for (size_t i = 0; i < WORDS_MAX && l->client->words[i]; i++) {
        struct buf word;
        if (!expand(l, l->client->words[i], &word))
            continue;
        buf_addc(&line, ' ');
        put_quoted(word.data, &line);
        buf_deinit(&word);
    }
    out_text("%s\n", line.data);
    buf_deinit(&line);
}

static int set_environment(const struct launch *l)
{
    for (size_t i = 0; l->client->unset[i]; i++)
        (void)unsetenv(l->client->unset[i]);
    for (size_t i = 0; i < SETTINGS_MAX && l->client->set[i].name; i++) {
        struct buf value;
        if (!expand(l, l->client->set[i].value, &value))
            continue;
        const int rc = value.failed ? -1 : setenv(l->client->set[i].name, value.data, 1);
        buf_deinit(&value);
        if (rc != 0)
            return fail("out of memory for the environment");
    }
    return EXIT_OK;
}

/* Returns only if that fails. */
static int run(const struct launch *l, const struct opts *o)
{
    char *word[1 + WORDS_MAX + 1] = {0}; /* of the table, expanded; kept to the end */
    const char **const argv = mem_zalloc((uint64_t)o->args + WORDS_MAX + 2, sizeof *argv);
    size_t n = 0;
    if (!argv)
        return fail("out of memory for the arguments");
    argv[n++] = l->client->name;
    for (size_t i = 0; i < WORDS_MAX && l->client->words[i]; i++) {
        struct buf text;
        if (!expand(l, l->client->words[i], &text))
            continue;
        word[i] = buf_take(&text, NULL);
        argv[n++] = word[i];
    }
    for (int i = 1; i < o->args; i++)
        argv[n++] = o->arg[i];
    out_flush();
    (void)execvp(argv[0], (char *const *)argv);
    const int why = errno;
    for (size_t i = 0; i < COUNT_OF(word); i++)
        free(word[i]);
    free(argv);
    return why == ENOENT ? fail("%s is not installed: %s", l->client->name, l->client->install)
                         : fail("%s: %s", l->client->name, strerror(why));
}

int cmd_launch(const struct opts *o)
{
    struct err e;
    struct launch l = {.client = o->args ? find_client(o->arg[0]) : NULL};
    if (!l.client)
        return usage_error(o->args ? "launch: \"%s\", expected claude, codex, opencode or aider"
                                   : "launch: no client%s; claude, codex, opencode or aider",
                           o->args ? o->arg[0] : "");
    buf_init(&l.url);
    buf_init(&l.key);
    buf_init(&l.model);
    buf_init(&l.context);
    buf_init(&l.room);
    buf_init(&l.limit);
    int code = EXIT_OK;
    if (read_options(&l, o, &e) != GLIM_OK)
        code = fail_err(&e);
    else if (o->print)
        print(&l);
    else if ((code = set_environment(&l)) == EXIT_OK)
        code = run(&l, o);
    buf_deinit(&l.url);
    buf_deinit(&l.key);
    buf_deinit(&l.model);
    buf_deinit(&l.context);
    buf_deinit(&l.room);
    buf_deinit(&l.limit);
    return code;
}
