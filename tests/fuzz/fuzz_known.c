/* fuzz_known.c - any bytes as a manifest, as the hub's list, as the download tool's note; the first
 * byte says which. What is accepted names files inside a folder, each with a whole sum and once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/known.h"
#include "fuzz/fuzz.h"

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check_sum(const struct sum *s)
{
    const size_t n = s->kind == SUM_SHA256 ? 64 : s->kind == SUM_GIT ? 40 : 0;
    must(strlen(s->hex) == n && strspn(s->hex, "0123456789abcdef") == n, "a sum is whole");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct known k = {0};
    struct err e = {.text = ""};
    if (size == 0)
        return 0;
    const char *const text = (const char *)data + 1;
    const int which = data[0] % 3;
    if (which == 2) {
        const struct sum s = sum_of_metadata(text, size - 1);
        check_sum(&s);
        return 0;
    }
    const int rc = which ? known_hub(&k, text, size - 1, "input", &e)
                         : known_manifest(&k, text, size - 1, "input", &e);
    if (rc != 0)
        must(strncmp(e.text, "input: ", 7) == 0, "a refusal names the text");
    for (size_t i = 0; rc == 0 && i < k.n; i++) {
        check_sum(&k.file[i].sum);
        must(k.file[i].sum.kind != SUM_NONE && name_is_inside(k.file[i].name), "a file is inside");
        must(strcmp(known_find(&k, k.file[i].name)->sum.hex, k.file[i].sum.hex) == 0,
             "one name, one sum");
    }
    known_deinit(&k);
    return 0;
}
