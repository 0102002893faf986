/* verify.h - glim verify among its rooms: which files a model has (verify_files.c), what their sums
 * should be (verify_expect.c, known.c, hub.c), reading and hashing (verify_hash.c), all of them and
 * what an earlier run found out (verify_run.c, verify_state.c), what is printed (verify_text.c).
 */
#ifndef GLIM_CLI_VERIFY_H
#define GLIM_CLI_VERIFY_H

#include "cli/known.h"
#include "cli/opts.h"
#include "glim.h"

struct file_id { /* of a file's content, as far as its file system tells: if equal, unchanged */
    uint64_t bytes, dev, ino;
    int64_t mtime_ns;
};

enum verify_status {
    VERIFY_WAITING,
    VERIFY_OK,      /* compared, equal */
    VERIFY_FAILED,  /* compared, not equal */
    VERIFY_MISSING,
    VERIFY_NO_SUM,  /* hashed; nothing to compare with */
    VERIFY_ERROR,   /* could not be read */
};

struct verify_file {
    char *name, *path; /* owned; name: inside the model's folder, as in a manifest */
    struct file_id id;
    struct sum expected;
    uint64_t expected_bytes; /* UINT64_MAX = not said */
    const char *source;     /* who says so; static, NULL = nobody */
    struct sum sha256, git; /* found; git: only where it is expected */
    bool earlier;           /* by an earlier run; not read again */
    enum verify_status status;
    struct glim_error error; /* VERIFY_ERROR, and VERIFY_MISSING behind a link that leaves */
};

struct verify {
    const struct opts *o;
    const char *model;        /* as the user named it */
    char *folder;             /* owned: the model's, or the one around its file */
    bool is_folder;
    struct verify_file *file; /* [files], by name */
    size_t files, cap;
    uint64_t bytes;           /* of all files */
    uint64_t read_bytes, ns;  /* by this run */
    size_t compared;
};
void verify_deinit(struct verify *v);

/* Fills v->file: of a GGUF file itself and the other parts of its set; of a folder all files for
 * weights, configuration, tokenizer and templates. Absent parts are VERIFY_MISSING. */
int verify_list(struct verify *v, struct glim_error *e);
void verify_sort(struct verify *v); /* v->file, by name */
/* Adds a file that a list names, if it is not there: VERIFY_MISSING if it is not on disk either. */
int verify_add(struct verify *v, const char *name, struct glim_error *e);
bool verify_is_part(const char *name); /* of a model: a file that verify_list takes from a folder */
int file_identify(const char *path, struct file_id *out); /* errno, 0 = all went well */

/* Finds out what each file's sum should be; may add files that are missing. */
int verify_expect(struct verify *v, struct glim_error *e);
/* Adds the hub's list of o->hub, OWNER/NAME[@REVISION], to k. Talks to the network. */
int hub_list(const struct opts *o, struct known *k, struct glim_error *e);

/* Hashes a file. tick, called after each MiB with how many bytes, may return false to stop:
 * GLIM_ESTOPPED. */
typedef bool hash_tick_fn(void *ctx, uint64_t bytes);
int hash_file(struct verify_file *f, hash_tick_fn *tick, void *ctx, struct err *e);
/* SHA-256 of a text; for names of files. */
struct sum hash_text(const char *text);

/* Hashes what has not been, several files at a time, and judges it; on_file (may be NULL) is called
 * for each in turn, in the order of v->file. GLIM_ESTOPPED: Ctrl-C. */
typedef void verify_file_fn(const struct verify *v, const struct verify_file *f);
int verify_run(struct verify *v, verify_file_fn *on_file, struct glim_error *e);

/* What earlier runs found out about this model's files, as far as these are what they were. */
void verify_recall(struct verify *v);
/* Keeps it for the next run; removes it once all files were compared and equal. */
void verify_remember(const struct verify *v);

/* ---- what is printed ---- */

void verify_line(const struct verify *v, const struct verify_file *f);
/* "SUM  NAME" with a line break, as sha256sum writes it. */
struct buf;
void verify_manifest_line(struct buf *b, const struct verify_file *f);
void verify_json(const struct verify *v);
size_t verify_count(const struct verify *v, enum verify_status s);

#endif
