/* files.c - see files.h. */
#include "util/files.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

char *scratch_new(void)
{
    const char *const tmp = getenv("TMPDIR");
    struct buf b;
    buf_init(&b);
    buf_addf(&b, "%s/glim-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    char *const folder = buf_take(&b, NULL);
    if (!folder || !mkdtemp(folder))
        fail_msg("no scratch folder");
    return folder;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_remove(char *folder)
{
    if (folder)
        (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

char *scratch;

int scratch_setup(void **state)
{
    (void)state;
    scratch = scratch_new();
    return 0;
}

int scratch_teardown(void **state)
{
    (void)state;
    scratch_remove(scratch);
    return 0;
}

const char *path_in(const char *folder, const char *name)
{
    static char text[8][4096];
    static unsigned next;
    char *const p = text[next++ % 8];
    (void)snprintf(p, sizeof text[0], "%s/%s", folder, name);
    return p;
}

void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *const f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        fail_msg("cannot write %s", path);
}

void write_text(const char *path, const char *text) { write_file(path, text, strlen(text)); }

static void put_le(struct buf *b, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        buf_addc(b, (char)(v >> (8 * i) & 0xff));
}

void put_u32(struct buf *b, uint32_t v) { put_le(b, v, 4); }
void put_u64(struct buf *b, uint64_t v) { put_le(b, v, 8); }

void put_f32(struct buf *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_u32(b, bits);
}

void put_zeros(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addc(b, 0);
}

void put_str(struct buf *b, const char *s)
{
    put_u64(b, strlen(s));
    buf_adds(b, s);
}

void put_key(struct buf *b, const char *key, uint32_t type)
{
    put_str(b, key);
    put_u32(b, type);
}

void put_info(struct buf *b, const char *name, int rank, const uint64_t *dim, uint32_t type,
              uint64_t offset)
{
    put_str(b, name);
    put_u32(b, (uint32_t)rank);
    for (int i = 0; i < rank; i++)
        put_u64(b, dim[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

void put_gguf_head(struct buf *b, uint32_t version, uint64_t tensors, uint64_t pairs)
{
    buf_adds(b, "GGUF");
    put_u32(b, version);
    put_u64(b, tensors);
    put_u64(b, pairs);
}

void put_align(struct buf *b, size_t align)
{
    while (b->len % align != 0)
        buf_addc(b, 0);
}

void write_safetensors(const char *path, const char *header, size_t data_bytes)
{
    struct buf b;
    buf_init(&b);
    put_u64(&b, strlen(header));
    buf_adds(&b, header);
    for (size_t i = 0; i < data_bytes; i++)
        buf_addc(&b, (char)i);
    write_file(path, b.data, b.len);
    buf_deinit(&b);
}

void expect_error(int rc, int code, const struct err *e, ...)
{
    if (rc != code)
        fail_msg("returned %d (%s), expected %d", rc, rc == 0 ? "no error" : e->text, code);
    va_list ap;
    va_start(ap, e);
    for (const char *s; (s = va_arg(ap, const char *)) != NULL;) {
        if (!strstr(e->text, s))
            fail_msg("message '%s' does not hold '%s'", e->text, s);
    }
    va_end(ap);
}
