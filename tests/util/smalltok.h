/* smalltok.h - a tokenizer of 256 bytes, some words and GLM's added tokens, for tests and fuzzers;
 * header only. */
#ifndef GLIM_TESTS_SMALLTOK_H
#define GLIM_TESTS_SMALLTOK_H

#include <assert.h>
#include <string.h>

#include "text/tokenizer.h"

enum { SMALLTOK_BYTES = 256 }; /* ids 0..255 are the bytes */

static const char *const smalltok_special[] = {"<|endoftext|>",  "[MASK]",   "[gMASK]",
                                               "[sMASK]",        "<sop>",    "<eop>",
                                               "<|system|>",     "<|user|>", "<|assistant|>",
                                               "<|observation|>"};
static const char *const smalltok_added[] = {"<think>",      "</think>",        "<tool_call>",
                                             "</tool_call>", "<tool_response>", "</tool_response>",
                                             "<arg_key>",    "</arg_key>",      "<arg_value>",
                                             "</arg_value>", "/nothink"};

/* The byte in GPT-2's alphabet; out has 2 bytes and more. Returns the length. */
static inline size_t smalltok_char(unsigned byte, char *out)
{
    unsigned n = 0;
    for (unsigned c = 0; c < byte; c++)
        n += !((c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0xAC) || c >= 0xAE);
    const int plain =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const unsigned c = plain ? byte : 0x100 + n;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
}

static inline int smalltok_list(struct tok_builder *b, const char *const *text, size_t n,
                                enum tok_attr attr, struct err *e)
{
    int rc = GLIM_OK;
    for (size_t i = 0; rc == GLIM_OK && i < n; i++)
        rc = tok_builder_token(b, text[i], strlen(text[i]), attr, e);
    return rc;
}

/* The 256 bytes as ids 0..255. */
static inline int smalltok_bytes(struct tok_builder *b, struct err *e)
{
    int rc = GLIM_OK;
    for (unsigned c = 0; rc == GLIM_OK && c < SMALLTOK_BYTES; c++) {
        char text[4];
        rc = tok_builder_token(b, text, smalltok_char(c, text), TOK_NORMAL, e);
    }
    return rc;
}

/* merges: "a b", in byte-level form; each one's result becomes the next id. With or without GLM's
 * added tokens. */
static inline struct tok *smalltok_new(const char *pre, const char *const *merges, size_t n,
                                       bool added)
{
    struct err e = {0};
    struct tok_builder *b = NULL;
    struct tok *t = NULL;
    int rc = tok_builder_new(&b, &e);
    if (rc == GLIM_OK)
        rc = smalltok_bytes(b, &e);
    for (size_t i = 0; rc == GLIM_OK && i < n; i++) {
        char joined[2048];
        const size_t left = strcspn(merges[i], " ");
        assert(strlen(merges[i]) < sizeof joined);
        memcpy(joined, merges[i], left);
        memcpy(joined + left, merges[i] + left + 1, strlen(merges[i]) - left);
        rc = tok_builder_token(b, joined, strlen(joined), TOK_NORMAL, &e);
        if (rc == GLIM_OK)
            rc = tok_builder_merge(b, merges[i], strlen(merges[i]), &e);
    }
    if (rc == GLIM_OK && added)
        rc = smalltok_list(b, smalltok_special, sizeof smalltok_special / sizeof *smalltok_special,
                           TOK_SPECIAL, &e);
    if (rc == GLIM_OK && added)
        rc = smalltok_list(b, smalltok_added, sizeof smalltok_added / sizeof *smalltok_added,
                           TOK_ADDED, &e);
    if (rc == GLIM_OK)
        rc = tok_builder_finish(b, pre, &t, &e);
    assert(rc == GLIM_OK);
    (void)rc;
    return t;
}

#endif
