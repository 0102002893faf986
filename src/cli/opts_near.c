/* opts_near.c - see opts.h: what may have been meant. */
#include <string.h>

#include "cli/opts.h"

enum { WORD_MAX = 32 };

unsigned edit_distance(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return 2 * WORD_MAX;
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]
                && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

static const char *nearest_option(enum verb v, const char *name)
{
    size_t n;
    const struct opt *const table = opt_table(&n);
    const char *best = NULL;
    unsigned least = 3; /* more edits than that is another word */
    for (size_t i = 0; i < n; i++) {
        const unsigned d = table[i].verbs >> v & 1 ? edit_distance(name, table[i].name) : least;
        if (d < least && d < strlen(table[i].name)) {
            least = d;
            best = table[i].name;
        }
    }
    return best;
}

/* A verb that has this option, for people who put a good option in the wrong place. */
static const char *verb_of_option(const char *name)
{
    size_t n;
    const struct opt *const table = opt_table(&n);
    for (size_t i = 0; i < n; i++)
        for (int v = 0; strcmp(table[i].name, name) == 0 && v < VERB_COUNT; v++)
            if (table[i].verbs >> v & 1)
                return verb_info((enum verb)v)->name;
    return NULL;
}

int opt_unknown(enum verb v, const char *arg, struct err *e)
{
    const char *const verb = verb_info(v)->name;
    char name[WORD_MAX + 1] = "";
    if (arg[1] == '-') {
        const size_t len = strcspn(arg + 2, "=");
        memcpy(name, arg + 2, len < WORD_MAX ? len : WORD_MAX);
    }
    const char *const near = *name ? nearest_option(v, name) : NULL;
    const char *const other = *name ? verb_of_option(name) : NULL;
    if (other)
        return err_set(e, GLIM_EINVAL, "option --%s is for glim %s, not glim %s; see glim help %s",
                       name, other, verb, verb);
    if (near)
        return err_set(e, GLIM_EINVAL, "unknown option %s, did you mean --%s? See glim help %s",
                       arg, near, verb);
    return err_set(e, GLIM_EINVAL, "unknown option %s; see glim help %s", arg, verb);
}
