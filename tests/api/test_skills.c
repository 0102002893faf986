/* The bundled model's skills, as its card (models/README.md) claims them, through the public API.
 *
 * tests/data/nano/heldout.jsonl (tools/nano/eval.py --write) holds prompts that training never saw,
 * with a right answer each. Greedy answers are graded; each skill must reach its floor: what was
 * measured, less one case in twelve for other summation orders at other instruction-set levels.
 *
 *   test_skills        the first cases of each skill
 *   test_skills all    every case
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/buf.h"
#include "glim.h"
#include "util/heldout.h"

#define MODEL "models/glm-nano.gguf"

enum { ANSWER_TOK = 220 };

/* At least `right` of all `cases`, and `few` of the `first`. */
static struct skill {
    const char *name;
    size_t right, cases, few, first;
    size_t seen, good; /* this run */
} skills[] = {
    {.name = "story", .right = 11, .cases = 12, .few = 2, .first = 3},
    {.name = "arithmetic, thinking", .right = 10, .cases = 12, .few = 2, .first = 3},
    {.name = "arithmetic, no thinking", .right = 0, .cases = 12, .few = 0, .first = 3},
    {.name = "tool call, known tools", .right = 11, .cases = 12, .few = 2, .first = 3},
    {.name = "tool call, unseen tools", .right = 8, .cases = 12, .few = 1, .first = 3},
    {.name = "sentence from a tool result", .right = 11, .cases = 12, .few = 2, .first = 3},
    {.name = "JSON", .right = 11, .cases = 12, .few = 2, .first = 3},
    {.name = "small talk", .right = 11, .cases = 12, .few = 2, .first = 3},
    {.name = "recall in 512 tokens", .right = 10, .cases = 11, .few = 3, .first = 3},
    {.name = "recall in 2048 tokens", .right = 10, .cases = 11, .few = 1, .first = 1},
    {.name = "recall in 512 tokens, one of six", .right = 9, .cases = 11, .few = 2, .first = 3},
    {.name = "recall in 2048 tokens, one of six", .right = 7, .cases = 11, .few = 0, .first = 0},
};

static bool all_cases;

/* What follows the reasoning. */
static const char *answer_of(const char *text)
{
    static const char end[] = "</think>";
    const char *p = text;
    for (const char *q; (q = strstr(p, end));)
        p = q + strlen(end);
    return p;
}

static bool last_number_is(const char *text, const char *want)
{
    const char *last = NULL;
    for (const char *p = text; *p; p++)
        if (isdigit((unsigned char)*p) && (p == text || !isdigit((unsigned char)p[-1])))
            last = p;
    const size_t n = strlen(want);
    return last && strncmp(last, want, n) == 0 && !isdigit((unsigned char)last[n]);
}

static bool contains_all(const char *text, struct json_object *values)
{
    for (size_t i = 0; i < json_object_array_length(values); i++)
        if (!strstr(text, json_object_get_string(json_object_array_get_idx(values, i))))
            return false;
    return true;
}

/* A story counts if it names both topics; everything else as the check says. */
static bool is_right(struct json_object *c, const char *text)
{
    struct json_object *check = NULL, *values = NULL;
    assert_true(json_object_object_get_ex(c, "check", &check));
    const char *const kind = heldout_text(check, "kind"), *const answer = answer_of(text);
    if (strcmp(kind, "number") == 0)
        return last_number_is(answer, heldout_text(check, "value"));
    if (strcmp(kind, "story") == 0)
        return strstr(answer, heldout_text(check, "hero"))
            && strstr(answer, heldout_text(check, "thing"));
    if (json_object_object_get_ex(check, "values", &values))
        return contains_all(answer, values);
    return strcmp(answer, answer_of(heldout_text(c, "reference"))) == 0;
}

static int collect(void *ctx, const struct glim_event *ev)
{
    if (ev->kind == GLIM_EVENT_CONTENT)
        buf_add(ctx, ev->text, ev->len);
    return 0;
}

/* The greedy answer to a whole prompt, special tokens and all. */
static void answer(glim_model *m, const char *prompt, struct buf *out)
{
    struct glim_error e;
    glim_tokenizer *tok;
    glim_session *s;
    int32_t *ids;
    struct glim_append a = GLIM_APPEND_INIT;
    assert_int_equal(glim_model_tokenizer(m, &tok, &e), 0);
    assert_int_equal(
        glim_tokenize(tok, prompt, strlen(prompt), GLIM_TOKENIZE_SPECIAL, &ids, &a.n, &e), 0);
    a.tokens = ids;
    assert_int_equal(glim_session_new(&s, m, NULL, &e), 0);
    if (glim_session_append(s, &a, &e) != 0)
        fail_msg("%s", e.text);
    struct glim_generate g = GLIM_GENERATE_INIT;
    g.raw = true;
    g.max_tokens = ANSWER_TOK;
    g.on_event = collect;
    g.ctx = out;
    if (glim_generate(s, &g, NULL, &e) != 0)
        fail_msg("%s", e.text);
    glim_session_free(s);
    glim_free(ids);
}

static void grade(void *ctx, struct json_object *c)
{
    glim_model *const m = ctx;
    const char *const name = heldout_text(c, "skill");
    struct skill *s = skills;
    while (s < skills + sizeof skills / sizeof *skills && strcmp(s->name, name) != 0)
        s++;
    assert_true(s < skills + sizeof skills / sizeof *skills);
    if (!all_cases && s->seen == s->first)
        return;
    struct buf text;
    buf_init(&text);
    answer(m, heldout_text(c, "prompt"), &text);
    s->seen++;
    buf_addc(&text, 0);
    s->good += is_right(c, text.data);
    buf_deinit(&text);
}

static void test_skills(void **state)
{
    (void)state;
    struct glim_error e;
    glim_model *m;
    if (glim_model_open(&m, MODEL, NULL, &e) != 0)
        fail_msg("%s", e.text);
    heldout_each(grade, m);
    glim_model_close(m);
    bool enough = true;
    for (size_t i = 0; i < sizeof skills / sizeof *skills; i++) {
        const struct skill *const s = &skills[i];
        const size_t least = all_cases ? s->right : s->seen ? s->few : 0;
        printf("%-34s %2zu of %2zu right, at least %zu\n", s->name, s->good, s->seen, least);
        enough = enough && s->good >= least && (!all_cases || s->seen == s->cases);
    }
    assert_true(enough);
}

int main(int argc, char **argv)
{
    all_cases = argc == 2 && strcmp(argv[1], "all") == 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_skills)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
