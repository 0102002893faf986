/* load.h - from options to an opened model, tokenizer or session. */
#ifndef GLIM_CLI_LOAD_H
#define GLIM_CLI_LOAD_H

#include "cli/opts.h"
#include "glim.h"

enum { MODEL_PATH_MAX = 4096 };

/* -m, or the bundled model: share/glim/models beside the installed program's bin, models/ beside
 * the build folder. path: [MODEL_PATH_MAX]. GLIM_EIO if there is none. */
int model_path(const struct opts *o, char *path, struct glim_error *e);

/* --drive. */
struct glim_drive_model model_drive(const struct opts *o);

int model_open(const struct opts *o, glim_model **out, struct glim_error *e);

/* The tokenizer of -m alone: neither weights nor configuration are needed. */
int model_tokenizer(const struct opts *o, glim_tokenizer **out, struct glim_error *e);

/* context_tok: room for this many tokens, 0 = the library's default; --ctx wins. With mtp if
 * logits --mtp wants it, or model_drafts_fit. */
int model_session(const struct opts *o, glim_model *m, uint64_t context_tok, glim_session **out,
                  struct glim_error *e);

/* The session that the options speak of, without mtp. */
void model_plan_request(const struct opts *o, uint64_t context_tok, struct glim_plan_request *out);

/* Does --mtp want a session with mtp: a number, or auto and the model has such a layer. */
bool model_drafts(const struct opts *o, const glim_model *m);
/* The same of this session: auto does without where the memory is not enough. */
bool model_drafts_fit(const struct opts *o, const glim_model *m,
                      const struct glim_plan_request *session);
/* --mtp as glim_generate takes it. */
int model_draft_count(const struct opts *o);

/* Defaults of the model, then what the options say. */
void model_sampling(const struct opts *o, const glim_model *m, struct glim_sampling *out);

/* Fills e, as err_set does. */
int glim_error_set(struct glim_error *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
