/* scores.c - see scores.h. */
#include "cli/scores.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's numbers are little-endian");

static const char magic[8] = {'g', 'l', 'i', 'm', 'l', 'o', 'g', '1'};
enum { HEAD_BYTES = 8 + 4 * 8, START_MAX = 16 };

void scores_deinit(struct scores *s)
{
    ids_deinit(&s->start);
    ids_deinit(&s->text);
}

static bool starts_at(const struct scores *s, size_t at)
{
    const size_t n = s->start.n;
    return n > 0 && s->text.n - at >= n
        && memcmp(s->text.id + at, s->start.id, n * sizeof *s->start.id) == 0;
}

size_t scores_window(const struct scores *s, size_t *at)
{
    while (starts_at(s, *at))
        *at += s->start.n;
    const size_t most = (size_t)min_u64(s->window - s->start.n, s->text.n - *at);
    size_t n = 0;
    while (n < most && !starts_at(s, *at + n))
        n++;
    return n;
}

struct scores_count scores_count(const struct scores *s)
{
    struct scores_count c = {0, 0};
    for (size_t at = 0, n; (n = scores_window(s, &at)) > 0; at += n, c.windows++)
        c.rows += n - 1;
    return c;
}

bool scores_write_head(const struct scores *s, struct outfile *f)
{
    const uint64_t head[4] = {s->vocab, s->window, s->start.n, s->text.n};
    return outfile_write(f, magic, sizeof magic) && outfile_write(f, head, sizeof head) &&
           outfile_write(f, s->start.id, s->start.n * sizeof *s->start.id) &&
           outfile_write(f, s->text.id, s->text.n * sizeof *s->text.id);
}

static int malformed(const char *path, const char *what, struct err *e)
{
    return err_set(e, GLIM_EFORMAT, "%s: %s; expected a file that --save-logits wrote", path, what);
}

static int read_ids(struct ids *l, uint64_t n, uint64_t vocab, FILE *f, const char *path,
                    struct err *e)
{
    for (uint64_t i = 0; i < n; i++) {
        int32_t id;
        if (fread(&id, sizeof id, 1, f) != 1)
            return malformed(path, "it ends inside the token ids", e);
        if (id < 0 || (uint64_t)id >= vocab)
            return malformed(path, "a token id lies outside the vocabulary", e);
        const int rc = ids_push(l, id, e);
        if (rc != GLIM_OK)
            return rc;
    }
    return GLIM_OK;
}

/* Bytes that the whole file must have; false if the numbers cannot be right. */
static bool expected_bytes(const struct scores *s, uint64_t *bytes)
{
    uint64_t rows;
    return mul_u64(scores_count(s).rows, s->vocab, &rows) && mul_u64(rows, sizeof(float), &rows) &&
           add_u64(rows, HEAD_BYTES + (s->start.n + s->text.n) * sizeof(int32_t), bytes);
}

static int read_head(struct scores *s, FILE *f, const char *path, struct err *e)
{
    char word[sizeof magic];
    uint64_t head[4], bytes;
    struct stat st;
    if (fread(word, sizeof word, 1, f) != 1 || memcmp(word, magic, sizeof magic) != 0)
        return malformed(path, "no \"glimlog1\" at its start", e);
    if (fread(head, sizeof head, 1, f) != 1)
        return malformed(path, "it ends inside the header", e);
    s->vocab = head[0];
    s->window = head[1];
    if (s->vocab == 0 || s->vocab > INT32_MAX || head[2] > START_MAX || s->window < head[2] + 2)
        return malformed(path, "sizes in the header make no sense", e);
    int rc = read_ids(&s->start, head[2], s->vocab, f, path, e);
    if (rc == GLIM_OK)
        rc = read_ids(&s->text, head[3], s->vocab, f, path, e);
    if (rc != GLIM_OK)
        return rc;
    if (fstat(fileno(f), &st) != 0 || !expected_bytes(s, &bytes) || (uint64_t)st.st_size != bytes)
        return malformed(path, "its length is not what its header says", e);
    return GLIM_OK;
}

int scores_open(struct scores *s, const char *path, FILE **file, struct err *e)
{
    *file = fopen(path, "rbe");
    if (!*file)
        return err_set(e, GLIM_EIO, "%s: %s", path, strerror(errno));
    return read_head(s, *file, path, e);
}
