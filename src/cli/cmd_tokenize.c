/* cmd_tokenize.c - glim tokenize and glim detokenize. */
#include <stdlib.h>

#include "base/utf8.h"
#include "cli/cmd.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/out.h"

/* A token's bytes on one line: control characters and bytes that are no UTF-8 by themselves as
 * escapes. */
static void print_piece(const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        const bool plain = utf8_classify(text + i, len - i, &n) == UTF8_OK;
        if (text[i] == '\n')
            printf("\\n");
        else if (text[i] == '\\')
            printf("\\\\");
        else if (plain && !utf8_is_control(text + i, n))
            printf("%.*s", (int)n, text + i);
        else
            for (size_t k = 0; k < n; k++)
                printf("\\x%02x", (unsigned char)text[i + k]);
    }
}

static int print_pieces(const glim_tokenizer *t, const int32_t *id, size_t n)
{
    for (size_t i = 0; i < n && !out_failed(); i++) {
        char *text;
        size_t len;
        struct glim_error e;
        if (glim_detokenize(t, &id[i], 1, 0, &text, &len, &e) != GLIM_OK)
            return fail_glim(&e);
        printf("%d\t", id[i]);
        print_piece(text, len);
        putchar('\n');
        glim_free(text);
    }
    return EXIT_OK;
}

static int tokenize_text(const struct opts *o, const glim_tokenizer *t)
{
    struct err e;
    struct glim_error ge;
    struct buf text;
    int32_t *id = NULL;
    size_t n = 0;
    buf_init(&text);
    int code = EXIT_OK;
    if (input_stdin(&text, &e) != GLIM_OK)
        code = fail_err(&e);
    else if (glim_tokenize(t, text.data, text.len, o->special ? GLIM_TOKENIZE_SPECIAL : 0, &id, &n,
                           &ge)
             != GLIM_OK)
        code = fail_glim(&ge);
    else if (o->json)
        ids_print(id, n);
    else
        code = print_pieces(t, id, n);
    glim_free(id);
    buf_deinit(&text);
    return code;
}

static int read_ids(const struct opts *o, struct ids *l, struct err *e)
{
    struct buf text;
    buf_init(&text);
    int rc = GLIM_OK;
    if (o->args == 0)
        rc = input_stdin(&text, e);
    for (int i = 0; i < o->args; i++) {
        buf_adds(&text, o->arg[i]);
        buf_addc(&text, ' ');
    }
    if (rc == GLIM_OK)
        rc = ids_parse(l, text.data, text.len, o->args ? "ids" : "standard input", e);
    buf_deinit(&text);
    return rc;
}

static int detokenize_ids(const struct opts *o, const glim_tokenizer *t)
{
    struct err e;
    struct glim_error ge;
    struct ids l = {0};
    char *text = NULL;
    size_t len = 0;
    int code = EXIT_OK;
    if (read_ids(o, &l, &e) != GLIM_OK)
        code = fail_err(&e);
    else if (glim_detokenize(t, l.id, l.n, o->skip_special ? GLIM_DETOKENIZE_SKIP_SPECIAL : 0,
                             &text, &len, &ge)
             != GLIM_OK)
        code = fail_glim(&ge);
    else
        out_model_text(text, len);
    if (code == EXIT_OK && out_is_terminal() && len && text[len - 1] != '\n')
        putchar('\n');
    glim_free(text);
    ids_deinit(&l);
    return code;
}

static int with_tokenizer(const struct opts *o,
                          int (*fn)(const struct opts *o, const glim_tokenizer *t))
{
    glim_tokenizer *t;
    struct glim_error e;
    if (model_tokenizer(o, &t, &e) != GLIM_OK)
        return fail_glim(&e);
    const int code = fn(o, t);
    glim_tokenizer_close(t);
    return code;
}

int cmd_tokenize(const struct opts *o) { return with_tokenizer(o, tokenize_text); }
int cmd_detokenize(const struct opts *o) { return with_tokenizer(o, detokenize_ids); }
