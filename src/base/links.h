/* links.h - where symbolic links in a model's folder may lead. */
#ifndef GLIM_BASE_LINKS_H
#define GLIM_BASE_LINKS_H

#include <sys/stat.h>

#include "base/err.h"

/* A link in a model's folder may lead to a file of the folder or, as in the Hugging Face cache, to
 * ../../blobs; elsewhere it could pass any file of this machine off as part of the model. Resolves
 * `path`, links in its folders too; on success *target identifies the file that may be opened.
 * GLIM_EIO: it leads nowhere; GLIM_EFORMAT: elsewhere. */
int link_check(const char *folder, const char *path, struct stat *target, struct err *e);

#endif
