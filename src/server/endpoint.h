/* endpoint.h - answers that need no generation: endpoint_model.c, endpoint_text.c,
 * endpoint_state.c, endpoint_slots.c. */
#ifndef GLIM_SERVER_ENDPOINT_H
#define GLIM_SERVER_ENDPOINT_H

#include "server/server.h"

void endpoint_models(struct server *s, struct exchange *x);
void endpoint_model(struct server *s, struct exchange *x);
void endpoint_props(struct server *s, struct exchange *x);
void endpoint_tokenizer_info(struct server *s, struct exchange *x);

void endpoint_tokenize(struct server *s, struct exchange *x);
void endpoint_detokenize(struct server *s, struct exchange *x);
void endpoint_apply_template(struct server *s, struct exchange *x);

void endpoint_health(struct server *s, struct exchange *x);
void endpoint_hello(struct server *s, struct exchange *x);
void endpoint_metrics(struct server *s, struct exchange *x);
void endpoint_slots(struct server *s, struct exchange *x);
void endpoint_slot_action(struct server *s, struct exchange *x);
void endpoint_embeddings(struct server *s, struct exchange *x);

/* Responses that are kept, or run in the background: responses_store.h and background.h, over
 * HTTP. */
void endpoint_response(struct server *s, struct exchange *x);
void endpoint_response_cancel(struct server *s, struct exchange *x);

#endif
