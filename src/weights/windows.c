/* windows.c - see windows.h. */
#include "weights/windows.h"

#include <assert.h>
#include <stdlib.h>

#include "base/util.h"

/* Bytes between two pieces that are read along rather than left out. */
enum { GAP_MAX = 1 << 16 };

int windows_open_files(const struct weights *w, struct reader *r, struct err *e)
{
    for (uint32_t i = 0; i < weights_files(w); i++) {
        uint32_t file;
        if (reader_file(r, weights_file(w, i), &file, e) != 0
            || reader_same(r, file, tensorfile_map(w->file, i), e) != 0)
            return e->code;
        assert(file == i);
    }
    return GLIM_OK;
}

size_t windows_pieces(struct matrix *m, struct piece out[MATRIX_PIECES])
{
    out[0] = (struct piece){.data = (const void **)(void *)&m->data,
                            .bytes = m->rows * m->row_bytes};
    if (!m->scale)
        return 1;
    out[1] = (struct piece){.data = (const void **)(void *)&m->scale,
                            .bytes = matrix_scales(m) * sizeof *m->scale};
    return 2;
}

static int in_file_order(const void *a, const void *b)
{
    const struct piece *const x = a, *const y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

uint64_t windows_around(const struct weights *w, struct piece *p, size_t n, struct window *out,
                        size_t *windows)
{
    for (size_t i = 0; i < n; i++) {
        const bool known = weights_locate(w, *p[i].data, &p[i].file, &p[i].at);
        assert(known);
        (void)known;
    }
    qsort(p, n, sizeof *p, in_file_order);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        struct window *last = k ? &out[k - 1] : NULL;
        const uint64_t at = p[i].at / READ_ALIGN * READ_ALIGN;
        const uint64_t end = ceil_div_u64(p[i].at + p[i].bytes, READ_ALIGN) * READ_ALIGN;
        if (!last || last->file != p[i].file || at > last->at + last->bytes + GAP_MAX) {
            last = &out[k++];
            *last = (struct window){.file = p[i].file, .at = at};
        }
        last->bytes = max_u64(end, last->at + last->bytes) - last->at;
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < k; i++) {
        out[i].into = bytes;
        bytes += out[i].bytes;
    }
    *windows = k;
    return bytes;
}

void windows_move(struct piece *p, size_t n, const struct window *window, uint8_t *memory)
{
    for (size_t i = 0; i < n; i++) {
        while (window->file != p[i].file || p[i].at >= window->at + window->bytes)
            window++;
        *p[i].data = memory + window->into + (p[i].at - window->at);
    }
}
