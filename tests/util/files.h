/* files.h - little files for tests: a scratch folder, safetensors and GGUF built byte by byte. */
#ifndef GLIM_TESTS_UTIL_FILES_H
#define GLIM_TESTS_UTIL_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* A new empty folder under $TMPDIR or /tmp; the caller gives it to scratch_remove. Aborts the test
 * on failure. */
char *scratch_new(void);
void scratch_remove(char *folder);

/* The folder of a test program whose group is run with this set-up and tear-down. */
extern char *scratch;
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* folder/name in one of eight static buffers. */
const char *path_in(const char *folder, const char *name);

void write_file(const char *path, const void *bytes, size_t n);
void write_text(const char *path, const char *text);

/* Bytes, little-endian. */
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
void put_f32(struct buf *b, float v);
void put_zeros(struct buf *b, size_t n);
/* GGUF: a string with its length; a pair's key and type; a tensor's info. */
void put_str(struct buf *b, const char *s);
void put_key(struct buf *b, const char *key, uint32_t type);
void put_info(struct buf *b, const char *name, int rank, const uint64_t *dim, uint32_t type,
              uint64_t offset);
void put_gguf_head(struct buf *b, uint32_t version, uint64_t tensors, uint64_t pairs);
void put_align(struct buf *b, size_t align);

/* A .safetensors file of this header and `data_bytes` bytes 0, 1, 2 ... */
void write_safetensors(const char *path, const char *header, size_t data_bytes);

/* Fails the test unless rc is `code` and the message holds every one of the given strings (last one
 * NULL). */
void expect_error(int rc, int code, const struct err *e, ...) __attribute__((sentinel));

#endif
