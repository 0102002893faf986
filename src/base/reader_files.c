/* reader_files.c - the files of a reader, and which drive reads what of them: see reader.h. */
#include "base/reader_inside.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

const char *reader_error_text(int error)
{
    return error == ENODATA ? "the file is shorter than it was" : strerror(error);
}

/* ---- files ---- */

int reader_file(struct reader *r, const char *path, uint32_t *file, struct err *e)
{
    for (size_t i = 0; i < r->files; i++)
        if (strcmp(r->file[i].path, path) == 0) {
            *file = (uint32_t)i;
            return GLIM_OK;
        }
    if (mem_grow(&r->file, &r->cap, r->files + 1, sizeof *r->file) != 0)
        return err_nomem(e, path, sizeof *r->file);
    struct file f = {.path = strdup(path)};
    if (!f.path)
        return err_nomem(e, path, strlen(path) + 1);
    const int rc = io_open_direct(path, &f.fd, &f.size, e);
    if (rc != 0) {
        free(f.path);
        return rc;
    }
    *file = (uint32_t)r->files;
    f.drives = 1;
    f.copy[0] = *file;
    r->file[r->files++] = f;
    return GLIM_OK;
}

uint64_t reader_bytes(const struct reader *r, uint32_t file) { return r->file[file].size; }

int reader_same(const struct reader *r, uint32_t file, const struct io_map *m, struct err *e)
{
    const struct file *const f = &r->file[file];
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return err_set(e, GLIM_EIO, "%s: %s", f->path, strerror(errno));
    if ((uint64_t)st.st_dev != m->dev || (uint64_t)st.st_ino != m->ino)
        return err_set(e, GLIM_EIO, "%s: another file than when the model was opened", f->path);
    if (f->size != m->size)
        return err_set(e, GLIM_EIO,
                       "%s: %" PRIu64 " bytes, %" PRIu64 " when the model was opened",
                       f->path, f->size, m->size);
    return GLIM_OK;
}

void reader_close_files(struct reader *r)
{
    for (size_t i = 0; i < r->files; i++) {
        close(r->file[i].fd);
        free(r->file[i].path);
    }
    free(r->file);
}

/* ---- drives ---- */

int reader_mirror(struct reader *r, uint32_t file, uint32_t copy, unsigned drive, struct err *e)
{
    struct file *const f = &r->file[file];
    const struct file *const c = &r->file[copy];
    assert(drive > 0 && drive < READ_DRIVES && reader_in_flight(r) == 0);
    if (c->size != f->size)
        return err_set(e, GLIM_EINVAL, "%s: %" PRIu64 " bytes, expected %" PRIu64 " as in %s",
                       c->path, c->size, f->size, f->path);
    f->drives |= 1u << drive;
    f->copy[drive] = copy;
    r->least = (unsigned)max_u64(r->least, min_u64((drive + 1) * WIDTH_MIN, r->depth));
    r->width = (unsigned)max_u64(r->width, r->least);
    r->drives = (unsigned)max_u64(r->drives, drive + 1);
    memset(r->brought, 0, sizeof r->brought);
    return GLIM_OK;
}

void reader_share(struct reader *r, unsigned drive, double weight)
{
    assert(drive < READ_DRIVES && weight > 0);
    r->weight[drive] = weight;
}

void reader_on_notice(struct reader *r, reader_notice_fn *fn, void *ctx)
{
    r->notice = fn;
    r->notice_ctx = ctx;
}

void reader_tell(const struct reader *r, const char *text)
{
    if (r->notice)
        r->notice(r->notice_ctx, text);
}

uint64_t reader_drive_bytes(const struct reader *r, unsigned drive) { return r->brought[drive]; }

/* Those that have f and are not in `failed`; without the ones left out, if there are others. */
static unsigned usable(const struct reader *r, const struct file *f, unsigned failed)
{
    const unsigned all = f->drives & ~failed, sound = all & ~r->left_out;
    return sound ? sound : all;
}

/* The one of `drives` whose stripe this is. */
static unsigned owner_of(const struct reader *r, uint32_t file, uint64_t at, unsigned drives)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u; /* 0.618... * 2^64 */
    const uint64_t fraction = (at / READ_STRIPE + (uint64_t)file * 97) * golden;
    double all = 0;
    unsigned last = 0;
    for (unsigned d = 0; d < READ_DRIVES; d++)
        all += drives >> d & 1 ? r->weight[d] : 0;
    double x = (double)(fraction >> 11) * 0x1p-53 * all;
    for (unsigned d = 0; d < READ_DRIVES; d++) {
        if (!(drives >> d & 1))
            continue;
        last = d;
        if (x < r->weight[d])
            break;
        x -= r->weight[d];
    }
    return last;
}

unsigned reader_drive_of(const struct reader *r, uint32_t file, uint64_t at, bool other)
{
    const unsigned drives = usable(r, &r->file[file], 0);
    const unsigned own = owner_of(r, file, at, drives), others = drives & ~(1u << own);
    return other && others ? owner_of(r, file, at, others) : own;
}

const struct file *reader_copy(const struct reader *r, uint32_t file, unsigned drive)
{
    return &r->file[r->file[file].copy[drive]];
}

const char *reader_path(const struct reader *r, uint32_t file, unsigned drive)
{
    return reader_copy(r, file, drive)->path;
}

bool reader_move(struct reader *r, struct read *q, int error)
{
    const struct file *const f = &r->file[q->file];
    q->failed |= 1u << q->drive;
    const unsigned drives = usable(r, f, q->failed);
    if (!drives)
        return false;
    if (!(r->left_out >> q->drive & 1)) {
        struct err e;
        r->left_out |= 1u << q->drive;
        (void)err_set(&e, GLIM_EIO, "%s: reading %zu bytes at %" PRIu64 ": %s; other drives read "
                      "what they have copies of from now on",
                      reader_path(r, q->file, q->drive), q->piece_bytes, q->piece_at,
                      reader_error_text(error));
        reader_tell(r, e.text);
    }
    q->drive = owner_of(r, q->file, q->at, drives);
    q->fd = reader_copy(r, q->file, q->drive)->fd;
    q->tries = 0;
    return true;
}
