/* snapshot_none.c - snapshots of a glim that was built without zstd or OpenSSL: they cannot be
 * opened, and say so. */
#include "cache/snapshot.h"

#if !(GLIM_WITH_ZSTD && GLIM_WITH_SSL)

#include <string.h>

int snapshot_open(struct snapshot **out, const char *folder, uint64_t page_bytes, uint64_t budget,
                  const void *identity, size_t n, struct err *e)
{
    (void)page_bytes;
    (void)budget;
    (void)identity;
    (void)n;
    *out = NULL;
    return err_set(e, GLIM_EUNSUPPORTED,
                   "%s: this glim was built without zstd or OpenSSL, and keeps no prefixes on disk",
                   folder);
}

void snapshot_close(struct snapshot *s) { (void)s; }

int snapshot_name(const struct snapshot *s, const struct snapshot_key *key,
                  const struct snapshot_name *before, const int32_t *token, const uint8_t *role,
                  struct snapshot_name *out, struct err *e)
{
    (void)s;
    (void)key;
    (void)before;
    (void)token;
    (void)role;
    (void)out;
    return err_set(e, GLIM_EUNSUPPORTED, "built without snapshots");
}

bool snapshot_touch(struct snapshot *s, const struct snapshot_name *name)
{
    (void)s;
    (void)name;
    return false;
}

bool snapshot_read(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, uint8_t *page)
{
    (void)s;
    (void)name;
    (void)token;
    (void)role;
    (void)page;
    return false;
}

int snapshot_write(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, const uint8_t *page, uint64_t *bytes, struct err *e)
{
    (void)s;
    (void)name;
    (void)token;
    (void)role;
    (void)page;
    (void)bytes;
    return err_set(e, GLIM_EUNSUPPORTED, "built without snapshots");
}

void snapshot_remove(struct snapshot *s, const struct snapshot_name *name)
{
    (void)s;
    (void)name;
}

/* ---- snapshot_form.h ---- */

int snapshot_identity(const void *bytes, size_t n, uint8_t out[SNAPSHOT_HASH], struct err *e)
{
    (void)bytes;
    (void)n;
    memset(out, 0, SNAPSHOT_HASH);
    return err_set(e, GLIM_EUNSUPPORTED,
                   "this glim was built without zstd or OpenSSL, and saves no prefixes");
}

int snapshot_form_init(struct snapshot_form *f, uint64_t page_bytes,
                       const uint8_t identity[SNAPSHOT_HASH], struct err *e)
{
    (void)page_bytes;
    *f = (struct snapshot_form){0};
    return snapshot_identity(identity, SNAPSHOT_HASH, f->identity, e);
}

void snapshot_form_deinit(struct snapshot_form *f) { (void)f; }

int snapshot_form_name(const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                       const struct snapshot_name *before, const int32_t *token,
                       const uint8_t *role, struct snapshot_name *out, struct err *e)
{
    (void)identity;
    (void)key;
    (void)before;
    (void)token;
    (void)role;
    (void)out;
    return err_set(e, GLIM_EUNSUPPORTED, "built without snapshots");
}

int snapshot_form_pack(struct snapshot_form *f, const struct snapshot_name *name,
                       const int32_t *token, const uint8_t *role, const uint8_t *page, size_t *n,
                       struct err *e)
{
    (void)f;
    (void)name;
    (void)token;
    (void)role;
    (void)page;
    (void)n;
    return err_set(e, GLIM_EUNSUPPORTED, "built without snapshots");
}

uint64_t snapshot_form_bytes(const struct snapshot_form *f, bool with_key)
{
    (void)f;
    (void)with_key;
    return 0;
}

bool snapshot_form_next(struct snapshot_form *f, const struct snapshot_key *key,
                        const struct snapshot_name *before, uint64_t n,
                        struct snapshot_name *name, struct snapshot_rows *rows, uint8_t *page)
{
    (void)f;
    (void)key;
    (void)before;
    (void)n;
    (void)name;
    (void)rows;
    (void)page;
    return false;
}

#endif
