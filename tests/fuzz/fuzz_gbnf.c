/* fuzz_gbnf.c - any bytes as a grammar, then an answer of it. The grammar ends at the first byte
 * 0xFF; what follows chooses the tokens. */
#include "fuzz/fuzz.h"
#include "fuzz/grammar_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grammar *g;
    struct err e = {.text = ""};
    struct buf text;
    const uint8_t *const end = size > 0 ? memchr(data, 0xFF, size) : NULL;
    const size_t len = end ? (size_t)(end - data) : size;
    walk_setup();
    if (size == 0)
        return 0;
    if (grammar_from_gbnf(&g, walk_tok, (const char *)data, len, &e) != GLIM_OK) {
        must(!g && strncmp(e.text, "grammar", 7) == 0, "a refusal says what it is about");
        return 0;
    }
    buf_init(&text);
    if (end)
        walk_answer(g, end + 1, size - len - 1, &text);
    buf_deinit(&text);
    grammar_free(g);
    return 0;
}
