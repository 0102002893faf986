/* answer.h - what a choice has said so far, built from the service's events. */
#ifndef GLIM_SERVER_ANSWER_H
#define GLIM_SERVER_ANSWER_H

#include "server/generation.h"

void answer_clear(struct answer *a);
/* The part that is open, or NULL. */
struct part *answer_open_part(const struct answer *a);
/* NULL: memory is out. name: of a tool, else NULL. */
struct part *answer_add_part(struct answer *a, enum part_kind kind, const char *name);
/* GLIM_EVENT_TOKEN and PROMPT_TOKEN, kept where scores are wanted. False: memory is out. */
bool answer_add_scored(struct answer *a, const struct glim_event *ev);
/* The text of the latest tokens turned out to be content; or something else: they are forgotten. */
void answer_sure_scores(struct answer *a);
void answer_drop_scores(struct answer *a);
/* All parts of a kind together, appended. */
void answer_text(const struct answer *a, enum part_kind kind, struct buf *out);
bool answer_has(const struct answer *a, enum part_kind kind);
void answer_take_result(struct answer *a, const struct glim_result *r);

#endif
