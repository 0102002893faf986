/* identity.c - a text with all that the bits of a cache's rows depend on, for snapshots: what ran
 * on which level, with which formats, and what the model's files are.
 *
 * A file is its size, the time of its last change and some of its bytes; so a model may move, and
 * is another one as soon as it is written to. Threads, chunks, neighbours, streaming are not in it:
 * they change no bit (D1).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/service.h"

enum { SAMPLES = 16, SAMPLE_BYTES = 4096 };

static int add_file(struct buf *b, const char *path, struct err *e)
{
    char bytes[SAMPLE_BYTES];
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int why = errno;
        if (fd >= 0)
            (void)close(fd);
        return err_set(e, GLIM_EIO, "%s: %s", path, strerror(why));
    }
    buf_addf(b, "file %lld %lld.%09ld\n", (long long)st.st_size, (long long)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec);
    for (int i = 0; i < SAMPLES; i++) {
        const ssize_t n = pread(fd, bytes, sizeof bytes, st.st_size / SAMPLES * i);
        if (n > 0)
            buf_add(b, bytes, (size_t)n);
    }
    (void)close(fd);
    return GLIM_OK;
}

int identity_write(struct buf *b, const struct glim_model *m, const struct session_shape *s,
                   const char *whose, struct err *e)
{
    const struct model_config *const c = &m->model.cfg;
    const struct model_knobs *const k = &c->knobs;
    buf_addf(b, "glim %d.%d.%d\nisa %s %u\n", GLIM_VERSION_MAJOR, GLIM_VERSION_MINOR,
             GLIM_VERSION_PATCH, cpu_level_name(m->isa), cpu_extras());
    buf_addf(b, "cache %d %d, page %d, mtp %d\n", (int)s->kv, (int)s->kv_index, KV_PAGE_TOK,
             s->mtp);
    buf_addf(b, "knobs %a %a %d %d %d %d %d %d %d\n", k->latent_eps, k->index_norm_eps,
             (int)k->index_rope, k->index_hadamard, k->mtp_prenorm, k->moe_by_expert,
             k->expand_off, k->expand_all, k->index_always);
    buf_addf(b, "whose %zu %s\n", strlen(whose), whose);
    for (uint32_t i = 0; i < weights_files(&m->weights); i++) {
        if (add_file(b, weights_file(&m->weights, i), e) != 0)
            return e->code;
    }
    return b->failed ? err_nomem(e, "identity", b->len) : GLIM_OK;
}
