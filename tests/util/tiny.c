/* tiny.c - see tiny.h. */
#include "util/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "util/files.h"

#define GOLDEN "tests/data/golden/"

static void copy_file(const char *from, const char *to)
{
    struct buf b;
    FILE *const in = fopen(from, "rb");
    assert_non_null(in);
    buf_init(&b);
    for (int c; (c = getc(in)) != EOF;)
        buf_addc(&b, (char)c);
    fclose(in);
    write_file(to, b.data, b.len);
    buf_deinit(&b);
}

/* Ids 0 to 93 are the characters from '!' to '~'; the model's other ids have no text. */
static void write_tokenizer(const char *path)
{
    struct buf b;
    buf_init(&b);
    buf_adds(&b, "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, "
                 "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
                 "\"Split\", \"pattern\": {\"Regex\": \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
                 "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
                 "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, \"behavior\": "
                 "\"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", "
                 "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}]}, "
                 "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\", "
                 "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, "
                 "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
                 "\"continuing_subword_prefix\": \"\", \"end_of_word_suffix\": \"\", "
                 "\"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": true, "
                 "\"vocab\": {");
    for (int c = '!'; c <= '~'; c++)
        buf_addf(&b, "%s\"%s%c\": %d", c == '!' ? "" : ", ", c == '"' || c == '\\' ? "\\" : "", c,
                 c - '!');
    buf_adds(&b, "}, \"merges\": []}}");
    write_text(path, b.data);
    buf_deinit(&b);
}

char *tiny_folder(const char *name)
{
    char *const folder = scratch_new();
    char from[256];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)snprintf(from, sizeof from, GOLDEN "%s/%s", name, files[i]);
        copy_file(from, path_in(folder, files[i]));
    }
    write_tokenizer(path_in(folder, "tokenizer.json"));
    return folder;
}

void tiny_open_folder(struct tiny *t, char *folder, uint64_t context)
{
    t->folder = folder;
    t->model = answer_model(folder);
    t->vocab = glim_model_info(t->model)->vocab;
    t->plain = answer_session(t->model, context, 16, false);
    t->calm = answer_session(t->model, context, 16, true);
    /* chunks shorter than a verification */
    t->drafting = answer_session(t->model, context, 3, true);
}

void tiny_open(struct tiny *t, const char *name, uint64_t context)
{
    tiny_open_folder(t, tiny_folder(name), context);
}

void tiny_close(struct tiny *t)
{
    glim_session_free(t->plain);
    glim_session_free(t->calm);
    glim_session_free(t->drafting);
    glim_model_close(t->model);
    scratch_remove(t->folder);
}

int32_t tiny_token(size_t i) { return (int32_t)((i * 37 + 11) % 90); }

void tiny_prompt(glim_session *s, bool in_pieces)
{
    int32_t token[TINY_PROMPT];
    for (size_t i = 0; i < TINY_PROMPT; i++)
        token[i] = tiny_token(i);
    assert_int_equal(glim_session_rewind(s, 0, NULL), 0);
    if (!in_pieces) {
        answer_append(s, token, TINY_PROMPT, 0);
        return;
    }
    answer_append(s, token, 7, 0);
    answer_append(s, token, 9, GLIM_APPEND_DECODE);
    assert_int_equal(glim_session_rewind(s, 7, NULL), 0);
    answer_append(s, token + 7, 12, 0);
    answer_append(s, token + 3, 1, 0);
    answer_append(s, token + 3, 1, GLIM_APPEND_DECODE);
    assert_int_equal(glim_session_rewind(s, 18, NULL), 0);
    answer_append(s, token + 18, 2, 0);
}

void tiny_check(struct tiny *t, const struct glim_generate *g, int drafts, size_t stop_after)
{
    struct answer plain, calm, drafted;
    tiny_prompt(t->plain, false);
    tiny_prompt(t->calm, false);
    tiny_prompt(t->drafting, true);
    answer_make(&plain, t->plain, g, GLIM_DRAFTS_AUTO, stop_after, t->vocab);
    answer_make(&calm, t->calm, g, GLIM_DRAFTS_OFF, stop_after, t->vocab);
    answer_make(&drafted, t->drafting, g, drafts, stop_after, t->vocab);
    answer_same(&plain, &calm, t->vocab);
    answer_same(&plain, &drafted, t->vocab);
    assert_int_equal(plain.usage.verifications + calm.usage.verifications, 0);
    answer_future(t->calm, t->drafting, true, t->vocab);
    drafts_count(&drafted);
    answer_deinit(&plain);
    answer_deinit(&calm);
    answer_deinit(&drafted);
}

void tiny_poison(const char *path, int32_t token, uint64_t vocab)
{
    struct buf b;
    FILE *const in = fopen(path, "rb");
    unsigned long long from, to;
    assert_non_null(in);
    buf_init(&b);
    for (int c; (c = getc(in)) != EOF;)
        buf_addc(&b, (char)c);
    fclose(in);
    uint64_t header;
    memcpy(&header, b.data, sizeof header);
    const char *at = strstr(b.data + 8, "\"model.embed_tokens.weight\"");
    assert_non_null(at);
    at = strstr(at, "data_offsets");
    assert_non_null(at);
    assert_int_equal(sscanf(strchr(at, '['), "[%llu,%llu]", &from, &to), 2);
    const uint64_t row = (to - from) / vocab;
    memset(b.data + 8 + header + from + (uint64_t)token * row, 0xff, row);
    write_file(path, b.data, b.len);
    buf_deinit(&b);
}
