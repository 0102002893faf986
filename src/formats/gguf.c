/* gguf.c - GGUF v2 and v3, little-endian, single files and -00001-of-000NN sets; see tensorfile.h.
 *
 * A file is: magic | u32 version | u64 tensors | u64 pairs | pairs | tensor infos | padding | data.
 * Source: the GGUF specification (ggml/docs/gguf.md). Every count is compared with the bytes that
 * are left before anything is done with it; values are read once, through `struct cursor`, which
 * cannot pass the end.
 *
 * Refused beyond the specification's own rules: nested arrays, booleans other than 0 and 1, keys
 * and names that are empty or not UTF-8, dimensions of 0, tensors that overlap. Allowed: any order
 * of tensors, holes, bytes at the end.
 *
 * A set: the first part holds the metadata; each part holds split.no, split.count and its own
 * tensors. Cost: one walk over the header; arrays (the vocabulary) are checked where they lie and
 * not copied.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "base/util.h"
#include "formats/tensorfile.h"

enum {
    VERSION_MIN = 2, VERSION_MAX = 3,
    MAX_PAIRS = 1 << 16,
    MAX_KEY = 65535, MAX_NAME = 64, MAX_RANK = 4,
    MAX_SPLITS = 65536,
    MAX_STRING = 1 << 24, /* of one scalar; these are copied */
    MIN_PAIR_BYTES = 8 + 1 + 4 + 1, MIN_INFO_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
    ALIGN_DEFAULT = 32, ALIGN_MIN = 8, ALIGN_MAX = 1 << 22,
};

struct cursor {
    const uint8_t *at, *end, *start;
    const char *path;
};

struct info {
    uint64_t begin, end; /* from the start of the data */
    size_t tensor;       /* index before sealing */
};

/* One part while it is read. */
struct part {
    struct tensorfile *f;
    struct meta *meta;
    uint32_t file;
    struct cursor c;
    uint64_t tensors, pairs, data_at;
    struct info *info;
    size_t infos, info_cap;
};

/* ---- cursor ---- */

static uint64_t left(const struct cursor *c) { return (uint64_t)(c->end - c->at); }

static int short_of(const struct cursor *c, const char *what, uint64_t need, struct err *e)
{
    return err_set(e, GLIM_EFORMAT,
                   "%s: byte %" PRIu64 ": %s needs %" PRIu64 " bytes, the file has %" PRIu64
                   " left",
                   c->path, (uint64_t)(c->at - c->start), what, need, left(c));
}

static int take(struct cursor *c, size_t n, const char *what, uint64_t *out, struct err *e)
{
    *out = 0;
    if (left(c) < n)
        return short_of(c, what, n, e);
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)c->at[i] << (8 * i);
    c->at += n;
    *out = v;
    return GLIM_OK;
}

static int take_u32(struct cursor *c, const char *what, uint32_t *out, struct err *e)
{
    uint64_t v = 0;
    const int rc = take(c, 4, what, &v, e);
    *out = (uint32_t)v;
    return rc;
}

/* A string's length and bytes; `max` bounds it. */
static int take_string(struct cursor *c, const char *what, uint64_t max, const char **s,
                       size_t *len, struct err *e)
{
    uint64_t n = 0;
    const int rc = take(c, 8, what, &n, e);
    if (rc != 0)
        return rc;
    if (n > left(c))
        return short_of(c, what, n, e);
    if (n > max)
        return err_set(e, GLIM_ELIMIT,
                       "%s: byte %" PRIu64 ": %s of %" PRIu64 " bytes, expected at most %" PRIu64,
                       c->path, (uint64_t)(c->at - c->start), what, n, max);
    *s = (const char *)c->at;
    *len = (size_t)n;
    c->at += n;
    return GLIM_OK;
}

/* A key or a tensor's name: not empty, UTF-8, no 0 byte. */
static int take_name(struct cursor *c, const char *what, uint64_t max, const char **s, size_t *len,
                     struct err *e)
{
    const uint64_t at = (uint64_t)(c->at - c->start);
    const int rc = take_string(c, what, max, s, len, e);
    if (rc != 0)
        return rc;
    const char *const fault = *len == 0 ? "is empty" : memchr(*s, 0, *len) ? "holds a 0 byte"
                            : utf8_valid_len(*s, *len) != *len ? "is not UTF-8" : NULL;
    return fault ? err_set(e, GLIM_EFORMAT, "%s: byte %" PRIu64 ": %s %s", c->path, at, what, fault)
                 : GLIM_OK;
}

/* ---- metadata ---- */

struct pair {
    const char *key;
    size_t key_len;
};

static int bad_pair(const struct cursor *c, const struct pair *p, struct err *e, const char *text)
{
    return err_set(e, GLIM_EFORMAT, "%s: key \"%.*s\": %s", c->path, (int)min_u64(p->key_len, 200),
                   p->key, text);
}

/* Steps over n strings; each length is checked against what is left. */
static int walk_strings(struct cursor *c, const struct pair *p, uint64_t n, struct err *e)
{
    if (n > left(c) / 8)
        return bad_pair(c, p, e, "an array of more strings than the file has bytes for");
    for (uint64_t i = 0; i < n; i++) {
        uint64_t len = 0;
        if (take(c, 8, "a string's length", &len, NULL) != 0 || len > left(c)) {
            return err_set(e, GLIM_EFORMAT,
                           "%s: key \"%.*s\": string %" PRIu64 " of %" PRIu64
                           " runs past the end of the file",
                           c->path, (int)min_u64(p->key_len, 200), p->key, i, n);
        }
        c->at += len;
    }
    return GLIM_OK;
}

static int walk_scalars(struct cursor *c, const struct pair *p, uint32_t type, uint64_t n,
                        struct err *e)
{
    const size_t size = gguf_type_bytes(type);
    if (n > left(c) / size)
        return bad_pair(c, p, e, "an array of more values than the file has bytes for");
    for (uint64_t i = 0; type == GGUF_BOOL && i < n; i++) {
        if (c->at[i] > 1)
            return bad_pair(c, p, e, "a boolean is neither 0 nor 1");
    }
    c->at += n * size; /* n * size <= left */
    return GLIM_OK;
}

static int read_array(struct part *x, const struct pair *p, struct err *e)
{
    struct cursor *const c = &x->c;
    uint32_t type = 0;
    uint64_t n = 0;
    int rc = take_u32(c, "an array's type", &type, e);
    if (rc == 0)
        rc = take(c, 8, "an array's length", &n, e);
    if (rc != 0)
        return rc;
    const uint8_t *const at = c->at;
    if (type == GGUF_ARRAY)
        return bad_pair(c, p, e, "an array of arrays, expected scalars or strings");
    if (type >= GGUF_TYPE_COUNT)
        return err_set(e, GLIM_EFORMAT,
                       "%s: key \"%.*s\": array of value type %u, expected 0 to 12", c->path,
                       (int)min_u64(p->key_len, 200), p->key, type);
    rc = type == GGUF_STRING ? walk_strings(c, p, n, e) : walk_scalars(c, p, type, n, e);
    return rc != 0 ? rc : meta_add_gguf_array(x->meta, p->key, p->key_len, type, n, at, c->at, e);
}

static int read_scalar(struct part *x, const struct pair *p, uint32_t type, struct err *e)
{
    struct cursor *const c = &x->c;
    const size_t size = gguf_type_bytes(type);
    if (left(c) < size)
        return short_of(c, "a value", size, e);
    if (type == GGUF_BOOL && c->at[0] > 1)
        return bad_pair(c, p, e, "a boolean is neither 0 nor 1");
    const struct meta_value v = gguf_scalar(type, c->at);
    c->at += size;
    return meta_add(x->meta, p->key, p->key_len, &v, e);
}

static int read_pair(struct part *x, struct err *e)
{
    struct cursor *const c = &x->c;
    struct pair p;
    uint32_t type = 0;
    int rc = take_name(c, "a key", MAX_KEY, &p.key, &p.key_len, e);
    if (rc == 0)
        rc = take_u32(c, "a value's type", &type, e);
    if (rc != 0)
        return rc;
    if (type == GGUF_ARRAY)
        return read_array(x, &p, e);
    if (type >= GGUF_TYPE_COUNT)
        return err_set(e, GLIM_EFORMAT, "%s: key \"%.*s\": value type %u, expected 0 to 12",
                       c->path, (int)min_u64(p.key_len, 200), p.key, type);
    if (type != GGUF_STRING)
        return read_scalar(x, &p, type, e);
    struct meta_value v = {.kind = META_STRING};
    rc = take_string(c, "a string value", MAX_STRING, &v.s.data, &v.s.len, e);
    return rc != 0 ? rc : meta_add(x->meta, p.key, p.key_len, &v, e);
}

static int alignment_of(const struct part *x, uint64_t *align, struct err *e)
{
    *align = ALIGN_DEFAULT;
    const int rc =
        meta_get_u64(x->meta, "general.alignment", false, ALIGN_MIN, ALIGN_MAX, align, e);
    if (rc == 0 && (*align & (*align - 1)) != 0)
        return err_set(e, GLIM_EFORMAT,
                       "%s: key \"general.alignment\": value %" PRIu64 ", expected a power of two",
                       x->c.path, *align);
    return rc;
}

/* ---- tensors ---- */

static int bad_info(const struct part *x, const struct tensor *t, size_t len, struct err *e)
{
    err_prefix(e, "%s: tensor \"%.*s\"", x->c.path, (int)min_u64(len, 200), t->name);
    return GLIM_EFORMAT;
}

/* Dimensions, fastest first in the file. */
static int read_dims(struct part *x, struct tensor *t, size_t len, struct err *e)
{
    uint32_t rank = 0;
    int rc = take_u32(&x->c, "a tensor's rank", &rank, e);
    if (rc != 0)
        return rc;
    if (rank < 1 || rank > MAX_RANK) {
        (void)err_set(e, GLIM_EFORMAT, "rank %u, expected 1 to %d", rank, MAX_RANK);
        return bad_info(x, t, len, e);
    }
    t->rank = (int)rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t d = 0;
        rc = take(&x->c, 8, "a tensor's dimension", &d, e);
        if (rc != 0)
            return rc;
        if (d == 0 || d > INT64_MAX) {
            (void)err_set(e, GLIM_EFORMAT, "dimension %u is %" PRIu64 ", expected 1 to 2^63-1", i,
                          d);
            return bad_info(x, t, len, e);
        }
        t->dim[rank - 1 - i] = d;
    }
    return GLIM_OK;
}

static int read_info(struct part *x, uint64_t align, struct tensor *t, size_t *len, struct err *e)
{
    struct cursor *const c = &x->c;
    int rc = take_name(c, "a tensor's name", MAX_NAME, &t->name, len, e);
    if (rc == 0)
        rc = read_dims(x, t, *len, e);
    uint32_t id = 0;
    if (rc == 0)
        rc = take_u32(c, "a tensor's type", &id, e);
    if (rc == 0)
        rc = take(c, 8, "a tensor's offset", &t->offset, e);
    if (rc != 0)
        return rc;
    rc = dtype_from_gguf(id, &t->type, e);
    if (rc != 0) {
        (void)bad_info(x, t, *len, e);
        return rc;
    }
    if (t->offset % align != 0) {
        (void)err_set(e, GLIM_EFORMAT,
                      "offset %" PRIu64 ", expected a multiple of the alignment %" PRIu64,
                      t->offset, align);
        return bad_info(x, t, *len, e);
    }
    return GLIM_OK;
}

/* The infos are read twice: where the data starts is known only after the last of them. The first
 * time checks that they end within the file. */
static int find_data(struct part *x, uint64_t align, struct err *e)
{
    const uint8_t *const start = x->c.at;
    for (uint64_t i = 0; i < x->tensors; i++) {
        struct tensor t = {.file = x->file};
        size_t len;
        const int rc = read_info(x, align, &t, &len, e);
        if (rc != 0)
            return rc;
    }
    const uint64_t end = (uint64_t)(x->c.at - x->c.start), size = (uint64_t)(x->c.end - x->c.start);
    x->data_at =
        end
        + (align - end % align) % align; /* end <= size of a map, align small: cannot overflow */
    if (x->tensors > 0 && x->data_at > size)
        return err_set(e, GLIM_EFORMAT,
                       "%s: data should begin at byte %" PRIu64 ", the file has %" PRIu64 " bytes",
                       x->c.path, x->data_at, size);
    x->c.at = start;
    return GLIM_OK;
}

static int add_tensors(struct part *x, uint64_t align, struct err *e)
{
    for (uint64_t i = 0; i < x->tensors; i++) {
        struct tensor t = {.file = x->file};
        size_t len = 0;
        int rc = read_info(x, align, &t, &len, e);
        if (rc != 0)
            return rc;
        const uint64_t offset = t.offset;
        if (!add_u64(offset, x->data_at, &t.offset)) {
            (void)err_set(e, GLIM_EFORMAT, "offset %" PRIu64 ", expected one within the file",
                          offset);
            return bad_info(x, &t, len, e);
        }
        rc = tensorfile_add(x->f, &t, len, e);
        if (rc != 0)
            return rc;
        if (mem_grow(&x->info, &x->info_cap, x->infos + 1, sizeof *x->info) != 0)
            return err_nomem(e, x->c.path, (x->infos + 1) * sizeof *x->info);
        const size_t added = tensorfile_count(x->f) - 1;
        const struct tensor *const a = tensorfile_at(x->f, added);
        x->info[x->infos++] = (struct info){a->offset, a->offset + a->bytes, added};
    }
    return GLIM_OK;
}

static int info_compare(const void *a, const void *b)
{
    const struct info *const x = a, *const y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int check_overlap(struct part *x, struct err *e)
{
    if (x->infos > 1)
        qsort(x->info, x->infos, sizeof *x->info, info_compare);
    for (size_t i = 1; i < x->infos; i++) {
        if (x->info[i].begin < x->info[i - 1].end) {
            return err_set(e, GLIM_EFORMAT,
                           "%s: tensor \"%.200s\": offset: overlaps tensor \"%.200s\"", x->c.path,
                           tensorfile_at(x->f, x->info[i].tensor)->name,
                           tensorfile_at(x->f, x->info[i - 1].tensor)->name);
        }
    }
    return GLIM_OK;
}

/* ---- one part ---- */

static int read_preamble(struct part *x, struct err *e)
{
    struct cursor *const c = &x->c;
    if (left(c) < 4 || memcmp(c->at, "GGUF", 4) != 0)
        return err_set(e, GLIM_EFORMAT, "%s: magic: the file does not begin with \"GGUF\"",
                       c->path);
    c->at += 4;
    uint32_t version = 0;
    int rc = take_u32(c, "the version", &version, e);
    if (rc != 0)
        return rc;
    if (version != 0 && (version & 0xffff) == 0)
        return err_set(e, GLIM_EUNSUPPORTED,
                       "%s: version: the file is big-endian, glim reads little-endian files",
                       c->path);
    if (version < VERSION_MIN || version > VERSION_MAX)
        return err_set(e, GLIM_EUNSUPPORTED, "%s: version %u, expected 2 or 3", c->path, version);
    rc = take(c, 8, "the number of tensors", &x->tensors, e);
    if (rc == 0)
        rc = take(c, 8, "the number of keys", &x->pairs, e);
    if (rc != 0)
        return rc;
    if (x->pairs > MAX_PAIRS || x->pairs > left(c) / MIN_PAIR_BYTES)
        return err_set(e, GLIM_EFORMAT,
                       "%s: number of keys: %" PRIu64 ", the file has %" PRIu64 " bytes (limit %d)",
                       c->path, x->pairs, (uint64_t)(c->end - c->start), MAX_PAIRS);
    if (x->tensors > left(c) / MIN_INFO_BYTES)
        return err_set(e, GLIM_EFORMAT,
                       "%s: number of tensors: %" PRIu64 ", the file has %" PRIu64 " bytes",
                       c->path, x->tensors, (uint64_t)(c->end - c->start));
    return GLIM_OK;
}

/* Reads a mapped file into f and `meta`, which is sealed on return. */
static int read_part(struct tensorfile *f, uint32_t file, struct meta *meta, struct err *e)
{
    const struct io_map *const m = tensorfile_map(f, file);
    struct part x = {.f = f, .meta = meta, .file = file};
    static const uint8_t nothing[1];
    x.c.start = x.c.at = m->size ? m->data : nothing;
    x.c.end = x.c.start + m->size;
    x.c.path = m->path;
    int rc = meta_source(meta, m->path, e);
    if (rc == 0)
        rc = read_preamble(&x, e);
    for (uint64_t i = 0; rc == 0 && i < x.pairs; i++)
        rc = read_pair(&x, e);
    if (rc == 0)
        rc = meta_seal(meta, e);
    uint64_t align = ALIGN_DEFAULT;
    if (rc == 0)
        rc = alignment_of(&x, &align, e);
    if (rc == 0)
        rc = find_data(&x, align, e);
    if (rc == 0)
        rc = add_tensors(&x, align, e);
    if (rc == 0)
        rc = check_overlap(&x, e);
    free(x.info);
    return rc;
}

/* ---- sets ---- */

struct split_name {
    size_t stem; /* bytes before "-00001-of-..." */
    unsigned no, count; /* no from 1; count 0: the name is not of this form */
};

static unsigned five_digits(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 5; i++)
        v = v * 10 + (unsigned)(p[i] - '0');
    return v;
}

static struct split_name parse_name(const char *path)
{
    static const char form[] = "-#####-of-#####.gguf";
    const size_t n = strlen(path), m = sizeof form - 1;
    struct split_name s = {0};
    if (n < m)
        return s;
    const char *const p = path + n - m;
    for (size_t i = 0; i < m; i++) {
        if (form[i] == '#' ? p[i] < '0' || p[i] > '9' : p[i] != form[i])
            return s;
    }
    return (
        struct split_name){.stem = n - m, .no = five_digits(p + 1), .count = five_digits(p + 10)};
}

/* split.no and split.count of a part must be what its name says. */
static int check_split(const struct meta *m, const char *path, uint64_t no, uint64_t count,
                       struct err *e)
{
    uint64_t v = 0;
    int rc = meta_get_u64(m, "split.no", true, 0, MAX_SPLITS, &v, e);
    if (rc == 0 && v != no)
        return err_set(e, GLIM_EFORMAT,
                       "%s: key \"split.no\": value %" PRIu64 ", expected %" PRIu64, path, v, no);
    if (rc == 0)
        rc = meta_get_u64(m, "split.count", true, 0, MAX_SPLITS, &v, e);
    if (rc == 0 && v != count)
        return err_set(e, GLIM_EFORMAT,
                       "%s: key \"split.count\": value %" PRIu64 ", expected %" PRIu64, path, v,
                       count);
    return rc;
}

static int read_next_part(struct tensorfile *f, const char *path, uint64_t no, uint64_t count,
                          struct err *e)
{
    uint32_t file;
    struct meta *m = NULL;
    int rc = tensorfile_add_map(f, path, &file, e);
    if (rc == 0)
        rc = meta_new(&m, e);
    if (rc == 0)
        rc = read_part(f, file, m, e);
    if (rc == 0)
        rc = check_split(m, path, no, count, e);
    meta_free(m);
    return rc;
}

/* The parts after the first. */
static int read_set(struct tensorfile *f, const char *path, const struct split_name *s,
                    struct err *e)
{
    const struct meta *const m = tensorfile_meta(f);
    int rc = check_split(m, path, 0, s->count, e);
    struct buf b;
    buf_init(&b);
    for (unsigned i = 2; rc == 0 && i <= s->count; i++) {
        buf_clear(&b);
        buf_add(&b, path, s->stem);
        buf_addf(&b, "-%05u-of-%05u.gguf", i, s->count);
        rc = b.failed ? err_nomem(e, path, s->stem + 32)
                      : read_next_part(f, b.data, i - 1, s->count, e);
    }
    buf_deinit(&b);
    uint64_t total = tensorfile_count(f);
    const uint64_t have = total;
    if (rc == 0)
        rc = meta_get_u64(m, "split.tensors.count", false, 0, UINT64_MAX, &total, e);
    if (rc == 0 && total != have)
        return err_set(e, GLIM_EFORMAT,
                       "%s: key \"split.tensors.count\": value %" PRIu64
                       ", the parts hold %" PRIu64,
                       path, total, have);
    return rc;
}

static int gguf_open(struct tensorfile *f, const char *path, struct err *e)
{
    const struct split_name s = parse_name(path);
    if (s.count > 0 && s.no != 1) {
        return err_set(e, GLIM_EINVAL,
                       "%s: is part %u of a set of %u: open the first, %.*s-00001-of-%05u.gguf",
                       path, s.no, s.count, (int)min_u64(s.stem, 300), path, s.count);
    }
    uint32_t file;
    int rc = tensorfile_add_map(f, path, &file, e);
    if (rc == 0)
        rc = read_part(f, file, tensorfile_meta_mut(f), e);
    if (rc != 0)
        return rc;
    uint64_t count = 1;
    rc = meta_get_u64(tensorfile_meta(f), "split.count", false, 0, MAX_SPLITS, &count, e);
    if (rc == 0 && count > 1 && s.count <= 1)
        return err_set(e, GLIM_EFORMAT,
                       "%s: key \"split.count\": value %" PRIu64
                       ", expected a file name that ends in -00001-of-%05" PRIu64 ".gguf",
                       path, count, count);
    if (rc == 0 && s.count > 1)
        rc = read_set(f, path, &s, e);
    return rc != 0 ? rc : tensorfile_seal(f, e);
}

const struct tensorfile_reader gguf_reader = {"gguf", FORMAT_GGUF, gguf_open};
