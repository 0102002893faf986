/* Requests of Anthropic's Messages API and OpenAI's Responses API as prompts: what the model reads,
 * whatever form a client chose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "glim.h"
#include "server/anthropic.h"
#include "server/hidden.h"
#include "server/responses.h"
#include "server/results.h"

static glim_tokenizer *tokenizer;

static int open_tokenizer(void **state)
{
    (void)state;
    return glim_tokenizer_open(&tokenizer, "models/glm-nano.gguf", NULL);
}

static int close_tokenizer(void **state)
{
    (void)state;
    glim_tokenizer_close(tokenizer);
    return 0;
}

static struct json_object *parse(const char *text)
{
    struct json_object *o;
    struct err e;
    if (json_read(text, strlen(text), "test", &o, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    return o;
}

/* What follows the template's head, which is the same everywhere here; freed by the caller. */
static char *render(struct json_object *messages, struct json_object *tools, bool prefill)
{
    results_sort(messages);
    struct json_object *const r = json_object_new_object();
    json_object_object_add(r, "messages", messages);
    json_object_object_add(r, "tools", tools);
    json_object_object_add(r, "enable_thinking", json_object_new_boolean(false));
    json_object_object_add(r, "clear_thinking", json_object_new_boolean(false));
    json_object_object_add(r, "add_generation_prompt", json_object_new_boolean(!prefill));
    const char *const text = json_object_to_json_string(r);
    struct glim_error e;
    char *out;
    size_t len;
    if (glim_template(tokenizer, text, strlen(text), &out, &len, NULL, NULL, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    json_object_put(r);
    static const char head[] = "[gMASK]<sop>";
    assert_memory_equal(out, head, sizeof head - 1);
    memmove(out, out + sizeof head - 1, len - (sizeof head - 1) + 1);
    return out;
}

static char *anthropic(const char *request)
{
    struct json_object *const body = parse(request), *messages, *tools;
    struct fault f;
    const struct fields s = {body, "", &f};
    bool prefill;
    if (anthropic_messages(&s, &messages, &prefill) != 0 || anthropic_tools(&s, &tools) != 0)
        fail_msg("%s: %s", request, f.text);
    char *const out = render(messages, tools, prefill);
    json_object_put(body);
    return out;
}

static char *responses(const char *request)
{
    struct json_object *const body = parse(request), *messages, *tools, *known;
    struct fault f;
    const struct fields s = {body, "", &f};
    if (responses_messages(&s, NULL, &messages) != 0 || responses_tools(&s, &tools, &known) != 0)
        fail_msg("%s: %s", request, f.text);
    char *const out = render(messages, tools, false);
    json_object_put(known);
    json_object_put(body);
    return out;
}

typedef char *prompt_fn(const char *request);

static void expect(prompt_fn *prompt, const char *request, const char *wanted)
{
    char *const got = prompt(request);
    assert_string_equal(got, wanted);
    glim_free(got);
}

static void expect_same(prompt_fn *prompt, const char *a, const char *b)
{
    char *const wanted = prompt(a);
    expect(prompt, b, wanted);
    glim_free(wanted);
}

#define ASK "<|assistant|><think></think>"

/* ---- Anthropic ---- */

static void test_anthropic_turns(void **state)
{
    (void)state;
    expect(anthropic, "{\"system\":\"S\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
           "<|system|>S<|user|>hi" ASK);
    expect(anthropic,
           "{\"messages\":[{\"role\":\"user\",\"content\":\"w?\"},"
           "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\","
           "\"signature\":\"x\"},{\"type\":\"text\",\"text\":\"Let me look.\"},{\"type\":"
           "\"tool_use\",\"id\":\"a\",\"name\":\"look\",\"input\":{\"city\":\"Oslo\",\"n\":2}},"
           "{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"now\",\"input\":{}}]},"
           "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\","
           "\"content\":\"rain\"},{\"type\":\"tool_result\",\"tool_use_id\":\"b\",\"content\":[{"
           "\"type\":\"text\",\"text\":\"no clock\"}],\"is_error\":true},{\"type\":\"text\","
           "\"text\":\"so?\"}]}]}",
           "<|user|>w?<|assistant|><think>hm</think>Let me look."
           "<tool_call>look<arg_key>city</arg_key><arg_value>Oslo</arg_value>"
           "<arg_key>n</arg_key><arg_value>2</arg_value></tool_call><tool_call>now</tool_call>"
           "<|observation|><tool_response>rain</tool_response>"
           "<tool_response>Error: no clock</tool_response><|user|>so?" ASK);
    /* The answer's beginning, given. */
    expect(anthropic,
           "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
           "\"content\":\"It is (\"}]}",
           "<|user|>q<|assistant|><think></think>It is (");
    /* Messages of the assistant that follow each other are one. */
    expect(anthropic,
           "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
           "\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\"}]},{\"role\":\"assistant\","
           "\"content\":\"a\"},{\"role\":\"user\",\"content\":\"\"}]}",
           "<|user|>q<|assistant|><think>t</think>a<|user|>" ASK);
}

static void test_anthropic_same_prompt(void **state)
{
    (void)state;
    static const char wanted[] =
        "<|system|>You are C.\nRules.<|user|>a\nb<|assistant|><think></think>c"
        "<|system|>Mind the gap.<|user|>d" ASK;
    static const char *const forms[] = {
        "{\"system\":\"You are C.\\nRules.\",\"messages\":[{\"role\":\"user\",\"content\""
        ":\"a\\nb\"},"
        "{\"role\":\"assistant\",\"content\":\"c\"},{\"role\":\"system\",\"content\":\"Mind the "
        "gap.\"},{\"role\":\"user\",\"content\":\"d\"}]}",
        "{\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: cc_version=2; "
        "cch=0a1;\"},{\"type\":\"text\",\"text\":\"You are C.\"},{\"type\":\"text\",\"text\":"
        "\"Rules.\",\"cache_control\":{\"type\":\"ephemeral\"}}],\"messages\":[{\"role\":\"user\","
        "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\","
        "\"cache_control\":{\"type\":\"ephemeral\"}}]},{\"role\":\"assistant\",\"content\":[{"
        "\"type\":\"text\",\"text\":\"c\",\"citations\":null}]},{\"role\":\"system\",\"content\":[{"
        "\"type\":\"text\",\"text\":\"Mind the gap.\",\"cache_control\":{\"type\""
        ":\"ephemeral\"}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"d\"}]}]}",
        "{\"system\":\"x-anthropic-billing-header: cc_version=3;\\nYou are C.\\nRules.\","
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\nb\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"redacted_thinking\",\"data\":\"z\"},{"
        "\"type\":\"text\",\"text\":\"c\"}]},{\"role\":\"system\",\"content\":\"Mind the gap.\"},"
        "{\"role\":\"user\",\"content\":\"d\"}]}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        expect(anthropic, forms[i], wanted);
}

#define CALLS                                                                                      \
    "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\","     \
    "\"name\":\"f\"},{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"g\"},{\"type\":\"tool_use\"," \
    "\"id\":\"c\",\"name\":\"h\"}]},{\"role\":\"user\",\"content\":["
#define RESULT(id, text)                                                                           \
    "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":\"" text "\"}"

/* The prompt has no ids: results come in the order of their calls. */
static void test_results_in_order(void **state)
{
    (void)state;
    static const char sorted[] =
        "<|assistant|><think></think><tool_call>f</tool_call><tool_call>g</tool_call><tool_call>h"
        "</tool_call><|observation|><tool_response>1</tool_response><tool_response>2"
        "</tool_response><tool_response>3</tool_response>" ASK;
    expect(anthropic, CALLS RESULT("c", "3") "," RESULT("a", "1") "," RESULT("b", "2") "]}]}",
           sorted);
    expect(anthropic, CALLS RESULT("a", "1") "," RESULT("b", "2") "," RESULT("c", "3") "]}]}",
           sorted);
    expect(responses,
           "{\"input\":[{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"f\",\"arguments\":"
           "\"\"},{\"type\":\"function_call\",\"call_id\":\"b\",\"name\":\"g\",\"arguments\""
           ":\"\"},{"
           "\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"h\",\"arguments\":\"\"},"
           "{\"type\":"
           "\"function_call_output\",\"call_id\":\"b\",\"output\":\"2\"},{\"type\":"
           "\"function_call_output\",\"call_id\":\"c\",\"output\":\"3\"},{\"type\":"
           "\"function_call_output\",\"call_id\":\"a\",\"output\":\"1\"}]}",
           sorted);
    /* Of unknown calls: as they came. */
    expect(anthropic, CALLS RESULT("c", "3") "," RESULT("x", "1") "]}]}",
           "<|assistant|><think></think><tool_call>f</tool_call><tool_call>g</tool_call>"
           "<tool_call>h"
           "</tool_call><|observation|><tool_response>3</tool_response><tool_response>1"
           "</tool_response>" ASK);
}

static void test_anthropic_blocks(void **state)
{
    (void)state;
    expect(anthropic,
           "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{"
           "\"type\":\"image\",\"source\":{\"type\":\"base64\",\"data\":\"AA\"}},{\"type\":"
           "\"document\",\"title\":\"T\",\"source\":{\"type\":\"text\",\"data\":\"body\"}},{"
           "\"type\":\"server_tool_use\",\"id\":\"s\"}]}]}",
           "<|user|>see\n<reminder>You are unable to process this image because you don't have "
           "multi-modal input ability. Try different methods.</reminder>\nT\nbody" ASK);
    expect(anthropic,
           "{\"tools\":[{\"name\":\"deep\",\"description\":\"D\",\"input_schema\":{\"type\":"
           "\"object\"},\"defer_loading\":true,\"cache_control\":{\"type\":\"ephemeral\"}}],"
           "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
           "\"tool_use_id\":\"a\",\"content\":[{\"type\":\"tool_reference\",\"tool_name\":\"deep\"}"
           "]}]}]}",
           "<|system|>\n# Tools\n\nYou may call one or more functions to assist with the user "
           "query.\n\nYou are provided with function signatures within <tools></tools> XML "
           "tags:\n<tools>\n</tools>\n\nFor each function call, output the function name and "
           "arguments within the following XML format:\n<tool_call>{function-name}<arg_key>"
           "{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value><arg_key>{arg-key-2}"
           "</arg_key><arg_value>{arg-value-2}</arg_value>...</tool_call>"
           "<|observation|><tool_response><tools>\n{\"name\": \"deep\", \"description\": \"D\", "
           "\"parameters\": {\"type\": \"object\"}}\n</tools></tool_response>" ASK);
}

/* Reasoning that was not shown comes back in the signature. */
static void test_anthropic_hidden(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "ab", "abc", "abcd", "Gr\xC3\xBC\xC3\x9F Gott, 42!"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buf request, wanted;
        buf_init(&request);
        buf_init(&wanted);
        buf_adds(&request,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
                 "\"content\":[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"");
        hidden_seal(texts[i], strlen(texts[i]), &request);
        buf_adds(&request, "\"},{\"type\":\"text\",\"text\":\"a\"}]},{\"role\":\"user\","
                           "\"content\":\"r\"}]}");
        buf_addf(&wanted, "<|user|>q<|assistant|><think>%s</think>a<|user|>r" ASK, texts[i]);
        expect(anthropic, request.data, wanted.data);
        buf_deinit(&request);
        buf_deinit(&wanted);
    }
    static const char *const foreign[] = {"", "EqQBCkgIBxABGAIiQ", "glim1.", "glim1.!!!!",
                                          "glim1.YQ=", "glim1.Y===", "glim1.====",
                                          "glim1.YQ==YQ=="};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        struct buf out;
        buf_init(&out);
        struct json_object *const s = json_object_new_string(foreign[i]);
        assert_false(hidden_open(s, &out));
        assert_int_equal(out.len, 0);
        json_object_put(s);
        buf_deinit(&out);
    }
}

#define EDIT(keep)                                                                                 \
    "\"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\"" keep "}]},"
#define THOUGHTS                                                                                   \
    "\"messages\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":[{"   \
    "\"type\":\"thinking\",\"thinking\":\"A\"},{\"type\":\"text\",\"text\":\"a\"}]},{\"role\":"    \
    "\"user\",\"content\":\"2\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\","     \
    "\"thinking\":\"B\"},{\"type\":\"tool_use\",\"id\":\"x\",\"name\":\"f\",\"input\":{}}]},{"     \
    "\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"x\",\"content\":"  \
    "\"r\"},{\"type\":\"text\",\"text\":\"go on\"}]}]}"
#define THOUGHT_PROMPT(a, b)                                                                       \
    "<|user|>1<|assistant|><think>" a "</think>a<|user|>2<|assistant|><think>" b                   \
    "</think><tool_call>f</tool_call><|observation|><tool_response>r</tool_response><|user|>go on" \
    ASK

static void test_anthropic_clear_thinking(void **state)
{
    (void)state;
    expect(anthropic, "{" THOUGHTS, THOUGHT_PROMPT("A", "B"));
    expect(anthropic, "{" EDIT(",\"keep\":\"all\"") THOUGHTS, THOUGHT_PROMPT("A", "B"));
    expect(anthropic, "{" EDIT("") THOUGHTS, THOUGHT_PROMPT("", "B"));
    expect(anthropic, "{" EDIT(",\"keep\":{\"type\":\"thinking_turns\",\"value\":2}") THOUGHTS,
           THOUGHT_PROMPT("A", "B"));
    expect(anthropic, "{" EDIT(",\"keep\":{\"type\":\"thinking_turns\",\"value\":0}") THOUGHTS,
           THOUGHT_PROMPT("", ""));
}

static void test_anthropic_tools(void **state)
{
    (void)state;
    struct json_object *const body = parse(
        "{\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"},{\"type\":"
        "\"web_search_20250305\",\"name\":\"web_search\",\"max_uses\":5},{\"type\":\"custom\","
        "\"name\":\"f\",\"input_schema\":{\"type\":\"object\"},\"strict\":false},{\"type\":"
        "\"text_editor_20250728\",\"name\":\"str_replace_based_edit_tool\"}]}");
    struct json_object *tools;
    const struct fields s = {body, "", NULL};
    assert_int_equal(anthropic_tools(&s, &tools), 0);
    assert_int_equal(json_object_array_length(tools), 3);
    static const char *const names[] = {"bash", "f", "str_replace_based_edit_tool"};
    for (size_t i = 0; i < 3; i++) {
        struct json_object *const f =
            json_object_object_get(json_object_array_get_idx(tools, i), "function");
        assert_string_equal(json_object_get_string(json_object_object_get(f, "name")), names[i]);
        assert_true(json_object_is_type(json_object_object_get(f, "parameters"), json_type_object));
    }
    json_object_put(tools);
    json_object_put(body);
}

static void test_anthropic_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "messages: is missing, expected an array"},
        {"{\"messages\":[]}", "messages: at least one message is required"},
        {"{\"messages\":\"hi\"}", "messages: a string, expected an array"},
        {"{\"messages\":[1]}", "messages[0]: an integer, expected an object"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
         "messages[0].role: expected \"user\", \"assistant\" or \"system\", found \"tool\""},
        {"{\"messages\":[{\"role\":\"user\"}]}",
         "messages[0].content: is missing, expected a string or an array"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
         "messages[0].content[0].text: is missing, expected a string"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
         "messages[0].content[0].type: is missing, expected a string"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_use\",\"name\""
        ":\"f\"}]}]}",
         "messages[0].content[0]: a block \"tool_use\" in a message of \"user\""},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":[{"
         "\"type\":\"tool_result\"}]}]}]}",
         "messages[0].content[0].content[0]: a block \"tool_result\" in a message of \"tool\""},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"name\":"
         "\"f\",\"input\":\"{}\"}]}]}",
         "messages[0].content[0].input: a string, expected an object"},
        {"{\"system\":5,\"messages\":[]}", "system: an integer, expected an array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_object *const body = parse(cases[i][0]), *messages;
        struct fault f;
        const struct fields s = {body, "", &f};
        bool prefill;
        assert_int_equal(anthropic_messages(&s, &messages, &prefill), -1);
        assert_string_equal(f.text, cases[i][1]);
        assert_true(strncmp(f.text, f.param, strlen(f.param)) == 0 && *f.param);
        assert_null(messages);
        json_object_put(body);
    }
}

/* ---- Responses ---- */

static void test_responses_items(void **state)
{
    (void)state;
    expect(responses, "{\"instructions\":\"I\",\"input\":\"hi\"}", "<|system|>I<|user|>hi" ASK);
    expect_same(responses, "{\"instructions\":\"I\",\"input\":\"hi\"}",
                "{\"input\":[{\"type\":\"message\",\"role\":\"developer\",\"content\":[{\"type\":"
                "\"input_text\",\"text\":\"I\"}]},{\"role\":\"user\",\"content\":\"hi\"}]}");
    expect(responses,
           "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"a\"},{"
           "\"type\":\"input_image\",\"image_url\":\"data:\"}]},{\"type\":\"reasoning\",\"id\":"
           "\"rs_1\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hm\"}],"
           "\"encrypted_content\":null},{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{"
           "\"type\":\"output_text\",\"text\":\"Look:\",\"annotations\":[]}]},{\"type\":"
           "\"function_call\",\"id\":\"fc\",\"call_id\":\"c1\",\"name\":\"ls\",\"arguments\":"
           "\"{\\\"path\\\": \\\"/\\\"}\"},{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":"
           "\"spawn\",\"namespace\":\"agents\",\"arguments\":\"\"},{\"type\":"
           "\"function_call_output\",\"call_id\":\"c1\",\"output\":\"x y\"},{\"type\":"
           "\"function_call_output\",\"call_id\":\"c2\",\"output\":[{\"type\":\"input_text\","
           "\"text\":\"ok\"}]},{\"type\":\"web_search_call\",\"id\":\"ws\"},{\"type\":"
           "\"custom_tool_call\",\"call_id\":\"c3\",\"name\":\"patch\",\"input\":\"*** Begin\"},{"
           "\"type\":\"custom_tool_call_output\",\"call_id\":\"c3\",\"output\":\"done\"}]}",
           "<|user|>a\n<reminder>You are unable to process this image because you don't have "
           "multi-modal input ability. Try different methods.</reminder>"
           "<|assistant|><think>hm</think>Look:<tool_call>ls<arg_key>path</arg_key><arg_value>/"
           "</arg_value></tool_call><tool_call>agents__spawn</tool_call>"
           "<|observation|><tool_response>x y</tool_response><tool_response>ok</tool_response>"
           "<|assistant|><think></think><tool_call>patch<arg_key>input</arg_key><arg_value>*** "
           "Begin</arg_value></tool_call><|observation|><tool_response>done</tool_response>" ASK);
}

static void test_responses_tools(void **state)
{
    (void)state;
    struct json_object *const body = parse(
        "{\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"F\",\"parameters\":{},"
        "\"strict\":false},{\"type\":\"namespace\",\"name\":\"agents\",\"description\":\"A\","
        "\"tools\":[{\"type\":\"function\",\"name\":\"spawn\",\"parameters\":{}},{\"type\":"
        "\"function\",\"name\":\"f\",\"parameters\":{}}]},{\"type\":\"namespace\",\"name\":"
        "\"mcp__x__\",\"tools\":[{\"type\":\"function\",\"name\":\"y\"}]},{\"type\""
        ":\"web_search\"},"
        "{\"type\":\"image_generation\"},{\"type\":\"custom\",\"name\":\"patch\",\"description\":"
        "\"P\",\"format\":{\"type\":\"grammar\",\"syntax\":\"regex\",\"definition\":\"x+\"}}]}");
    struct json_object *tools, *known;
    const struct fields s = {body, "", NULL};
    assert_int_equal(responses_tools(&s, &tools, &known), 0);
    assert_string_equal(
        json_object_to_json_string_ext(known, JSON_C_TO_STRING_PLAIN),
        "{\"agents__spawn\":{\"name\":\"spawn\",\"custom\":false,\"namespace\":\"agents\"},"
        "\"agents__f\":{\"name\":\"f\",\"custom\":false,\"namespace\":\"agents\"},"
        "\"mcp__x__y\":{\"name\":\"y\",\"custom\":false,\"namespace\":\"mcp__x__\"},"
        "\"patch\":{\"name\":\"patch\",\"custom\":true},"
        "\"spawn\":{\"name\":\"spawn\",\"custom\":false,\"namespace\":\"agents\"},"
        "\"y\":{\"name\":\"y\",\"custom\":false,\"namespace\":\"mcp__x__\"}}");
    assert_string_equal(
        json_object_to_json_string_ext(json_object_array_get_idx(tools, 0), JSON_C_TO_STRING_PLAIN),
        "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"F\",\"parameters\":"
        "{},\"strict\":false}}");
    assert_string_equal(
        json_object_to_json_string_ext(json_object_array_get_idx(tools, 4), JSON_C_TO_STRING_PLAIN),
        "{\"type\":\"function\",\"function\":{\"name\":\"patch\",\"description\":\"P\\n\\nThe"
        " input "
        "follows this regex grammar:\\nx+\",\"parameters\":{\"type\":\"object\""
        ",\"properties\":"
        "{\"input\":{\"type\":\"string\",\"pattern\":\"^(?:x+)$\"}},\"required\":[\"input\"],"
        "\"additionalProperties\":false},\"strict\":true}}");
    assert_int_equal(json_object_array_length(tools), 5);
    json_object_put(tools);
    json_object_put(known);
    json_object_put(body);
}

static void test_responses_refusals(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{}", "input: is missing, expected a string or an array"},
        {"{\"input\":7}", "input: an integer, expected a string or an array"},
        {"{\"input\":[{\"role\":\"bot\",\"content\":\"x\"}]}",
         "input[0].role: expected \"user\", \"assistant\", \"system\" or \"developer\", found "
         "\"bot\""},
        {"{\"input\":[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"[]\"}]}",
         "input[0].arguments: expected the text of a JSON object"},
        {"{\"input\":[{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":{}}]}",
         "input[0].arguments: an object, expected a string"},
        {"{\"input\":[{\"type\":\"item_reference\",\"id\":\"msg_1\"}]}",
         "input[0]: item \"msg_1\" is not kept (any more); send the item itself"},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":1}]}]}",
         "input[0].content[0].text: an integer, expected a string"},
        {"{\"instructions\":[],\"input\":\"x\"}", "instructions: an array, expected a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_object *const body = parse(cases[i][0]), *messages;
        struct fault f;
        const struct fields s = {body, "", &f};
        assert_int_equal(responses_messages(&s, NULL, &messages), -1);
        assert_string_equal(f.text, cases[i][1]);
        json_object_put(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anthropic_turns),
        cmocka_unit_test(test_anthropic_same_prompt),
        cmocka_unit_test(test_results_in_order),
        cmocka_unit_test(test_anthropic_blocks),
        cmocka_unit_test(test_anthropic_hidden),
        cmocka_unit_test(test_anthropic_clear_thinking),
        cmocka_unit_test(test_anthropic_tools),
        cmocka_unit_test(test_anthropic_refusals),
        cmocka_unit_test(test_responses_items),
        cmocka_unit_test(test_responses_tools),
        cmocka_unit_test(test_responses_refusals),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
