/* drive.c - see drive.h. */
#include "base/drive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"

enum { IN_FLIGHT = 16 };

/* The i-th stripe to read: one that is far from those before. */
static struct read scattered(const struct reader *r, uint32_t file, uint64_t i, uint8_t *to)
{
    const uint64_t stripes = ceil_div_u64(reader_bytes(r, file), READ_STRIPE);
    const uint64_t stripe = (i * 0x9e3779b97f4a7c15u >> 20) % max_u64(stripes, 1);
    return (struct read){.file = file, .at = stripe * READ_STRIPE, .bytes = READ_STRIPE, .to = to};
}

int drive_measure(struct reader *r, uint32_t file, uint64_t ns, uint64_t bytes,
                  double *bytes_per_s, struct err *e)
{
    struct read read[IN_FLIGHT];
    uint8_t *const memory = aligned_alloc(READ_ALIGN, (size_t)IN_FLIGHT * READ_STRIPE);
    *bytes_per_s = 0;
    if (!memory)
        return err_nomem(e, "blocks of a file", (size_t)IN_FLIGHT * READ_STRIPE);
    memset(memory, 0, (size_t)IN_FLIGHT * READ_STRIPE); /* so the system gives it now */
    const uint64_t n = max_u64(bytes / READ_STRIPE, 1), from = reader_now_ns(r);
    uint64_t begun = 0, got = 0;
    int rc = GLIM_OK;
    for (; begun < IN_FLIGHT && begun < n; begun++) {
        read[begun] = scattered(r, file, begun, memory + begun * READ_STRIPE);
        reader_submit(r, &read[begun]);
    }
    for (struct read *q; (q = reader_next(r, true)) != NULL;) {
        got += q->got;
        if (q->error && rc == GLIM_OK)
            rc = reader_blame(r, q, e);
        if (rc != GLIM_OK || begun == n || reader_now_ns(r) - from >= ns)
            continue;
        *q = scattered(r, file, begun++, q->to);
        reader_submit(r, q);
    }
    *bytes_per_s = (double)got * 1e9 / (double)max_u64(reader_now_ns(r) - from, 1);
    free(memory);
    return rc;
}

/* Bytes that no drive can leave out or pack. */
static int write_noise(int fd, uint64_t bytes, const char *dir, struct err *e)
{
    uint64_t *const block = malloc(READ_STRIPE), state = 1;
    if (!block)
        return err_nomem(e, dir, READ_STRIPE);
    int rc = GLIM_OK;
    for (uint64_t done = 0; rc == GLIM_OK && done < bytes; done += READ_STRIPE) {
        for (size_t i = 0; i < READ_STRIPE / sizeof *block; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            block[i] = state ^ state >> 31;
        }
        rc = io_write_all(fd, block, READ_STRIPE, dir, e);
    }
    free(block);
    if (rc == GLIM_OK && fsync(fd) != 0)
        return err_set(e, GLIM_EIO, "%s: writing: %s", dir, strerror(errno));
    return rc;
}

/* A file without a name, or *path, for the caller to remove and free. */
static int open_nameless(const char *dir, int *fd, char **path, struct err *e)
{
    *path = NULL;
    *fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd < 0 && asprintf(path, "%s/glim-XXXXXX", dir) < 0) {
        *path = NULL;
        return err_nomem(e, dir, strlen(dir));
    }
    if (*fd < 0)
        *fd = mkostemp(*path, O_CLOEXEC);
    if (*fd >= 0)
        return GLIM_OK;
    const int error = errno;
    free(*path);
    *path = NULL;
    return err_set(e, GLIM_EIO, "%s: a file to measure the drive with: %s", dir, strerror(error));
}

int drive_measure_folder(const char *dir, uint64_t ns, uint64_t bytes, double *bytes_per_s,
                         struct err *e)
{
    int fd;
    char *path, self[64];
    struct reader *r = NULL;
    uint32_t file;
    *bytes_per_s = 0;
    if (open_nameless(dir, &fd, &path, e) != 0)
        return e->code;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int rc = write_noise(fd, bytes, dir, e);
    if (rc == GLIM_OK)
        rc = reader_open(&r, IN_FLIGHT, e);
    if (rc == GLIM_OK)
        rc = reader_file(r, path ? path : self, &file, e);
    if (rc == GLIM_OK)
        rc = drive_measure(r, file, ns, bytes, bytes_per_s, e);
    reader_close(r);
    if (path)
        (void)unlink(path);
    free(path);
    close(fd);
    return rc;
}

int drive_room(const char *path, struct drive_room *out, struct err *e)
{
    struct statvfs v;
    struct stat st;
    *out = (struct drive_room){0};
    if (stat(path, &st) != 0 || statvfs(path, &v) != 0)
        return err_set(e, GLIM_EIO, "%s: %s", path, strerror(errno));
    *out = (struct drive_room){.free_bytes = (uint64_t)v.f_bavail * v.f_frsize,
                               .device = (uint64_t)st.st_dev};
    return GLIM_OK;
}
