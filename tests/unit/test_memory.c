/* test_memory.c - what may be taken, from made-up machines: folders with the files that the system
 * would show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/memory.h"
#include "util/files.h"

static const uint64_t GIB = (uint64_t)1 << 30;

/* A file of a machine, with the folders on the way. */
static void put(const char *machine, const char *name, const char *text)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s/%s", scratch, machine, name);
    for (char *c = strchr(path + strlen(scratch) + 1, '/'); c; c = strchr(c + 1, '/')) {
        *c = 0;
        (void)mkdir(path, 0700);
        *c = '/';
    }
    write_text(path, text);
}

static struct memory look(const char *machine)
{
    struct memory m;
    memory_look(path_in(scratch, machine), &m);
    return m;
}

static void put_machine(const char *machine, const char *group, const char *mounts)
{
    put(machine, "proc/meminfo", "MemTotal:       67108864 kB\nMemFree: 1 kB\n"
                                 "MemAvailable:   52428800 kB\n");
    put(machine, "proc/self/cgroup", group);
    put(machine, "proc/self/mountinfo", mounts);
}

static const char V2[] = "22 1 0:20 / /proc rw - proc proc rw\n"
                         "30 23 0:26 / /groups rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

static void test_no_limit(void **state)
{
    (void)state;
    put_machine("free", "0::/user\n", V2);
    put("free", "groups/user/memory.max", "max\n");
    const struct memory m = look("free");
    assert_int_equal(m.bytes, 64 * GIB);
    assert_int_equal(m.available, 50 * GIB);
    assert_true(m.limit == UINT64_MAX && m.left == UINT64_MAX);
    assert_string_equal(m.group, "");
    assert_int_equal(memory_usable(&m), 50 * GIB);
}

/* The least of all groups on the way up counts, also where only memory.high is set; what was read
 * from files is free. */
static void test_second_version(void **state)
{
    (void)state;
    put_machine("two", "0::/a/b/c\n", V2);
    put("two", "groups/a/b/c/memory.max", "21474836480\n"); /* 20 GiB, nothing used */
    put("two", "groups/a/b/c/memory.current", "0\n");
    put("two", "groups/a/b/memory.max", "max\n");
    put("two", "groups/a/b/memory.high", "12884901888\n"); /* 12 GiB */
    put("two", "groups/a/b/memory.current", "8589934592\n"); /* 8, of which 3 are of files */
    put("two", "groups/a/b/memory.stat", "anon 5368709120\nfile 3221225472\n"
                                         "inactive_file 1073741824\nactive_file 2147483648\n");
    put("two", "groups/a/memory.max", "32212254720\n");
    put("two", "groups/a/memory.current", "8589934592\n");
    const struct memory m = look("two");
    assert_int_equal(m.limit, 12 * GIB);
    assert_int_equal(m.left, 7 * GIB);
    assert_non_null(strstr(m.group, "/groups/a/b"));
    assert_null(strstr(m.group, "/groups/a/b/c"));
    assert_int_equal(memory_usable(&m), 7 * GIB);
}

static void test_first_version(void **state)
{
    (void)state;
    put_machine("one", "9:name=systemd:/x\n5:memoryless:/memoryless\n"
                       "4:hugetlb,memory:/jobs/7\n0::/\n",
                "31 23 0:28 / /g rw - tmpfs tmpfs rw\n"
                "34 31 0:30 / /g/cpu rw - cgroup cgroup rw,cpu\n"
                "35 31 0:32 / /g/memory rw - cgroup cgroup rw,memory\n"
                "36 31 0:38 / /g/unified rw - cgroup2 cgroup2 rw\n");
    put("one", "g/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("one", "g/memory/jobs/memory.limit_in_bytes", "9223372036854771712\n");
    put("one", "g/memory/jobs/7/memory.limit_in_bytes", "4294967296\n");
    put("one", "g/memory/jobs/7/memory.usage_in_bytes", "3221225472\n");
    put("one", "g/memory/jobs/7/memory.stat", "inactive_file 1\ntotal_inactive_file 1073741824\n"
                                              "total_active_file 0\n");
    /* Groups of other hierarchies, by the same names. */
    put("one", "g/memory/x/memory.limit_in_bytes", "1048576\n");
    put("one", "g/memory/memoryless/memory.limit_in_bytes", "1048576\n");
    put("one", "g/unified/x/memory.max", "1048576\n");
    const struct memory m = look("one");
    assert_int_equal(m.limit, 4 * GIB);
    assert_int_equal(m.left, 2 * GIB);
    put("one", "g/memory/jobs/7/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(look("one").left == UINT64_MAX); /* what it says where there is no limit */
}

/* In a container the path may lead to where nothing is mounted, or begin with what is. */
static void test_containers(void **state)
{
    (void)state;
    put_machine("box", "0::/docker/abc\n",
                "30 23 0:26 /docker/abc /groups rw - cgroup2 cgroup2 rw\n");
    put("box", "groups/memory.max", "1073741824\n");
    put("box", "groups/memory.current", "1048576\n");
    assert_int_equal(look("box").left, GIB - (1 << 20));
    put("box", "proc/self/cgroup", "0::/docker/abc/inner\n");
    put("box", "groups/inner/memory.max", "4096\n");
    assert_int_equal(look("box").left, 4096);
    put_machine("far", "0::/../other\n", "30 23 0:26 / /groups rw - cgroup2 cgroup2 rw\n");
    put("far", "groups/memory.max", "1073741824\n");
    put("far", "other/memory.max", "4096\n"); /* somebody else's */
    assert_int_equal(look("far").left, GIB);
}

/* A group over its limit leaves nothing; files with nonsense, and none at all, count as not
 * there. */
static void test_nonsense(void **state)
{
    (void)state;
    put_machine("over", "0::/u\n", V2);
    put("over", "groups/u/memory.max", "1000\n");
    put("over", "groups/u/memory.current", "2000\n");
    assert_int_equal(look("over").left, 0);
    put_machine("odd", "no colons\n:\n0:\n0::\n0::u\n", "\n - \n1 2 3 4 5 - x\n");
    put("odd", "proc/meminfo", "MemAvailable: much\n");
    assert_int_equal(look("odd").left, UINT64_MAX);
    assert_int_equal(memory_usable(&(struct memory){.left = UINT64_MAX}), 0);
    assert_int_equal(look("nothing").available, 0);
}

static void test_this_machine(void **state)
{
    (void)state;
    struct memory m;
    memory_look("", &m);
    assert_true(m.bytes > 1 << 20 && m.available > 0 && m.available <= m.bytes);
    assert_true(memory_usable(&m) <= m.available);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),      cmocka_unit_test(test_second_version),
        cmocka_unit_test(test_first_version), cmocka_unit_test(test_containers),
        cmocka_unit_test(test_nonsense),      cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
