/* memory.c - see memory.h. Formats: proc(5), cgroups(7), and the system's own documents of both
 * versions.
 */
#include "base/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { LINE_BYTES = 4096, PATH_BYTES = 2 * LINE_BYTES };

/* The files of a version; the keys of memory.stat that count what was read from files. */
struct version {
    const char *type; /* of the file system */
    const char *limit[2], *used, *stat[2];
};

static const struct version versions[] = {
    {"cgroup2", {"memory.max", "memory.high"}, "memory.current", {"inactive_file", "active_file"}},
    {"cgroup", {"memory.limit_in_bytes", NULL}, "memory.usage_in_bytes",
     {"total_inactive_file", "total_active_file"}},
};

static FILE *open_in(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* ---- the machine ---- */

static void look_at_machine(const char *root, struct memory *m)
{
    FILE *const f = open_in(root, "proc/meminfo");
    char line[LINE_BYTES];
    while (f && fgets(line, sizeof line, f)) {
        uint64_t kb;
        if (sscanf(line, "MemTotal: %" SCNu64 " kB", &kb) == 1)
            m->bytes = kb * 1024;
        else if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kb) == 1)
            m->available = kb * 1024;
    }
    if (f)
        fclose(f);
}

/* ---- control groups ---- */

/* A number alone in a file; UINT64_MAX for "max" and where there is no file. */
static uint64_t number_in(const char *folder, const char *name)
{
    FILE *const f = open_in(folder, name);
    uint64_t v = UINT64_MAX;
    if (f && fscanf(f, "%" SCNu64, &v) != 1)
        v = UINT64_MAX;
    if (f)
        fclose(f);
    return v;
}

static uint64_t of_files(const char *folder, const struct version *v)
{
    FILE *const f = open_in(folder, "memory.stat");
    char line[LINE_BYTES], key[LINE_BYTES];
    uint64_t n, sum = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%4095s %" SCNu64, key, &n) == 2
            && (strcmp(key, v->stat[0]) == 0 || strcmp(key, v->stat[1]) == 0))
            sum += n;
    if (f)
        fclose(f);
    return sum;
}

static void look_at_group(const char *folder, const struct version *v, struct memory *m)
{
    uint64_t limit = UINT64_MAX;
    for (size_t i = 0; i < COUNT_OF(v->limit) && v->limit[i]; i++)
        limit = min_u64(limit, number_in(folder, v->limit[i]));
    if (limit > INT64_MAX / 2)
        return; /* v1 says so where there is none */
    const uint64_t used = number_in(folder, v->used);
    const uint64_t taken = used == UINT64_MAX ? 0 : used - min_u64(used, of_files(folder, v));
    const uint64_t left = limit - min_u64(limit, taken);
    if (left >= m->left)
        return;
    m->left = left;
    m->limit = limit;
    (void)snprintf(m->group, sizeof m->group, "%.*s", MEMORY_GROUP_BYTES - 1, folder);
}

/* A line of /proc/self/cgroup, "4:memory,hugetlb:/a/b" or "0::/a/b": the path, if it is the one
 * that counts memory in this version. */
static const char *path_of_line(char *line, const struct version *v)
{
    char *const names = strchr(line, ':');
    char *const path = names ? strchr(names + 1, ':') : NULL;
    if (!path)
        return NULL;
    *path = 0;
    line[strcspn(line, "\n")] = 0;
    path[1 + strcspn(path + 1, "\n")] = 0;
    if (v == &versions[0])
        return names[1] == 0 ? path + 1 : NULL;
    for (const char *c = names + 1; *c; c += strcspn(c, ",") + (c[strcspn(c, ",")] != 0))
        if (strcspn(c, ",") == strlen("memory") && strncmp(c, "memory", strlen("memory")) == 0)
            return path + 1;
    return NULL;
}

/* This process' group, as a path from the root of the groups. */
static bool own_group(const char *root, const struct version *v, char path[LINE_BYTES])
{
    FILE *const f = open_in(root, "proc/self/cgroup");
    char line[LINE_BYTES];
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *const p = path_of_line(line, v);
        found = p && p[0] == '/';
        if (found)
            memcpy(path, p, strlen(p) + 1);
    }
    if (f)
        fclose(f);
    return found;
}

/* Where the groups of this version are mounted, and which of them stands there. */
static bool find_mount(const char *root, const struct version *v, char at[LINE_BYTES],
                       char top[LINE_BYTES])
{
    FILE *const f = open_in(root, "proc/self/mountinfo");
    char line[LINE_BYTES], type[64], options[LINE_BYTES];
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *const rest = strstr(line, " - ");
        found = rest && sscanf(line, "%*s %*s %*s %4095s %4095s", top, at) == 2
             && sscanf(rest, " - %63s %*s %4095s", type, options) == 2 && strcmp(type, v->type) == 0
             && (v == &versions[0] || strstr(options, "memory"));
    }
    if (f)
        fclose(f);
    return found;
}

/* Every group from the process' own up to the mounted one. A path that does not lead below what is
 * mounted is another container's view: then what is mounted is all there is to see. */
static void look_at_version(const char *root, const struct version *v, struct memory *m)
{
    char path[LINE_BYTES], at[LINE_BYTES], top[LINE_BYTES], folder[PATH_BYTES + LINE_BYTES];
    if (!own_group(root, v, path) || !find_mount(root, v, at, top))
        return;
    const size_t skip = strcmp(top, "/") == 0 ? 0 : strlen(top);
    const bool below = strncmp(path, top, skip) == 0 && (path[skip] == '/' || path[skip] == 0)
                       && !strstr(path, "/..");
    const int n = snprintf(folder, sizeof folder, "%s%s", root, at);
    const size_t end = n > 0 && (size_t)n < sizeof folder ? (size_t)n : 0;
    if (end && below && snprintf(folder + end, sizeof folder - end, "%s", path + skip) < 0)
        return;
    while (end && strlen(folder) >= end) {
        look_at_group(folder, v, m);
        char *const slash = strrchr(folder, '/');
        if (!slash)
            return;
        *slash = 0;
    }
}

void memory_look(const char *root, struct memory *out)
{
    *out = (struct memory){.limit = UINT64_MAX, .left = UINT64_MAX};
    look_at_machine(root, out);
    for (size_t i = 0; i < COUNT_OF(versions); i++)
        look_at_version(root, &versions[i], out);
}

uint64_t memory_usable(const struct memory *m) { return min_u64(m->available, m->left); }
