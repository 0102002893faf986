/* What a drive does wrong, as whole answers see it: late, out of order, in part, with errors once,
 * now and then and for ever. An answer has all its bits, or the step fails with a name and the next
 * one is as good as ever.
 *
 * Linked with --wrap for reader_open.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "util/late.h"
#include "util/streamed.h"

#define NANO "models/glm-nano.gguf"
#define TINY "tests/data/golden/mtp-share"

int __wrap_reader_open(struct reader **out, unsigned depth, struct err *e);

static struct late drive;

int __wrap_reader_open(struct reader **out, unsigned depth, struct err *e)
{
    assert_true(depth <= LATE_DEPTH);
    return reader_open_with(out, depth, &late_engine, &drive, e);
}

static void drive_is(struct late l)
{
    drive = l;
    drive.rng.state = 1;
}

static void test_late_and_short(void **state)
{
    (void)state;
    static const char *const path[] = {NANO, TINY};
    for (size_t m = 0; m < 2; m++) {
        struct rows resident = rows_of(path[m], 2, RAM_MAX, 16, true);
        drive_is((struct late){0});
        const uint64_t ram = least_ram(path[m], 2, true);
        for (size_t most = 0; most < 40000; most = 3 * most + READ_ALIGN + 1) {
            drive_is((struct late){.most = most});
            struct rows r = rows_of(path[m], 2, ram, 16, true);
            assert_true(drive.begun > 40);
            same_rows(&resident, &r);
            rows_free(&r);
        }
        rows_free(&resident);
    }
}

/* Each read fails at its first one or two tries. */
static void test_tried_again(void **state)
{
    (void)state;
    struct rows resident = rows_of(NANO, 2, RAM_MAX, 16, false);
    drive_is((struct late){0});
    const uint64_t ram = least_ram(NANO, 2, false);
    for (unsigned tries = 1; tries <= 2; tries++) {
        drive_is((struct late){.first_tries = tries, .error = EIO});
        struct rows r = rows_of(NANO, 2, ram, 16, false);
        same_rows(&resident, &r);
        rows_free(&r);
    }
    rows_free(&resident);
}

/* Tokens [from, from + n), although the drive fails for ever after `good` pieces: until it is
 * mended the step fails, and the timeline keeps what was finished. How many times it failed. */
static unsigned append_on_bad_drive(glim_session *s, struct rows *r, size_t from, size_t n,
                                    unsigned flags, unsigned good)
{
    struct glim_error e;
    drive.fail_from = drive.begun + good + 1;
    drive.fail_to = UINT32_MAX;
    drive.error = ENXIO;
    if (append_rows(s, r, from, n, flags, &e) == 0)
        return 0;
    assert_int_equal(e.code, GLIM_EIO);
    assert_non_null(strstr(e.text, "of tensor \""));
    assert_non_null(strstr(e.text, "No such device"));
    const uint64_t kept = glim_session_length(s); /* whole chunks may have been finished */
    assert_true(kept >= from && kept < from + n);
    late_fail(&drive, 0, 0);
    if (append_rows(s, r, (size_t)kept, n - (size_t)(kept - from), flags, &e) != 0)
        fail_msg("%s", e.text);
    return 1;
}

/* The drive is pulled out after every number of reads in turn, in the prompt and in generation, and
 * put in again. */
static void test_pulled_out(void **state)
{
    (void)state;
    struct glim_error e;
    struct rows resident = rows_of(TINY, 2, RAM_MAX, 16, true);
    drive_is((struct late){0});
    const uint64_t ram = least_ram(TINY, 2, true);
    unsigned failed[2] = {0}, good = 0;
    do {
        glim_session *s;
        drive_is((struct late){0});
        glim_model *const m = open_model(TINY, 2, ram);
        struct rows r = rows_new(m);
        assert_int_equal(session_of(m, 16, true, &s, &e), 0);
        const unsigned prompt = append_on_bad_drive(s, &r, 0, PROMPT, 0, good);
        const unsigned tokens =
            append_on_bad_drive(s, &r, PROMPT, ROWS - PROMPT, GLIM_APPEND_DECODE, good);
        late_fail(&drive, 0, 0);
        same_rows(&resident, &r);
        glim_session_free(s);
        glim_model_close(m);
        rows_free(&r);
        failed[0] += prompt;
        failed[1] += tokens;
        good += 1 + good / 8;
        if (!prompt && !tokens)
            break;
    } while (good < 100000);
    print_message("  pulled out at %u places of the prompt, %u of generation\n", failed[0],
                  failed[1]);
    assert_true(failed[0] > 10 && failed[1] > 10);
    rows_free(&resident);
}

/* While always-on weights are read: no session, and the next one is as good as ever. */
static void test_pulled_out_at_the_start(void **state)
{
    (void)state;
    struct rows resident = rows_of(TINY, 1, RAM_MAX, 16, false);
    drive_is((struct late){0});
    const uint64_t ram = least_ram(TINY, 1, false);
    for (unsigned good = 0;; good++) {
        struct glim_error e;
        glim_session *s;
        drive_is((struct late){0});
        glim_model *const m = open_model(TINY, 1, ram);
        drive.fail_from = good + 1;
        drive.fail_to = UINT32_MAX;
        drive.error = EIO;
        const int rc = session_of(m, 16, false, &s, &e);
        late_fail(&drive, 0, 0);
        if (rc != 0) {
            assert_int_equal(rc, GLIM_EIO);
            assert_non_null(strstr(e.text, "Input/output error"));
            assert_non_null(strstr(e.text, TINY));
            assert_int_equal(session_of(m, 16, false, &s, &e), 0);
            struct rows r = rows_new(m);
            assert_int_equal(append_rows(s, &r, 0, PROMPT, 0, &e), 0);
            assert_memory_equal(resident.logits, r.logits, PROMPT * r.vocab * sizeof(float));
            rows_free(&r);
        }
        glim_session_free(s);
        glim_model_close(m);
        if (rc == 0) {
            assert_true(good > 0);
            break;
        }
    }
    rows_free(&resident);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_and_short),
        cmocka_unit_test(test_tried_again),
        cmocka_unit_test(test_pulled_out),
        cmocka_unit_test(test_pulled_out_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
