/* Streamed = resident: with any room for experts, down to one layer's choice, every bit of logits
 * and drafts is what it is with all weights mapped; too little room is refused with the least that
 * is enough; a file that shrinks fails the step that wants what is gone, by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "util/files.h"
#include "util/streamed.h"

#define GOLDEN "tests/data/golden/"

static void check_model(const char *path, bool mtp)
{
    struct rows resident = rows_of(path, 2, RAM_MAX, 16, mtp);
    for (int threads = 1; threads <= 2; threads++) {
        const uint64_t from = least_ram(path, threads, mtp);
        for (uint64_t more = 0; more <= 800 << 10; more += 200 << 10) {
            struct rows r = rows_of(path, threads, from + more, threads == 1 ? 16 : 7, mtp);
            same_rows(&resident, &r);
            rows_free(&r);
        }
    }
    rows_free(&resident);
}

static void test_same_bits(void **state)
{
    (void)state;
    check_model(GOLDEN "glm52", false);
    check_model(GOLDEN "fp8", false);
    check_model(GOLDEN "mid", false);
    check_model("models/glm-nano.gguf", false);
}

static void test_same_drafts(void **state)
{
    (void)state;
    check_model(GOLDEN "mtp-share", true);
    check_model("models/glm-nano.gguf", true);
}

static void shrinks(unsigned flags)
{
    char *bytes;
    size_t n;
    struct err err;
    struct glim_error e;
    const char *const path = path_in(scratch, "shrinks.gguf");
    assert_int_equal(io_read_file("models/glm-nano.gguf", 1 << 28, &bytes, &n, &err), 0);
    write_file(path, bytes, n);
    const uint64_t ram = least_ram(path, 1, false);
    glim_model *const m = open_model(path, 1, ram);
    struct rows r = rows_new(m);
    glim_session *s;
    assert_int_equal(session_of(m, 16, false, &s, &e), 0);
    assert_int_equal(append_rows(s, &r, 0, 8, 0, &e), 0);
    assert_int_equal(truncate(path, (off_t)n / 4), 0);
    assert_int_equal(append_rows(s, &r, 8, 8, flags, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(glim_session_length(s), 8); /* what was finished stays */
    write_file(path, bytes, n);
    glim_session_free(s);
    glim_model_close(m);
    rows_free(&r);
    free(bytes);
}

static void test_shrinking_file(void **state)
{
    (void)state;
    shrinks(0);
    shrinks(GLIM_APPEND_DECODE);
}

/* Between the model's opening and the first session its path is given to another file, cut short,
 * made a pipe; and then given back. */
static void test_changed_before_the_first_session(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    struct err err;
    struct glim_error e;
    const char *const path = path_in(scratch, "changes.gguf"), *const other = path_in(scratch, "b");
    assert_int_equal(io_read_file("models/glm-nano.gguf", 1 << 28, &bytes, &n, &err), 0);
    write_file(path, bytes, n);
    write_file(other, bytes, n);
    const uint64_t ram = least_ram(path, 1, false);
    glim_model *const m = open_model(path, 1, ram);
    glim_session *s;
    const char *const away = path_in(scratch, "away.gguf");
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(session_of(m, 16, false, &s, &e), GLIM_EIO); /* nothing there */
    assert_non_null(strstr(e.text, path));
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(session_of(m, 16, false, &s, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, "another file than when the model was opened"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(session_of(m, 16, false, &s, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, "is a FIFO, expected a regular file"));
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(truncate(path, (off_t)n - 1), 0);
    assert_int_equal(session_of(m, 16, false, &s, &e), GLIM_EIO);
    write_file(path, bytes, n);
    assert_int_equal(session_of(m, 16, false, &s, &e), 0);
    glim_session_free(s);
    glim_model_close(m);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_same_drafts),
        cmocka_unit_test(test_shrinking_file),
        cmocka_unit_test(test_changed_before_the_first_session),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
