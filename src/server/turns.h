/* turns.h - the messages of a prompt, built from the blocks and items of other APIs than OpenAI's
 * chat.
 *
 * What comes out is the "messages" array that glim_template takes. Blocks of one assistant turn
 * become one message, as the model wrote them: reasoning, then text, then calls. A text that
 * follows another in the same message begins on a new line; so the same text as a string, or as a
 * list with one block, gives the same prompt.
 *
 * Running out of memory is remembered (`failed`): build all, then look.
 */
#ifndef GLIM_SERVER_TURNS_H
#define GLIM_SERVER_TURNS_H

#include "base/buf.h"
#include "base/json.h"

struct turns {
    struct json_object *list; /* owned */
    struct json_object *last; /* the message that is being written, in list; NULL: none */
    bool assistant;           /* last is one of the assistant's */
    bool text_ends;           /* its text, if there is any, ends with white space */
    struct buf reasoning;     /* of last, until the next message begins */
    bool failed;
};

void turns_init(struct turns *t);
void turns_deinit(struct turns *t);
/* Hands the array to the caller, who puts it; t is empty again. False if anything failed. */
bool turns_take(struct turns *t, struct json_object **out);

/* A new message of this role ("user", "system"); "assistant" goes on with the last message if that
 * is the assistant's too. */
void turns_role(struct turns *t, const char *role);
/* A new message with the result of the call that had this id; NULL: not known. */
void turns_result(struct turns *t, struct json_object *id);
void turns_text(struct turns *t, const char *text, size_t len);
/* In place of what the model cannot see: "image", "video", "audio". */
void turns_media(struct turns *t, const char *type);
/* Of the assistant: */
void turns_reasoning(struct turns *t, const char *text, size_t len);
/* arguments: an object, or NULL for none; id: a string, or NULL. Both are kept by reference. */
void turns_call(struct turns *t, struct json_object *id, const char *name,
                struct json_object *arguments);
/* A result that names tools whose descriptions the model is to get; of a tool message without
 * text. */
void turns_reference(struct turns *t, const char *name);

#endif
