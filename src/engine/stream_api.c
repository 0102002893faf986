/* stream_api.c - what streaming has done so far, and how fast the drive is. */
#include "engine/engine.h"

#include "weights/store.h"

void glim_model_streaming(const glim_model *m, struct glim_streaming *out)
{
    const struct store *const s = m->model.experts.store;
    *out = (struct glim_streaming){0};
    if (!s)
        return;
    struct store_counts c;
    store_count(s, &c);
    *out = (struct glim_streaming){
        .streamed = true,
        .reads = store_reads(s),
        .always_bytes = m->resident.bytes,
        .room_bytes = store_bytes(s),
        .locked = m->resident.locked,
        .wanted = c.wanted,
        .hits = c.hits,
        .read_bytes = c.bytes,
        .wait_ns = c.wait_ns,
        .checked = c.checked,
        .check_ns = c.check_ns,
        .wrong = c.wrong,
    };
    for (unsigned d = 0; d <= m->mirrors; d++)
        out->drive_bytes[d] = reader_drive_bytes(m->reader, d);
}

int glim_model_drive(glim_model *m, double *gb_s, struct glim_error *err)
{
    struct err e = {0};
    enum { DRIVE_NS = 1000000000 };
    struct store *const s = m->model.experts.store;
    *gb_s = 0;
    if (!s)
        return give(err, &e, err_set(&e, GLIM_EINVAL, "nothing of this model is streamed"));
    const int rc = store_measure(s, DRIVE_NS, gb_s, &e);
    *gb_s /= 1e9;
    return give(err, &e, rc);
}
