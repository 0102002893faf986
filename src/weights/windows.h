/* windows.h - what of the mapped files has to be read to have matrices in memory of our own:
 * windows whose bounds are multiples of READ_ALIGN, around their weights and scales.
 *
 * What stands close together is read together: a drive takes as long for 16 KiB as for the first
 * byte.
 */
#ifndef GLIM_WEIGHTS_WINDOWS_H
#define GLIM_WEIGHTS_WINDOWS_H

#include "base/reader.h"
#include "weights/weights.h"

enum { MATRIX_PIECES = 2 };

struct piece { /* of a mapped file, and who points to it */
    const void **data;
    uint64_t bytes;
    uint32_t file; /* set by windows_around */
    uint64_t at;
};

struct window {
    uint32_t file;      /* of weights_file */
    uint64_t at, bytes; /* multiples of READ_ALIGN; may end behind the file */
    uint64_t into;      /* where it goes in the memory for all; a multiple too */
};

/* Opens the mapped files for a reader without any, whose numbers for them are then those of
 * weights_file; or finds them open. GLIM_EIO if a path leads to another file by now. */
int windows_open_files(const struct weights *w, struct reader *r, struct err *e);

/* The weights of m, and its scales if it has any; how many pieces that are. */
size_t windows_pieces(struct matrix *m, struct piece out[MATRIX_PIECES]);

/* Windows around p[n], which are put in the order of the files; at most n of them, *windows, in
 * the same order. Returns the bytes of all. */
uint64_t windows_around(const struct weights *w, struct piece *p, size_t n, struct window *out,
                        size_t *windows);
/* Those pieces' pointers now point into memory, where the windows were read to, aligned to
 * READ_ALIGN. */
void windows_move(struct piece *p, size_t n, const struct window *window, uint8_t *memory);

#endif
