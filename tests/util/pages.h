/* pages.h - whole pages of made-up rows for tests of snapshots. */
#ifndef GLIM_TESTS_UTIL_PAGES_H
#define GLIM_TESTS_UTIL_PAGES_H

#include "cache/kv.h"
#include "cache/snapshot.h"

/* A page with its name and what names it; `bytes` of rows. */
struct test_page {
    struct snapshot_name name;
    int32_t token[KV_PAGE_TOK];
    uint8_t role[KV_PAGE_TOK];
    uint8_t *rows;
    size_t bytes;
};

/* A folder's snapshots, with an identity of that text; fails the test if it cannot be. */
struct snapshot *pages_open(const char *folder, size_t page_bytes, uint64_t budget,
                            const char *identity);
/* What names of pages are made with; NULL: plain ones. */
extern const struct snapshot_key *pages_key;

/* Number i of a path: the same for the same salt, path and size. before: NULL for i = 0. */
void page_make(struct test_page *x, const struct snapshot *s, const struct test_page *before,
               unsigned salt, size_t bytes);
void page_free(struct test_page *x);
/* snapshot_write. */
int page_write(struct snapshot *s, const struct test_page *x, struct err *e);
/* True: it was read, with the right bits; false: absent. Anything else fails the test. */
bool page_is_there(struct snapshot *s, const struct test_page *x);

/* The path of a new folder's snapshots in `scratch`, one of 32 static buffers; nothing is made. */
const char *pages_folder(void);
/* The file of a page, in one of path_in's buffers; how many files a folder has. */
const char *page_file(const char *folder, const struct test_page *x);
unsigned files_in(const char *folder);

#endif
