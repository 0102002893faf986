/* pages.c - see pages.h. */
#include "util/pages.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/snapshot_dir.h"
#include "util/files.h"
#include "util/rng.h"

const struct snapshot_key *pages_key;

struct snapshot *pages_open(const char *folder, size_t page_bytes, uint64_t budget,
                            const char *identity)
{
    struct snapshot *s;
    struct err e;
    if (snapshot_open(&s, folder, page_bytes, budget, identity, strlen(identity), &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

void page_make(struct test_page *x, const struct snapshot *s, const struct test_page *before,
               unsigned salt, size_t bytes)
{
    struct rng r = {.state = salt + (before ? before->name.number + 1 : 0) * 1000003ull};
    struct err e;
    for (int i = 0; i < KV_PAGE_TOK; i++) {
        x->token[i] = (int32_t)rng_below(&r, 150000);
        x->role[i] = (uint8_t)rng_below(&r, 2);
    }
    x->bytes = bytes;
    x->rows = malloc(bytes);
    rng_bytes(&r, x->rows, bytes);
    assert_int_equal(
        snapshot_name(s, pages_key, before ? &before->name : NULL, x->token, x->role, &x->name, &e),
        0);
}

void page_free(struct test_page *x)
{
    free(x->rows);
    x->rows = NULL;
}

int page_write(struct snapshot *s, const struct test_page *x, struct err *e)
{
    uint64_t bytes;
    return snapshot_write(s, &x->name, x->token, x->role, x->rows, &bytes, e);
}

bool page_is_there(struct snapshot *s, const struct test_page *x)
{
    uint8_t *const rows = calloc(1, x->bytes);
    const bool there = snapshot_read(s, &x->name, x->token, x->role, rows);
    if (there)
        assert_memory_equal(rows, x->rows, x->bytes);
    free(rows);
    return there;
}

const char *pages_folder(void)
{
    static char path[32][4096];
    static unsigned n;
    char *const at = path[n % 32];
    (void)snprintf(at, sizeof path[0], "%s/kv%u", scratch, n++);
    return at;
}

const char *page_file(const char *folder, const struct test_page *x)
{
    char file[SNAPSHOT_FILE];
    snapshot_file(&x->name, file);
    return path_in(folder, file);
}

unsigned files_in(const char *folder)
{
    unsigned n = 0;
    DIR *const dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *x; (x = readdir(dir));)
        n += x->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}
