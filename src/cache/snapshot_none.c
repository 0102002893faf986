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

#endif
