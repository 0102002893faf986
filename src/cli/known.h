/* known.h - sums that files should have, as others wrote them down: a manifest of sha256sum, the
 * hub's list of a repository, what its download tool left beside the files.
 *
 * All of it is text of strangers: names that leave the model's folder, sums that are none, and
 * lists without end are refused with the line or the entry that is wrong. Nothing is opened here.
 */
#ifndef GLIM_CLI_KNOWN_H
#define GLIM_CLI_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* GIT: git's SHA-1 of a blob, over "blob SIZE", a 0 byte and the file: how the hub names files that
 * are small enough to stand in the repository itself. */
enum sum_kind { SUM_NONE, SUM_SHA256, SUM_GIT };

struct sum {
    enum sum_kind kind;
    char hex[65]; /* lower case, 0-terminated: 64 or 40 digits; "" for SUM_NONE */
};

enum { KNOWN_MAX = 65536, KNOWN_TEXT_MAX = 16 << 20 }; /* files; bytes of one text */

struct known_file {
    char *name;     /* owned; "model.safetensors", "Q4_K/part.gguf": inside a folder, see below */
    uint64_t bytes; /* UINT64_MAX = not said */
    struct sum sum;
};

struct known { /* zero-initialise */
    struct known_file *file; /* [n] */
    size_t n, cap;
};
void known_deinit(struct known *k);

/* Adds the lines of a manifest as sha256sum writes them: 64 hexadecimal digits, a space, a space or
 * '*', a name; a '\' in front says that '\' and line breaks in the name are escaped. `what` names
 * the text in messages. GLIM_EFORMAT, GLIM_ELIMIT. */
int known_manifest(struct known *k, const char *text, size_t len, const char *what, struct err *e);

/* Adds the files of a page of the hub's list (api/models/OWNER/NAME/tree/REVISION): an array of
 * objects with type, path, size, oid, and lfs.oid for large ones. */
int known_hub(struct known *k, const char *json, size_t len, const char *what, struct err *e);

/* The entry of this name; NULL: none. */
const struct known_file *known_find(const struct known *k, const char *name);
/* Of a file whose place in the list is not known, by its full path: the entry whose name is the
 * longest end of it, else the only one with the same last component; NULL: none, or several. */
const struct known_file *known_find_end(const struct known *k, const char *path);

/* Of text that should be a sum and nothing else: 64 digits are a SHA-256, 40 are git's. */
struct sum sum_parse(const char *text, size_t len);
/* From a .metadata file of the hub's download tool: its second line. */
struct sum sum_of_metadata(const char *text, size_t len);

/* Does it name a file inside a folder: components that are not empty, "." or "..", without '\' and
 * control characters? */
bool name_is_inside(const char *name);

#endif
