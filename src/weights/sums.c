/* sums.c - see sums.h. */
#include "weights/sums.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/util.h"
#include "weights/store.h"

static const char magic[8] = "glimsum1";

enum { SAVE_MS = 5000, HEAD = 4 }; /* 64-bit words before known */

struct sums {
    const struct weights *weights;
    const struct experts *experts;
    char *path;
    uint64_t *word;       /* [words] the sidecar */
    uint64_t *known, *sum; /* in it */
    size_t words;
};

/* ---- the sidecar ---- */

/* What the files are, and what names them. */
static int identify(const struct weights *w, uint64_t *paths, uint64_t *all, struct err *e)
{
    struct buf names, b;
    int rc = GLIM_OK;
    buf_init(&names);
    buf_init(&b);
    for (uint32_t i = 0; rc == 0 && i < weights_files(w); i++) {
        struct stat st;
        const char *const path = weights_file(w, i);
        char *const real = realpath(path, NULL);
        if (!real || stat(real, &st) != 0)
            rc = err_set(e, GLIM_EIO, "%s: %s", path, strerror(errno));
        else
            buf_addf(&b, "%s %lld %lld.%09ld %llu %llu\n", real, (long long)st.st_size,
                     (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                     (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        buf_addf(&names, "%s\n", real ? real : "");
        free(real);
    }
    if (rc == 0 && (b.failed || names.failed))
        rc = err_nomem(e, "names of files", b.len);
    *paths = XXH3_64bits(names.data, names.len);
    *all = XXH3_64bits(b.data, b.len);
    buf_deinit(&b);
    buf_deinit(&names);
    return rc;
}

static uint64_t own_sum(const struct sums *s)
{
    return XXH3_64bits(s->word, (s->words - 1) * sizeof *s->word);
}

static void begin_empty(struct sums *s, uint64_t files)
{
    memset(s->word, 0, s->words * sizeof *s->word);
    memcpy(s->word, magic, sizeof magic);
    s->word[1] = s->experts->layers;
    s->word[2] = s->experts->per_layer;
    s->word[3] = files;
}

/* Takes over the sidecar if it is whole and of these files. */
static void load(struct sums *s, uint64_t files)
{
    char *bytes = NULL;
    size_t len = 0;
    struct err e;
    const size_t want = s->words * sizeof *s->word;
    begin_empty(s, files);
    if (io_read_file(s->path, want, &bytes, &len, &e) == 0 && len == want
        && memcmp(bytes, s->word, HEAD * sizeof *s->word) == 0) {
        memcpy(s->word, bytes, want);
        if (s->word[s->words - 1] != own_sum(s))
            begin_empty(s, files);
    }
    free(bytes);
}

/* Beside its name, and renamed when whole. */
static int save(struct sums *s, struct err *e)
{
    struct buf part;
    buf_init(&part);
    buf_addf(&part, "%s.part", s->path);
    s->word[s->words - 1] = own_sum(s);
    int rc = part.failed ? err_nomem(e, s->path, part.len) : GLIM_OK;
    const int fd = rc ? -1 : open(part.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (rc == 0 && fd < 0)
        rc = err_set(e, GLIM_EIO, "%s: %s", part.data, strerror(errno));
    if (rc == 0)
        rc = io_write_all(fd, s->word, s->words * sizeof *s->word, part.data, e);
    if (fd >= 0 && close(fd) != 0 && rc == 0)
        rc = err_set(e, GLIM_EIO, "%s: %s", part.data, strerror(errno));
    if (rc == 0 && rename(part.data, s->path) != 0)
        rc = err_set(e, GLIM_EIO, "%s: %s", s->path, strerror(errno));
    buf_deinit(&part);
    return rc;
}

int sums_open(struct sums **out, const struct weights *w, const struct experts *x,
              const char *folder, struct err *e)
{
    uint64_t paths, files;
    struct buf path;
    *out = NULL;
    if (identify(w, &paths, &files, e) != 0)
        return e->code;
    const uint64_t n = x->layers * x->per_layer;
    struct sums *const s = mem_zalloc(1, sizeof *s);
    if (!s)
        return err_nomem(e, "checksums", sizeof *s);
    s->weights = w;
    s->experts = x;
    s->words = HEAD + x->layers + n * SUMS + 1;
    s->word = mem_zalloc(s->words, sizeof *s->word);
    buf_init(&path);
    buf_addf(&path, "%s/sums-%016" PRIx64, folder, paths);
    s->path = buf_take(&path, NULL);
    if (!s->word || !s->path) {
        sums_close(s);
        return err_nomem(e, "checksums", n * SUMS * sizeof *s->word);
    }
    s->known = s->word + HEAD;
    s->sum = s->known + x->layers;
    load(s, files);
    *out = s;
    return GLIM_OK;
}

void sums_close(struct sums *s)
{
    if (!s)
        return;
    free(s->word);
    free(s->path);
    free(s);
}

/* ---- experts ---- */

/* All sums of an expert that stands at `at`. */
static void sum_up(const struct expert *at, uint64_t sum[SUMS])
{
    for (size_t i = 0; i < SUMS / MATRIX_PIECES; i++) {
        struct piece piece[MATRIX_PIECES];
        struct matrix m = *expert_matrix(at, i);
        const size_t n = windows_pieces(&m, piece);
        for (size_t p = 0; p < MATRIX_PIECES; p++)
            sum[i * MATRIX_PIECES + p] =
                p < n ? XXH3_64bits(*piece[p].data, (size_t)piece[p].bytes) : 0;
    }
}

bool sums_match(const struct sums *s, uint32_t key, const struct expert *at)
{
    uint64_t sum[SUMS];
    sum_up(at, sum);
    return memcmp(sum, s->sum + (size_t)key * SUMS, sizeof sum) == 0;
}

int sums_blame(const struct sums *s, uint32_t key, const struct expert *at, struct err *e)
{
    const uint64_t *const want = s->sum + (size_t)key * SUMS;
    uint64_t sum[SUMS], where;
    uint32_t file = 0;
    size_t i = 0;
    sum_up(at, sum);
    while (i + 1 < SUMS && sum[i] == want[i])
        i++;
    const struct matrix *const m = expert_matrix(&s->experts->table[key], i / MATRIX_PIECES);
    const bool scales = i % MATRIX_PIECES != 0;
    (void)weights_locate(s->weights, scales ? (const void *)m->scale : m->data, &file, &where);
    return err_set(e, GLIM_EIO,
                   "expert %u of tensor \"%s\"%s: %s: read twice, its checksum is %016" PRIx64
                   ", expected %016" PRIx64 " of %s; glim verify says whether the file is right: "
                   "if so, remove the latter",
                   (unsigned)(key % s->experts->per_layer), m->name, scales ? ", scales" : "",
                   weights_file(s->weights, file), sum[i], want[i], s->path);
}

/* ---- building ---- */

struct building {
    struct sums *sums;
    struct store *store;
    uint32_t *expert, *place;    /* [per_layer] */
    const struct expert **lease; /* [per_layer] */
    uint64_t saved_ns;
};

/* Every expert of a layer, in any order. */
static int build_layer(struct building *b, uint64_t layer, struct err *e)
{
    struct sums *const s = b->sums;
    const size_t all = s->experts->per_layer;
    int rc = GLIM_OK;
    size_t n = 1;
    store_begin(b->store, layer, b->expert, all);
    while (rc == 0 && n > 0) {
        rc = store_next(b->store, true, b->place, b->lease, &n, e);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            sum_up(b->lease[i], s->sum + (layer * all + b->expert[b->place[i]]) * SUMS);
            store_release(b->store, b->lease[i]);
        }
    }
    store_end(b->store);
    s->known[layer] = rc == 0;
    return rc;
}

static int build_layers(struct building *b, sums_progress_fn *progress, void *ctx, struct err *e)
{
    struct sums *const s = b->sums;
    uint64_t done = 0, total = 0;
    for (uint64_t l = 0; l < s->experts->layers; l++)
        total += store_layer_bytes(b->store, l);
    for (uint64_t l = 0; l < s->experts->layers; l++) {
        if (progress && progress(ctx, done, total))
            return err_set(e, GLIM_ESTOPPED, "stopped");
        if (s->known[l] != 1 && build_layer(b, l, e) != 0)
            return e->code;
        done += store_layer_bytes(b->store, l);
        if (now_ns() - b->saved_ns < SAVE_MS * 1000000ull)
            continue;
        if (save(s, e) != 0)
            return e->code;
        b->saved_ns = now_ns();
    }
    return GLIM_OK;
}

static bool all_known(const struct sums *s)
{
    for (uint64_t l = 0; l < s->experts->layers; l++)
        if (s->known[l] != 1)
            return false;
    return true;
}

/* A file that changed meanwhile has sums of neither of its states. */
static int check_unchanged(struct sums *s, struct err *e)
{
    uint64_t paths, files;
    if (identify(s->weights, &paths, &files, e) != 0)
        return e->code;
    if (files == s->word[3])
        return GLIM_OK;
    begin_empty(s, files);
    return err_set(e, GLIM_EIO, "%s: changed while its checksums were made",
                   weights_file(s->weights, 0));
}

int sums_build(struct sums *s, struct store *store, sums_progress_fn *progress, void *ctx,
               struct err *e)
{
    if (all_known(s))
        return GLIM_OK;
    const size_t all = s->experts->per_layer;
    struct building b = {.sums = s, .store = store, .saved_ns = now_ns()};
    b.expert = mem_zalloc(all, sizeof *b.expert);
    b.place = mem_zalloc(all, sizeof *b.place);
    b.lease = mem_zalloc(all, sizeof *b.lease);
    int rc = b.expert && b.place && b.lease ? GLIM_OK : err_nomem(e, "list of experts", all);
    for (size_t i = 0; rc == 0 && i < all; i++)
        b.expert[i] = (uint32_t)i;
    if (rc == 0)
        rc = build_layers(&b, progress, ctx, e);
    free(b.lease);
    free(b.place);
    free(b.expert);
    struct err other;
    const int changed = check_unchanged(s, rc == 0 ? e : &other);
    const int saved = changed ? 0 : save(s, rc == 0 ? e : &other);
    return rc ? rc : changed ? changed : saved;
}
