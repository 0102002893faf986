/* test_snapshot.c - pages in a folder: what is read has the bits that were written, and whatever
 * is torn, changed or of something else is as if it were not there. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#if GLIM_WITH_SSL
#include <openssl/kdf.h>
#include <openssl/params.h>
#endif

#include "base/io.h"
#include "util/files.h"
#include "util/pages.h"

#if GLIM_WITH_ZSTD && GLIM_WITH_SSL

enum { BYTES = 700, BUDGET = 1 << 30 };

/* ---- with a key ---- */

static struct snapshot_key alice, bob;

static void make_key(struct snapshot_key *k, const char *secret)
{
    struct err e;
    if (snapshot_key_init(k, secret, strlen(secret), &e) != 0)
        fail_msg("%s", e.text);
}

static int with_key(void **state)
{
    (void)state;
    make_key(&alice, "sk-alice-0123456789");
    make_key(&bob, "sk-bob-0123456789");
    pages_key = &alice;
    return 0;
}

static int without_key(void **state)
{
    (void)state;
    pages_key = NULL;
    return 0;
}

static void hkdf(const void *secret, size_t secrets, const void *salt, size_t salts,
                 const char *info, int mode, uint8_t out[SNAPSHOT_KEY])
{
    EVP_KDF *const kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *const c = EVP_KDF_CTX_new(kdf);
    char hash[] = "SHA256";
    OSSL_PARAM p[6], *at = p;
    *at++ = OSSL_PARAM_construct_int("mode", &mode);
    *at++ = OSSL_PARAM_construct_utf8_string("digest", hash, 0);
    *at++ = OSSL_PARAM_construct_octet_string("key", (void *)(uintptr_t)secret, secrets);
    *at++ = OSSL_PARAM_construct_octet_string("salt", (void *)(uintptr_t)salt, salts);
    *at++ = OSSL_PARAM_construct_octet_string("info", (void *)(uintptr_t)info, strlen(info));
    *at = OSSL_PARAM_construct_end();
    assert_int_equal(EVP_KDF_derive(c, out, SNAPSHOT_KEY, p), 1);
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
}

/* As OpenSSL's own HKDF derives them. */
static void test_derivation(void **state)
{
    (void)state;
    static const char secret[] = "sk-alice-0123456789", salt[] = "glim kv 1";
    struct snapshot_key k;
    struct err e;
    uint8_t want[SNAPSHOT_KEY];
    make_key(&k, secret);
    hkdf(secret, strlen(secret), salt, strlen(salt), "names", EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND,
         want);
    assert_memory_equal(k.names, want, sizeof want);
    hkdf(secret, strlen(secret), salt, strlen(salt), "pages", EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND,
         want);
    assert_memory_equal(k.pages, want, sizeof want);
    expect_error(snapshot_key_init(&k, secret, SNAPSHOT_SECRET_MIN - 1, &e), GLIM_EINVAL, &e, "15",
                 "16", NULL);
    assert_int_equal(snapshot_key_init(&k, secret, SNAPSHOT_SECRET_MIN, &e), 0);
    snapshot_key_deinit(&k);
    static const struct snapshot_key zero;
    assert_memory_equal(&k, &zero, sizeof k);
}

static char *file_of(const char *folder, const struct test_page *x, size_t *n)
{
    char *bytes;
    struct err e;
    if (io_read_file(page_file(folder, x), 1 << 20, &bytes, n, &e) != 0)
        fail_msg("%s", e.text);
    return bytes;
}

/* A page's file says nothing of its tokens, roles or rows, and is another one each time; without a
 * key all of them can be found in it. */
static void test_nothing_to_read(void **state)
{
    (void)state;
    for (int keyed = 0; keyed < 2; keyed++) {
        pages_key = keyed ? &alice : NULL;
        const char *const at = pages_folder();
        struct snapshot *const s = pages_open(at, BYTES, BUDGET, "x");
        struct test_page p;
        struct err e;
        size_t n, m;
        page_make(&p, s, NULL, 7, BYTES);
        assert_int_equal(page_write(s, &p, &e), 0);
        char *const bytes = file_of(at, &p, &n);
        for (size_t i = 0; i + 16 <= BYTES; i += 16)
            assert_int_equal(memmem(bytes, n, p.rows + i, 16) == NULL, keyed);
        for (int i = 0; i + 2 <= KV_PAGE_TOK; i += 2)
            assert_int_equal(memmem(bytes, n, &p.token[i], 2 * sizeof *p.token) == NULL, keyed);
        assert_int_equal(memmem(bytes, n, p.role, sizeof p.role) == NULL, keyed);
        snapshot_remove(s, &p.name);
        assert_false(snapshot_touch(s, &p.name));
        assert_int_equal(page_write(s, &p, &e), 0);
        char *const again = file_of(at, &p, &m);
        assert_int_equal(n, m);
        assert_int_equal(memcmp(bytes, again, n) != 0, keyed);
        free(bytes);
        free(again);
        page_free(&p);
        snapshot_close(s);
    }
    pages_key = &alice;
}

/* The same page has other names with other keys, and is not read with another one whatever its name
 * is. */
static void test_others_find_nothing(void **state)
{
    (void)state;
    const struct snapshot_key *const keys[] = {&alice, &bob, NULL};
    const char *const at = pages_folder();
    struct snapshot *const s = pages_open(at, BYTES, BUDGET, "x");
    struct test_page p[3];
    struct err e;
    for (int i = 0; i < 3; i++) {
        pages_key = keys[i];
        page_make(&p[i], s, NULL, 1, BYTES);
    }
    assert_int_equal(page_write(s, &p[0], &e), 0);
    for (int i = 1; i < 3; i++) {
        assert_memory_equal(p[i].token, p[0].token, sizeof p[0].token);
        assert_memory_not_equal(p[i].name.hash, p[0].name.hash, SNAPSHOT_HASH);
        assert_false(page_is_there(s, &p[i]));
        struct test_page wrong = p[0];
        wrong.name.key = keys[i];
        size_t n;
        char *const bytes = file_of(at, &p[0], &n);
        assert_false(page_is_there(s, &wrong));
        write_file(page_file(at, &p[i]), bytes, n);
        assert_false(page_is_there(s, &p[i]));
        assert_int_equal(page_write(s, &p[0], &e), 0);
        assert_true(page_is_there(s, &p[0]));
        free(bytes);
    }
    assert_int_equal(files_in(at), 1);
    for (int i = 0; i < 3; i++)
        page_free(&p[i]);
    snapshot_close(s);
}

/* ---- both ---- */

/* Every type of rows, as pages of that layout. */
static void test_round_trip(void **state)
{
    (void)state;
    static const uint8_t index[2] = {1, 0};
    for (enum kv_type t = 0; t < KV_TYPE_COUNT; t++) {
        const struct kv_layout l = {2, 128, 64, 128, index, t == KV_I8 ? KV_F16 : t, KV_I8};
        const char *const at = pages_folder();
        struct snapshot *s = pages_open(at, kv_page_bytes(&l), BUDGET, "x");
        struct test_page p[3];
        struct err e;
        for (int i = 0; i < 3; i++) {
            page_make(&p[i], s, i ? &p[i - 1] : NULL, 1, kv_page_bytes(&l));
            assert_false(snapshot_touch(s, &p[i].name));
            assert_false(page_is_there(s, &p[i]));
            assert_int_equal(page_write(s, &p[i], &e), 0);
            assert_int_equal(page_write(s, &p[i], &e), 0);
        }
        snapshot_close(s);
        s = pages_open(at, kv_page_bytes(&l), BUDGET, "x");
        for (int i = 0; i < 3; i++) {
            assert_true(snapshot_touch(s, &p[i].name));
            assert_true(page_is_there(s, &p[i]));
            page_free(&p[i]);
        }
        assert_int_equal(files_in(at), 3);
        snapshot_close(s);
    }
}

/* Names say all that stands before. */
static void test_names(void **state)
{
    (void)state;
    struct snapshot *const s = pages_open(pages_folder(), BYTES, BUDGET, "x");
    struct snapshot *const other = pages_open(pages_folder(), BYTES, BUDGET, "y");
    struct test_page a, b;
    struct snapshot_name name;
    struct err e;
    page_make(&a, s, NULL, 1, BYTES);
    page_make(&b, s, &a, 1, BYTES);
    const struct snapshot_name *const at = &a.name;
    for (int i = 0; i < KV_PAGE_TOK; i++) {
        a.token[i]++;
        assert_int_equal(snapshot_name(s, pages_key, NULL, a.token, a.role, &name, &e), 0);
        assert_memory_not_equal(name.hash, at->hash, SNAPSHOT_HASH);
        a.token[i]--;
        a.role[i] ^= 1;
        assert_int_equal(snapshot_name(s, pages_key, NULL, a.token, a.role, &name, &e), 0);
        assert_memory_not_equal(name.hash, at->hash, SNAPSHOT_HASH);
        a.role[i] ^= 1;
    }
    assert_int_equal(snapshot_name(s, pages_key, NULL, a.token, a.role, &name, &e), 0);
    assert_memory_equal(name.hash, at->hash, SNAPSHOT_HASH);
    assert_int_equal(snapshot_name(s, pages_key, NULL, b.token, b.role, &name, &e), 0);
    assert_memory_not_equal(name.hash, b.name.hash, SNAPSHOT_HASH);
    assert_int_equal(snapshot_name(other, pages_key, NULL, a.token, a.role, &name, &e), 0);
    assert_memory_not_equal(name.hash, at->hash, SNAPSHOT_HASH);
    page_free(&a);
    page_free(&b);
    snapshot_close(s);
    snapshot_close(other);
}

struct damaged {
    const char *folder;
    char file[4096];
    struct snapshot *s;
    struct test_page p;
    char *bytes;
    size_t n;
};

static void damaged_open(struct damaged *d)
{
    struct err e;
    d->folder = pages_folder();
    d->s = pages_open(d->folder, BYTES, BUDGET, "x");
    page_make(&d->p, d->s, NULL, 7, BYTES);
    assert_int_equal(page_write(d->s, &d->p, &e), 0);
    (void)snprintf(d->file, sizeof d->file, "%s", page_file(d->folder, &d->p));
    assert_int_equal(io_read_file(d->file, 1 << 20, &d->bytes, &d->n, &e), 0);
}

static void damaged_close(struct damaged *d)
{
    write_file(d->file, d->bytes, d->n);
    assert_true(page_is_there(d->s, &d->p));
    page_free(&d->p);
    snapshot_close(d->s);
    free(d->bytes);
}

/* As it is now the file is absent, and gone after that. */
static void expect_absent(struct damaged *d)
{
    assert_false(page_is_there(d->s, &d->p));
    assert_int_not_equal(access(d->file, F_OK), 0);
}

static void test_every_byte(void **state)
{
    (void)state;
    struct damaged d;
    damaged_open(&d);
    for (size_t i = 0; i < d.n; i++) {
        d.bytes[i] = (char)(d.bytes[i] ^ (1 << i % 8));
        write_file(d.file, d.bytes, d.n);
        expect_absent(&d);
        d.bytes[i] = (char)(d.bytes[i] ^ (1 << i % 8));
    }
    damaged_close(&d);
}

static void test_every_length(void **state)
{
    (void)state;
    struct damaged d;
    damaged_open(&d);
    for (size_t i = 0; i < d.n; i++) {
        write_file(d.file, d.bytes, i);
        expect_absent(&d);
    }
    char *const longer = calloc(2, d.n);
    memcpy(longer, d.bytes, d.n);
    write_file(d.file, longer, d.n + 1);
    expect_absent(&d);
    write_file(d.file, longer, 2 * d.n);
    expect_absent(&d);
    free(longer);
    damaged_close(&d);
}

/* Whole files under the name of another page; things that are no files. */
static void test_foreign(void **state)
{
    (void)state;
    struct damaged d;
    struct test_page x;
    struct err e;
    damaged_open(&d);
    struct snapshot *const other = pages_open(pages_folder(), BYTES, BUDGET, "y");
    page_make(&x, d.s, NULL, 8, BYTES);
    assert_int_equal(page_write(d.s, &x, &e), 0);
    assert_int_equal(rename(page_file(d.folder, &x), d.file), 0);
    expect_absent(&d);
    page_free(&x);

    x = d.p; /* the same page, of another model */
    assert_int_equal(page_write(other, &x, &e), 0);
    assert_true(page_is_there(other, &x));
    snapshot_close(other);
    struct snapshot *const there = pages_open(d.folder, BYTES, BUDGET, "y");
    assert_int_equal(page_write(there, &x, &e), 0);
    expect_absent(&d);
    snapshot_close(there);

    assert_int_equal(symlink("/dev/zero", d.file), 0);
    expect_absent(&d);
    assert_int_equal(mkfifo(d.file, 0600), 0);
    expect_absent(&d);
    damaged_close(&d);
}

static void test_folder_of_others(void **state)
{
    (void)state;
    struct snapshot *s;
    struct stat st;
    struct err e;
    struct test_page x;
    const char *const at = pages_folder();
    s = pages_open(at, BYTES, BUDGET, "x");
    page_make(&x, s, NULL, 1, BYTES);
    assert_int_equal(page_write(s, &x, &e), 0);
    assert_int_equal(stat(page_file(at, &x), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(at, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    snapshot_close(s);
    page_free(&x);
    assert_int_equal(chmod(at, 0750), 0);
    expect_error(snapshot_open(&s, at, BYTES, BUDGET, "x", 1, &e), GLIM_EINVAL, &e, "0750", "0700",
                 "chmod", NULL);
    expect_error(snapshot_open(&s, pages_folder(), BYTES, 1000, "x", 1, &e), GLIM_EINVAL, &e,
                 "1000", NULL);
    expect_error(snapshot_open(&s, path_in(scratch, "no/such"), BYTES, BUDGET, "x", 1, &e),
                 GLIM_EIO, &e, "no/such", NULL);
}

/* Over the budget those of long ago go; of one time, the later pages of a path. */
static void test_budget(void **state)
{
    (void)state;
    enum { N = 12 };
    const char *const at = pages_folder();
    struct test_page old[N], new[N];
    struct err e;
    struct snapshot *s = pages_open(at, BYTES, BUDGET, "x");
    for (int i = 0; i < N; i++) {
        page_make(&old[i], s, i ? &old[i - 1] : NULL, 1, BYTES);
        page_make(&new[i], s, i ? &new[i - 1] : NULL, 2, BYTES);
        assert_int_equal(page_write(s, &old[i], &e), 0);
    }
    struct stat st;
    assert_int_equal(stat(page_file(at, &old[0]), &st), 0);
    const struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    for (int i = 0; i < N; i++)
        assert_int_equal(utimensat(AT_FDCWD, page_file(at, &old[i]), long_ago, 0), 0);
    assert_true(snapshot_touch(s, &old[0].name));
    write_text(path_in(at, "notes.txt"), "somebody's");
    snapshot_close(s);

    s = pages_open(at, BYTES, (uint64_t)st.st_size * (N + 4), "x");
    for (int i = 0; i < N; i++)
        assert_int_equal(page_write(s, &new[i], &e), 0);
    for (int i = 0; i < N; i++)
        assert_true(page_is_there(s, &new[i]));
    assert_true(page_is_there(s, &old[0])); /* used just now */
    assert_false(page_is_there(s, &old[N - 1]));
    assert_in_range(files_in(at), N + 1, N + 5);
    assert_int_equal(access(path_in(at, "notes.txt"), F_OK), 0);
    snapshot_close(s);

    s = pages_open(at, BYTES, (uint64_t)st.st_size * 8, "x");
    struct test_page last;
    page_make(&last, s, NULL, 3, BYTES);
    assert_int_equal(page_write(s, &last, &e), 0);
    assert_true(page_is_there(s, &new[0]));
    assert_true(page_is_there(s, &last));
    assert_false(page_is_there(s, &new[N - 1]));
    snapshot_close(s);
    for (int i = 0; i < N; i++) {
        page_free(&old[i]);
        page_free(&new[i]);
    }
    page_free(&last);
}

#define KEYED(test) cmocka_unit_test_setup_teardown(test, with_key, without_key)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_every_byte),       cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_foreign),          cmocka_unit_test(test_folder_of_others),
        cmocka_unit_test(test_budget),
        KEYED(test_derivation), KEYED(test_nothing_to_read), KEYED(test_others_find_nothing),
        KEYED(test_round_trip), KEYED(test_names), KEYED(test_every_byte),
        KEYED(test_every_length), KEYED(test_foreign), KEYED(test_budget),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

#else

static void test_without(void **state)
{
    struct snapshot *s;
    struct err e;
    (void)state;
    assert_int_equal(snapshot_open(&s, "/nowhere", 1, 1, "x", 1, &e), GLIM_EUNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_without)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
