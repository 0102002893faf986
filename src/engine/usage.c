/* usage.c - see usage.h.
 *
 * One row is one history: uses as little-endian floats [layers, experts]. tokens counts all that
 * ever came, without decay. The schema is compared as text before anything else is asked of a file,
 * so no view or trigger of somebody else's runs.
 */
#include "engine/usage.h"

#if GLIM_WITH_SQLITE

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

/* Changes come with another version. */
#define SCHEMA                                                                                     \
    "CREATE TABLE usage(model TEXT NOT NULL, workload TEXT NOT NULL, name TEXT NOT NULL, "         \
    "layers INTEGER NOT NULL, experts INTEGER NOT NULL, tokens INTEGER NOT NULL, "                 \
    "uses BLOB NOT NULL, PRIMARY KEY(model, workload)) STRICT"

enum { VERSION = 1, READ_WAIT_MS = 2000, BLOB_MAX = 1 << 26 };

/* One at a time in this process: closing any descriptor of a file drops all the locks that the
 * process has on it. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static int fault(struct err *e, sqlite3 *db, const char *path)
{
    const int rc = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;
    const char *const text = db ? sqlite3_errmsg(db) : "out of memory";
    const int code = rc == SQLITE_NOMEM                            ? GLIM_ENOMEM
                     : rc == SQLITE_BUSY || rc == SQLITE_LOCKED    ? GLIM_ESTOPPED
                     : rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT ? GLIM_EFORMAT
                                                                   : GLIM_EIO;
    return err_set(e, code, "%s: usage history: %s", path, text);
}

static int strange(struct err *e, const char *path, const char *what)
{
    return err_set(e, GLIM_EFORMAT, "%s: usage history: %s", path, what);
}

/* ---- the file ---- */

/* Whether there is a regular file; makes an empty one that only its owner may read, if asked to. */
static int find_file(const char *path, bool make, bool *there, struct err *e)
{
    struct stat st;
    *there = stat(path, &st) == 0;
    if (*there)
        return S_ISREG(st.st_mode) ? GLIM_OK : strange(e, path, "not a regular file");
    if (errno != ENOENT && errno != ENOTDIR)
        return err_set(e, GLIM_EIO, "%s: usage history: %s", path, strerror(errno));
    if (!make)
        return GLIM_OK;
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST)
        return err_set(e, GLIM_EIO, "%s: usage history: %s", path, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    *there = true;
    return GLIM_OK;
}

static int run(sqlite3 *db, const char *path, const char *sql, struct err *e)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? GLIM_OK : fault(e, db, path);
}

/* The first column of the first row, as text; "" if there is none. *out: freed by the caller. */
static int ask(sqlite3 *db, const char *path, const char *sql, char **out, struct err *e)
{
    sqlite3_stmt *q = NULL;
    *out = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK)
        return fault(e, db, path);
    const int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        const unsigned char *const text = rc == SQLITE_ROW ? sqlite3_column_text(q, 0) : NULL;
        *out = strdup(text ? (const char *)text : "");
    }
    (void)sqlite3_finalize(q);
    return *out ? GLIM_OK : fault(e, rc == SQLITE_ROW ? NULL : db, path);
}

/* That the file is a history of this version; an empty one becomes one, if it is to be written. */
static int check_schema(sqlite3 *db, const char *path, bool write, bool *empty, struct err *e)
{
    char *version = NULL, *schema = NULL;
    int rc = ask(db, path, "PRAGMA user_version", &version, e);
    if (rc == 0)
        rc = ask(db, path, "SELECT group_concat(sql, ';') FROM sqlite_schema", &schema, e);
    *empty = rc == 0 && !*schema && strcmp(version, "0") == 0;
    if (rc == 0 && *empty && write)
        rc = run(db, path, SCHEMA "; PRAGMA user_version = 1", e);
    else if (rc == 0 && !*empty && strcmp(version, "1") != 0)
        rc = err_set(e, GLIM_EFORMAT, "%s: usage history: version %s, expected %d", path, version,
                     VERSION);
    else if (rc == 0 && !*empty && strcmp(schema, SCHEMA) != 0)
        rc = strange(e, path, "a database of something else");
    free(version);
    free(schema);
    return rc;
}

static int open_file(const char *path, sqlite3 **db, int wait_ms, struct err *e)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, db, flags, NULL) != SQLITE_OK)
        return fault(e, *db, path);
    (void)sqlite3_busy_timeout(*db, wait_ms);
    (void)sqlite3_limit(*db, SQLITE_LIMIT_LENGTH, BLOB_MAX);
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    return run(*db, path, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON", e);
}

/* What is done with an open file, inside a transaction. */
typedef int work_fn(sqlite3 *db, const char *path, void *ctx, struct err *e);

static int in_transaction(sqlite3 *db, const char *path, bool write, work_fn *work, void *ctx,
                          struct err *e)
{
    bool empty = false;
    int rc = run(db, path, write ? "BEGIN IMMEDIATE" : "BEGIN", e);
    if (rc == 0)
        rc = check_schema(db, path, write, &empty, e);
    if (rc == 0 && (write || !empty))
        rc = work(db, path, ctx, e);
    return rc == 0 ? run(db, path, "COMMIT", e) : rc;
}

/* Without a file there is nothing to read. */
static int with_file(const char *path, bool write, int wait_ms, work_fn *work, void *ctx,
                     struct err *e)
{
    sqlite3 *db = NULL;
    bool there;
    (void)pthread_mutex_lock(&turn);
    int rc = find_file(path, write, &there, e);
    if (rc == 0 && there)
        rc = open_file(path, &db, wait_ms, e);
    if (rc == 0 && there)
        rc = in_transaction(db, path, write, work, ctx, e);
    (void)sqlite3_close(db); /* what was not committed is rolled back */
    (void)pthread_mutex_unlock(&turn);
    return rc;
}

/* ---- rows ---- */

struct job {
    const struct usage_key *key;
    float *uses; /* [layers, experts] */
    uint64_t tokens;
    const uint32_t *more;
    uint64_t more_tokens;
};

static bool sane(const float *uses, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(uses[i]) || uses[i] < 0)
            return false;
    return true;
}

/* out: [n]. */
static int take_row(sqlite3_stmt *q, const char *path, float *out, uint64_t n, uint64_t *tokens,
                    struct err *e)
{
    const sqlite3_int64 seen = sqlite3_column_int64(q, 0);
    const void *const blob = sqlite3_column_blob(q, 1);
    if (!blob || (uint64_t)sqlite3_column_bytes(q, 1) != n * sizeof *out || seen < 0)
        return strange(e, path, "a row of another size");
    memcpy(out, blob, n * sizeof *out);
    *tokens = (uint64_t)seen;
    return sane(out, n) ? GLIM_OK : strange(e, path, "uses that are no numbers");
}

static int prepare(sqlite3 *db, const char *path, const char *sql, const char *model,
                   const char *workload, sqlite3_stmt **q, struct err *e)
{
    if (sqlite3_prepare_v2(db, sql, -1, q, NULL) != SQLITE_OK
        || sqlite3_bind_text(*q, 1, model, -1, SQLITE_STATIC) != SQLITE_OK
        || sqlite3_bind_text(*q, 2, workload, -1, SQLITE_STATIC) != SQLITE_OK)
        return fault(e, db, path);
    return GLIM_OK;
}

static int read_row(sqlite3 *db, const char *path, void *ctx, struct err *e)
{
    struct job *const j = ctx;
    const struct usage_key *const k = j->key;
    sqlite3_stmt *q = NULL;
    int rc = prepare(db, path, "SELECT tokens, uses FROM usage WHERE model = ? AND workload = ?",
                     k->model, k->workload, &q, e);
    const int got = rc == 0 ? sqlite3_step(q) : SQLITE_DONE;
    if (got == SQLITE_ROW)
        rc = take_row(q, path, j->uses, k->layers * k->experts, &j->tokens, e);
    else if (got != SQLITE_DONE)
        rc = fault(e, db, path);
    (void)sqlite3_finalize(q);
    return rc;
}

static int write_row(sqlite3 *db, const char *path, const struct job *j, struct err *e)
{
    const struct usage_key *const k = j->key;
    const uint64_t bytes = k->layers * k->experts * sizeof *j->uses;
    sqlite3_stmt *q = NULL;
    int rc = prepare(db, path, "INSERT OR REPLACE INTO usage VALUES(?, ?, ?, ?, ?, ?, ?)", k->model,
                     k->workload, &q, e);
    if (rc == 0
        && (sqlite3_bind_text(q, 3, k->name, -1, SQLITE_STATIC) != SQLITE_OK
            || sqlite3_bind_int64(q, 4, (sqlite3_int64)k->layers) != SQLITE_OK
            || sqlite3_bind_int64(q, 5, (sqlite3_int64)k->experts) != SQLITE_OK
            || sqlite3_bind_int64(q, 6, (sqlite3_int64)j->tokens) != SQLITE_OK
            || sqlite3_bind_blob64(q, 7, j->uses, bytes, SQLITE_STATIC) != SQLITE_OK
            || sqlite3_step(q) != SQLITE_DONE))
        rc = fault(e, db, path);
    (void)sqlite3_finalize(q);
    return rc;
}

static int add_row(sqlite3 *db, const char *path, void *ctx, struct err *e)
{
    struct job *const j = ctx;
    if (read_row(db, path, j, e) != 0)
        return e->code;
    const double kept = exp2(-(double)j->more_tokens / USAGE_HALF_LIFE_TOK);
    for (uint64_t i = 0; i < j->key->layers * j->key->experts; i++)
        j->uses[i] = (float)((double)j->uses[i] * kept + (double)j->more[i]);
    j->tokens = min_u64(j->tokens + j->more_tokens, INT64_MAX);
    return write_row(db, path, j, e);
}

int usage_read(const char *path, const struct usage_key *k, float *uses, uint64_t *tokens,
               struct err *e)
{
    struct job j = {.key = k, .uses = uses};
    memset(uses, 0, k->layers * k->experts * sizeof *uses);
    const int rc = with_file(path, false, READ_WAIT_MS, read_row, &j, e);
    *tokens = j.tokens;
    return rc;
}

int usage_add(const char *path, const struct usage_key *k, const uint32_t *uses, uint64_t tokens,
              int wait_ms, struct err *e)
{
    const uint64_t n = k->layers * k->experts;
    struct job j = {.key = k, .more = uses, .more_tokens = tokens};
    j.uses = mem_zalloc(n, sizeof *j.uses);
    if (!j.uses)
        return err_nomem(e, "usage history", n * sizeof *j.uses);
    const int rc = with_file(path, true, wait_ms, add_row, &j, e);
    free(j.uses);
    return rc;
}

#else

int usage_read(const char *path, const struct usage_key *k, float *uses, uint64_t *tokens,
               struct err *e)
{
    (void)k;
    (void)uses;
    *tokens = 0;
    return err_set(e, GLIM_EUNSUPPORTED, "%s: usage history: glim was built without SQLite", path);
}

int usage_add(const char *path, const struct usage_key *k, const uint32_t *uses, uint64_t tokens,
              int wait_ms, struct err *e)
{
    (void)k;
    (void)uses;
    (void)tokens;
    (void)wait_ms;
    return err_set(e, GLIM_EUNSUPPORTED, "%s: usage history: glim was built without SQLite", path);
}

#endif
