/* room.c - pages for rows of jobs: whose go when there are too few; see service.h. */
#include "base/util.h"
#include "engine/service.h"

uint64_t job_pages(const struct job *j, uint64_t n)
{
    const struct kv *const kv = &j->s.kv;
    const uint64_t from = j->s.mtp ? min_u64(kv->mtp_length, kv->length) : kv->length;
    return kv_own_pages(kv, from, min_u64(kv->length + n, kv->capacity));
}

bool room_evict(struct glim_service *v, uint64_t pages)
{
    while (v->pages.count - v->pages.used < pages) {
        if (!prefix_evict(&v->prefix))
            return false;
    }
    return true;
}

bool job_holds_pages(const struct job *j) { return j->in_step || j->s.kv.length > 0; }

bool room_make(struct glim_service *v, size_t k, uint64_t pages)
{
    for (size_t i = v->jobs; i-- > k + 1;) {
        if (room_evict(v, pages))
            return true;
        if (!v->job[i]->in_step && job_holds_pages(v->job[i]))
            job_set_back(v->job[i]);
    }
    return room_evict(v, pages);
}

static uint64_t pages_to_come(const struct job *j)
{
    return job_pages(j, j->want + KV_PAGE_TOK - j->s.kv.length);
}

uint64_t room_promised(const struct glim_service *v)
{
    uint64_t pages = 0;
    for (size_t i = 0; i < v->jobs; i++)
        pages += job_holds_pages(v->job[i]) ? pages_to_come(v->job[i]) : 0;
    return pages;
}

bool room_to_begin(struct glim_service *v, size_t k, uint64_t promised)
{
    return k == 0 || room_evict(v, promised + pages_to_come(v->job[k]));
}
