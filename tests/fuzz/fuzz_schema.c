/* fuzz_schema.c - any JSON as a schema, then an answer of it, which is JSON. The schema ends at the
 * first byte 0xFF; what follows chooses the tokens. Also as the parameters of a tool. */
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "fuzz/grammar_walk.h"

/* Answers are JSON that json_read takes, unless a name comes twice, which the grammar cannot see,
 * or it is nested deeper than json_read goes. */
static void must_be_json(const struct buf *text)
{
    struct json_object *o = NULL;
    struct err e = {.text = ""};
    const int rc = json_read(text->data, text->len, "answer", &o, &e);
    if (rc != GLIM_OK && !strstr(e.text, "key") && !strstr(e.text, "deep"))
        fprintf(stderr, "%s\n%s\n", text->data, e.text);
    must(rc == GLIM_OK || strstr(e.text, "key") || strstr(e.text, "deep"), "an answer is JSON");
    json_object_put(o);
}

static void as_tool(struct json_object *schema, const uint8_t *choice, size_t n)
{
    struct json_object *const tools = json_object_new_array(), *const tool =
                                                                   json_object_new_object();
    struct grammar *g;
    struct buf text;
    json_object_object_add(tool, "name", json_object_new_string("f"));
    json_object_object_add(tool, "parameters", json_object_get(schema));
    json_object_array_add(tools, tool);
    const struct grammar_tools o = {.tools = tools,
                                    .text = n % 2,
                                    .parallel = n % 3,
                                    .required = true};
    if (grammar_from_tools(&g, walk_tok, &o, NULL) == GLIM_OK) {
        buf_init(&text);
        walk_answer(g, choice, n, &text);
        buf_deinit(&text);
        grammar_free(g);
    }
    json_object_put(tools);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grammar *g;
    struct json_object *schema;
    struct err e = {.text = ""};
    struct buf text;
    const uint8_t *const end = size > 0 ? memchr(data, 0xFF, size) : NULL;
    const size_t len = end ? (size_t)(end - data) : size, rest = end ? size - len - 1 : 0;
    walk_setup();
    if (size == 0 || json_read((const char *)data, len, "schema", &schema, NULL) != GLIM_OK)
        return 0;
    const int rc = grammar_from_schema(&g, walk_tok, schema, &e);
    must(rc == GLIM_OK
             || (!g
                 && (strncmp(e.text, "schema at #", 11) == 0
                     || strncmp(e.text, "grammar", 7) == 0)),
         "a refusal says what it is about");
    buf_init(&text);
    if (rc == GLIM_OK && end && walk_answer(g, end + 1, rest, &text))
        must_be_json(&text);
    buf_deinit(&text);
    grammar_free(g);
    if (end)
        as_tool(schema, end + 1, rest);
    json_object_put(schema);
    return 0;
}
