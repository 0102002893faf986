/* verify_state.c - what glim verify keeps between runs, so that one that was stopped goes on: a
 * line for each file that was hashed and not found wrong, in $XDG_CACHE_HOME/glim/verify-KEY.
 *
 *     glim verify 1
 *     SHA256 GIT BYTES DEVICE INODE MTIME_NS NAME          (GIT may be "-")
 *
 * It is a stranger's text like any other, and counts only for a file that is what it was. Once all
 * files were compared and equal it is removed: who asks again wants them read again.
 */
#include "cli/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "cli/dirs.h"
#include "cli/outfile.h"

static const char head[] = "glim verify 1\n";

static bool state_path(const struct verify *v, char path[USER_PATH_MAX])
{
    char name[64];
    char *const real = realpath(v->folder, NULL);
    struct buf key;
    buf_init(&key);
    buf_addf(&key, "%s/%s", real ? real : "", v->is_folder || !v->files ? "" : v->file[0].name);
    const struct sum s = real && !key.failed ? hash_text(key.data) : (struct sum){.kind = SUM_NONE};
    buf_deinit(&key);
    free(real);
    (void)snprintf(name, sizeof name, "verify-%.16s", s.hex);
    return s.kind != SUM_NONE && user_path(USER_CACHE, name, path);
}

/* A word up to a space; moves *at behind it. */
static const char *word(char **at)
{
    char *const from = *at, *const space = strchr(from, ' ');
    if (!space)
        return NULL;
    *space = 0;
    *at = space + 1;
    return from;
}

static bool number(char **at, uint64_t *out)
{
    const char *const w = word(at);
    char *end = NULL;
    if (!w || *w < '0' || *w > '9')
        return false;
    *out = strtoull(w, &end, 10);
    return *end == 0;
}

static struct verify_file *file_named(const struct verify *v, const char *name)
{
    for (size_t i = 0; i < v->files; i++)
        if (strcmp(v->file[i].name, name) == 0)
            return &v->file[i];
    return NULL;
}

/* Takes over a line, if it is whole, about a file that is what it was, and not about to fail. */
static void recall(const struct verify *v, char *line)
{
    struct file_id id;
    uint64_t mtime;
    const char *const sha256 = word(&line), *const git = sha256 ? word(&line) : NULL;
    if (!git || !number(&line, &id.bytes) || !number(&line, &id.dev) || !number(&line, &id.ino)
        || !number(&line, &mtime))
        return;
    id.mtime_ns = (int64_t)mtime;
    struct verify_file *const f = file_named(v, line);
    const struct sum a = sum_parse(sha256, strlen(sha256)), b = sum_parse(git, strlen(git));
    if (!f || f->status != VERIFY_WAITING || memcmp(&f->id, &id, sizeof id) != 0
        || a.kind != SUM_SHA256)
        return;
    const struct sum *const same = f->expected.kind == SUM_GIT ? &b : &a;
    if (f->expected.kind != SUM_NONE && strcmp(same->hex, f->expected.hex) != 0)
        return;
    f->sha256 = a;
    f->git = b.kind == SUM_GIT ? b : (struct sum){.kind = SUM_NONE};
    f->earlier = true;
}

void verify_recall(struct verify *v)
{
    char path[USER_PATH_MAX], *text;
    size_t len;
    struct err e;
    if (!state_path(v, path) || io_read_file(path, KNOWN_TEXT_MAX, &text, &len, &e) != 0)
        return;
    if (strlen(text) == len && strncmp(text, head, sizeof head - 1) == 0)
        for (char *line = text + sizeof head - 1, *end; (end = strchr(line, '\n')) != NULL;
             line = end + 1) {
            *end = 0;
            recall(v, line);
        }
    free(text);
}

static void add_line(struct buf *b, const struct verify_file *f)
{
    if ((f->status != VERIFY_OK && f->status != VERIFY_NO_SUM) || strchr(f->name, '\n'))
        return;
    buf_addf(b, "%s %s %llu %llu %llu %llu %s\n", f->sha256.hex,
             f->git.kind == SUM_GIT ? f->git.hex : "-", (unsigned long long)f->id.bytes,
             (unsigned long long)f->id.dev, (unsigned long long)f->id.ino,
             (unsigned long long)f->id.mtime_ns, f->name);
}

void verify_remember(const struct verify *v)
{
    char path[USER_PATH_MAX];
    struct outfile out;
    struct glim_error e;
    if (!state_path(v, path))
        return;
    if (verify_count(v, VERIFY_OK) == v->files) {
        (void)unlink(path);
        return;
    }
    struct buf b;
    buf_init(&b);
    buf_adds(&b, head);
    for (size_t i = 0; i < v->files; i++)
        add_line(&b, &v->file[i]);
    /* A cache: what cannot be kept is read again. */
    if (!b.failed && outfile_open(&out, path, &e) == GLIM_OK) {
        (void)outfile_write(&out, b.data, b.len);
        (void)outfile_close(&out, GLIM_OK, &e);
    }
    buf_deinit(&b);
}
