/* known.c - see known.h. */
#include "cli/known.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"

enum { NAME_MAX_BYTES = 4096 };

void known_deinit(struct known *k)
{
    for (size_t i = 0; i < k->n; i++)
        free(k->file[i].name);
    free(k->file);
    *k = (struct known){0};
}

/* ---- sums and names ---- */

struct sum sum_parse(const char *text, size_t len)
{
    struct sum s = {.kind = len == 64 ? SUM_SHA256 : len == 40 ? SUM_GIT : SUM_NONE};
    for (size_t i = 0; s.kind != SUM_NONE && i < len; i++) {
        const char c = text[i];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))
            s.hex[i] = c;
        else if (c >= 'A' && c <= 'F')
            s.hex[i] = (char)(c | 0x20);
        else
            s = (struct sum){.kind = SUM_NONE};
    }
    return s;
}

struct sum sum_of_metadata(const char *text, size_t len)
{
    const char *const first = memchr(text, '\n', len);
    if (!first)
        return (struct sum){.kind = SUM_NONE};
    const char *const line = first + 1, *const end = text + len;
    const char *const next = memchr(line, '\n', (size_t)(end - line));
    size_t n = (size_t)((next ? next : end) - line);
    if (n > 0 && line[n - 1] == '\r')
        n--;
    return sum_parse(line, n);
}

bool name_is_inside(const char *name)
{
    const size_t len = strlen(name);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '\\')
            return false;
    for (const char *c = name; c;) {
        const size_t n = strcspn(c, "/");
        if (n == 0 || (n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.'))
            return false;
        c = c[n] ? c + n + 1 : NULL;
    }
    return len < NAME_MAX_BYTES;
}

/* Takes `name`. Twice the same is no harm. */
static int add(struct known *k, char *name, uint64_t bytes, const struct sum *sum, struct err *e)
{
    int rc = GLIM_OK;
    if (k->n == KNOWN_MAX)
        rc = err_set(e, GLIM_ELIMIT, "more than %d files", KNOWN_MAX);
    else if (mem_grow(&k->file, &k->cap, k->n + 1, sizeof *k->file) != 0)
        rc = err_nomem(e, "list of sums", (k->n + 1) * sizeof *k->file);
    if (rc == 0)
        k->file[k->n++] = (struct known_file){.name = name, .bytes = bytes, .sum = *sum};
    else
        free(name);
    return rc;
}

/* ---- sha256sum ---- */

/* What sha256sum wrote for a name: '\' and line breaks are escaped if the line says so. NULL: out
 * of memory, or no escape of its. */
static char *unescape(const char *text, size_t len, bool escaped)
{
    char *const name = malloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; name && i < len; i++) {
        if (escaped && text[i] == '\\') {
            const char c = ++i < len ? text[i] : 0;
            if (c != '\\' && c != 'n' && c != 'r') {
                free(name);
                return NULL;
            }
            name[n++] = c == 'n' ? '\n' : c == 'r' ? '\r' : c;
        } else {
            name[n++] = text[i];
        }
    }
    if (name)
        name[n] = 0;
    return name;
}

static int add_line(struct known *k, const char *line, size_t len, struct err *e)
{
    const bool escaped = line[0] == '\\';
    const char *const hex = line + escaped;
    const size_t rest = len - escaped;
    const struct sum sum = rest > 66 ? sum_parse(hex, 64) : (struct sum){.kind = SUM_NONE};
    if (sum.kind == SUM_NONE || hex[64] != ' ' || (hex[65] != ' ' && hex[65] != '*')
        || memchr(line, 0, len))
        return err_set(e, GLIM_EFORMAT,
                       "expected 64 hexadecimal digits, two spaces (or \" *\") and a name");
    size_t skip = 66;
    while (rest - skip > 2 && hex[skip] == '.' && hex[skip + 1] == '/')
        skip += 2;
    char *const name = unescape(hex + skip, rest - skip, escaped);
    if (!name || !name_is_inside(name)) {
        free(name);
        return err_set(e, GLIM_EFORMAT, "\"%.*s\" is no name of a file inside the model's folder",
                       (int)min_u64(rest - skip, 200), hex + skip);
    }
    return add(k, name, UINT64_MAX, &sum, e);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct known_file *)a)->name, ((const struct known_file *)b)->name);
}

/* By name, for known_find. Of two sums for one name nobody can say which is right. */
static int sort(const struct known *k, const char *what, struct err *e)
{
    if (k->n > 1)
        qsort(k->file, k->n, sizeof *k->file, by_name);
    for (size_t i = 1; i < k->n; i++) {
        const struct known_file *const a = &k->file[i - 1], *const b = &k->file[i];
        if (strcmp(a->name, b->name) == 0 && strcmp(a->sum.hex, b->sum.hex) != 0)
            return err_set(e, GLIM_EFORMAT, "%s: \"%.200s\" has two sums, %s and %s", what,
                           a->name, a->sum.hex, b->sum.hex);
    }
    return GLIM_OK;
}

int known_manifest(struct known *k, const char *text, size_t len, const char *what, struct err *e)
{
    const char *const end = text + len;
    const size_t from = k->n;
    size_t number = 0;
    for (const char *line = text; line < end;) {
        const char *const next = memchr(line, '\n', (size_t)(end - line));
        size_t n = (size_t)((next ? next : end) - line);
        number++;
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (n > 0 && add_line(k, line, n, e) != 0)
            return err_prefix(e, "%s: line %zu", what, number);
        line = next ? next + 1 : end;
    }
    if (k->n == from)
        return err_set(e, GLIM_EFORMAT, "%s: holds no sums", what);
    return sort(k, what, e);
}

/* ---- the hub's list ---- */

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
    struct json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, type) ? v : NULL;
}

/* The text of a member; NULL: it has none, or one with a 0 byte. */
static const char *text_of(struct json_object *o, const char *key)
{
    struct json_object *const v = member(o, key, json_type_string);
    const char *const s = v ? json_object_get_string(v) : NULL;
    return s && strlen(s) == (size_t)json_object_get_string_len(v) ? s : NULL;
}

static int add_entry(struct known *k, struct json_object *o, struct err *e)
{
    const char *const type = text_of(o, "type"), *const path = text_of(o, "path");
    if (!type || !path || !name_is_inside(path))
        return err_set(e, GLIM_EFORMAT, "expected a type, and a path inside the repository");
    if (strcmp(type, "file") != 0)
        return GLIM_OK;
    struct json_object *const lfs = member(o, "lfs", json_type_object);
    const char *oid = text_of(lfs ? lfs : o, "oid");
    if (oid && lfs && strncmp(oid, "sha256:", 7) == 0)
        oid += 7;
    const struct sum sum = oid ? sum_parse(oid, strlen(oid)) : (struct sum){.kind = SUM_NONE};
    if (sum.kind != (lfs ? SUM_SHA256 : SUM_GIT))
        return err_set(e, GLIM_EFORMAT, "\"%.200s\": %s \"%.80s\", expected %d hexadecimal digits",
                       path, lfs ? "lfs.oid" : "oid", oid ? oid : "", lfs ? 64 : 40);
    struct json_object *const size = member(lfs ? lfs : o, "size", json_type_int);
    const int64_t bytes = size ? json_object_get_int64(size) : -1;
    char *const name = strdup(path);
    if (!name)
        return err_nomem(e, "name of a file", strlen(path));
    return add(k, name, bytes < 0 ? UINT64_MAX : (uint64_t)bytes, &sum, e);
}

int known_hub(struct known *k, const char *json, size_t len, const char *what, struct err *e)
{
    struct json_object *list;
    int rc = json_read(json, len, what, &list, e);
    if (rc == 0 && !json_object_is_type(list, json_type_array))
        rc = err_set(e, GLIM_EFORMAT, "%s: expected an array of files", what);
    for (size_t i = 0; rc == 0 && i < json_object_array_length(list); i++) {
        struct json_object *const o = json_object_array_get_idx(list, i);
        rc = json_object_is_type(o, json_type_object)
                 ? add_entry(k, o, e)
                 : err_set(e, GLIM_EFORMAT, "expected an object");
        if (rc != 0)
            (void)err_prefix(e, "%s: entry %zu", what, i);
    }
    json_object_put(list);
    return rc != 0 ? rc : sort(k, what, e);
}

/* ---- finding ---- */

const struct known_file *known_find(const struct known *k, const char *name)
{
    const struct known_file key = {.name = (char *)(uintptr_t)name};
    return k->n ? bsearch(&key, k->file, k->n, sizeof *k->file, by_name) : NULL;
}

static const char *last_component(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const struct known_file *known_find_end(const struct known *k, const char *path)
{
    const struct known_file *only = NULL;
    size_t same = 0;
    for (const char *c = path; c; c = strchr(c, '/')) {
        c += *c == '/';
        const struct known_file *const whole = known_find(k, c);
        if (whole)
            return whole;
    }
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(last_component(k->file[i].name), last_component(path)) == 0) {
            only = &k->file[i];
            same++;
        }
    return same == 1 ? only : NULL;
}
