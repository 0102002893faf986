/* links.c - see links.h. */
#include "base/links.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* Is `path` below `folder`? Both resolved. */
static bool is_below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || (n > 0 && folder[n - 1] == '/'));
}

int link_check(const char *folder, const char *path, struct stat *target, struct err *e)
{
    char *const real = realpath(path, NULL);
    const int error = errno;
    char *const root = realpath(folder, NULL);
    struct buf b;
    int rc = GLIM_OK;
    buf_init(&b);
    buf_addf(&b, "%s/../../blobs", root ? root : "");
    char *const blobs = root && !b.failed ? realpath(b.data, NULL) : NULL;
    if (b.failed)
        rc = err_nomem(e, path, b.len);
    else if (!real || !root)
        rc = err_set(e, GLIM_EIO, "%s: %s", path, strerror(real ? errno : error));
    else if (!is_below(real, root) && !(blobs && is_below(real, blobs)))
        rc = err_set(e, GLIM_EFORMAT, "%s: is a link to %s, expected one inside the model's folder",
                     path, real);
    else if (stat(real, target) != 0)
        rc = err_set(e, GLIM_EIO, "%s: %s", real, strerror(errno));
    buf_deinit(&b);
    free(blobs);
    free(root);
    free(real);
    return rc;
}
