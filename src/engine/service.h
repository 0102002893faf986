/* service.h - one thread that runs a model for many requests. See glim.h for what it promises.
 *
 * Callers put requests into the queue and look at counts, under the lock. The thread takes requests
 * from the queue and is the only one that touches model, caches and jobs; the lock is held for the
 * queue and the lists, and never while something is computed or a callback runs.
 *
 * service.c  callers: start, stop, submit, cancel, look
 * sched.c    the thread: whose prompt, whose tokens, in which step
 * room.c     pages for rows: whose go when there are too few
 * kept.c     prefixes on disk; identity.c says whose they are
 * job.c      one request that is worked on
 * places.c   slots, actions.c what is done with them: places.h
 *
 *   SV1  an answer depends on its request alone: roles of tokens are the request's (D1, T2), so
 *        neighbours, prefixes found and work done twice change no bit;
 *   SV2  on_done of an accepted request is called exactly once;
 *   SV3  the oldest job always has room: pages are taken from kept prefixes first, then from the
 *        youngest jobs, which compute theirs again.
 */
#ifndef GLIM_ENGINE_SERVICE_H
#define GLIM_ENGINE_SERVICE_H

#include <pthread.h>

#include "base/buf.h"
#include "cache/prefix.h"
#include "cache/saver.h"
#include "engine/keyring.h"
#include "engine/output.h"
#include "engine/places.h"
#include "engine/queue.h"
#include "engine/speculate.h"
#include "sample/logprob.h"

enum { JOBS_MAX = DECODE_ROWS };

/* What a job finds on disk. */
struct kept_path {
    bool reads;                /* there may be more */
    uint64_t at;               /* whole pages up to here are on its timeline */
    uint64_t most;             /* tokens that it may take */
    struct snapshot_name last; /* of the page before `at` */
};

struct kept {
    struct snapshot *snapshot; /* NULL: nothing is kept on disk */
    struct saver *saver;
    uint64_t read_end_ns; /* of this round */
};

struct job {
    struct glim_service *service;
    struct request *r;
    struct glim_session s;
    uint64_t want;      /* tokens of s.token that are to be on the timeline before what follows */
    bool joined;        /* looked for a prefix since the timeline was last empty */
    const struct snapshot_key *key; /* of the keyring; NULL: it shares what has none */
    struct kept_path kept;
    bool in_step;       /* of a prompt's step that is being computed */
    bool answering;     /* the answer is open */
    bool drawn;         /* `next` was drawn and belongs behind the timeline */
    int32_t next;
    uint64_t turn;      /* of its last prompt step */
    uint64_t begin_ns;  /* when it was taken from the queue */
    struct output output;
    struct speculation spec;
    struct glim_result result;
    struct sample_logprob top[GLIM_TOP_LOGPROBS_MAX];
};

struct glim_service {
    struct glim_model *model;
    struct session_shape shape;
    uint64_t memory_bytes; /* of the model's budget */
    uint64_t queue_max, owner_max; /* requests that may wait: of all, of one owner */
    bool encrypts; /* every request has a key */
    bool slot_files; /* with identity */
    uint8_t identity[SNAPSHOT_HASH];
    double prompt_share;

    /* the thread's own */
    struct kv_pages pages;
    struct prefix prefix;
    struct keyring keyring;
    struct kept kept;
    struct stepper prompt, decode;
    struct draft_policy policy; /* learned by all answers */
    struct job *job[JOBS_MAX];  /* oldest first */
    size_t jobs;
    uint64_t turns;
    double row_ns;           /* of a prompt's row, lately; 0 = not known */
    uint64_t decode_ns;      /* of the last common step */
    uint64_t decode_end_ns;  /* when it ended */
    uint64_t nested_ns;      /* of answers' steps inside the prompt's step that is computed */
    struct glim_service_state counts;

    pthread_t thread;
    bool started;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake;
    uint64_t last_id;
    struct queue queue;
    struct request *running[JOBS_MAX]; /* by place */
    struct place place[JOBS_MAX];
    struct actions actions;
    uint64_t refused;
    struct glim_service_state state; /* counts, as of the last step */
};

/* sched.c */
void *service_thread(void *service);
/* The job is no longer one of the service's, and counts say so; before its caller is told. */
void service_forget(struct glim_service *v, struct job *j);

/* room.c */

/* Pages that a job takes for its next n rows. Steps of the MTP layer write from the last row on. */
uint64_t job_pages(const struct job *j, uint64_t n);
bool job_holds_pages(const struct job *j);
/* So many free pages, from kept prefixes if need be. */
bool room_evict(struct glim_service *v, uint64_t pages);
/* Room for rows of job k: kept prefixes go first, then pages of younger jobs. */
bool room_make(struct glim_service *v, size_t k, uint64_t pages);
/* Pages that jobs which have begun are to get. */
uint64_t room_promised(const struct glim_service *v);
/* A prompt begins where all of it finds room beside what others are promised; the oldest does in
 * any case. */
bool room_to_begin(struct glim_service *v, size_t k, uint64_t promised);

/* identity.c: of rows that this model computes for caches of that shape. whose: a text that keeps
 * them apart from those of others. GLIM_EIO, GLIM_ENOMEM. */
int identity_write(struct buf *b, const struct glim_model *m, const struct session_shape *s,
                   const char *whose, struct err *e);

/* kept.c */

/* The folder, and the identity of what goes to disk, as the options ask for. */
int kept_open(struct glim_service *v, const struct glim_service_options *o, struct err *e);
void kept_close(struct glim_service *v);
/* The thread's: hands over a page if there is one and it is wanted; counts, notices. */
void kept_step(struct glim_service *v);
/* Would kept_step do something now? Also with the service's lock held. */
bool kept_wants(struct glim_service *v);
/* Writes what is left, in 20 s at most. */
void kept_finish(struct glim_service *v);
/* A job that has joined what is in the tree, `complete` as prefix_join says, looks for more on
 * disk: at most `most` tokens in all. */
void kept_begin(struct job *j, uint64_t complete, uint64_t most);
/* Reads as long as this round may; true: all that is there is on the timeline. */
bool kept_read(struct job *j);
/* Another round begins. */
void kept_round(struct glim_service *v);

/* job.c */

/* Takes the request, which it frees in the end. On failure there is still a job to end, or *out is
 * NULL. */
int job_new(struct job **out, struct glim_service *v, struct request *r, struct err *e);
/* Why it should end now, as request_over, or because the service does. */
int job_over(const struct job *j, struct err *e);
/* Before its prompt is worked on: joins what is kept. False: there is more to read. */
bool job_join(struct job *j);
/* All it wants is on the timeline; logits [V] after it, unless the next token is drawn already.
 * Draws the first token, or hands over a prompt without an answer. *ended: no more is to do. */
int job_reached(struct job *j, const float *logits, bool *ended, struct err *e);
/* `next` is on the timeline, logits [V] stand after it: draws the one that follows, which is `next`
 * then. Different jobs may draw at the same time, with a sampler each. */
void job_draw(struct job *j, struct sampler *sampler, const float *logits);
/* What was drawn goes out. */
int job_take(struct job *j, bool *ended, struct err *e);
/* Tells the caller, keeps the prefix, frees the job. rc 0 or an error, which is *e. */
void job_end(struct job *j, int rc, const struct err *e);
/* Its pages go; it computes them again later. */
void job_set_back(struct job *j);
/* Keeps what is complete of its prefix. ends: nothing more comes. */
void job_keep(struct job *j, bool ends);
/* How many tokens of one role come next on the way to what it wants, `most` at most. */
uint64_t job_same_role(const struct job *j, uint64_t most);
/* The whole prompt with the log-probability of each token. */
int job_prompt_logprobs(struct job *j, struct err *e);

#endif
