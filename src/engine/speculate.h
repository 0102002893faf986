/* speculate.h - several tokens of an answer from one step: draft, verify, accept.
 *
 * The token at position n of an answer is a function of the tokens before it, of its logits, and
 * of the n-th number of a counter-based generator (sample/sample.h). So drafts need no rejection
 * sampling: the step computes the drawn token t0 and drafts d1 .. dk behind it as k + 1 decode
 * rows; from the logits of row i the answer then draws its next token as it always does, and if
 * that is d(i+1), row i + 1 is what appending it would have computed, bit for bit (D1 in
 * docs/model.md), and is taken as it is. At the first token that differs, the rows behind it are
 * forgotten; that token was drawn from the right logits and nothing is lost. Text, timeline, logits
 * and cache are the same with drafts and without, at any temperature, with any penalties and
 * biases.
 *
 * A draft d stands with the probability that the answer would have drawn d, which is what rejection
 * sampling gives a deterministic draft (Leviathan et al., arXiv 2211.17192; Chen et al., arXiv
 * 2302.01318). We do better for the same output: the draft for position n is drawn from the MTP
 * layer's logits with the very parameters and the very number that will draw the token there. Where
 * both distributions agree, so do the draws; a likeliest-token draft would be right in only
 * p(likeliest) of cases.
 *
 * How many to draft: sample/draft.h. Not responsible for stops, limits and events: generate.c sees
 * a token at a time and cannot tell.
 */
#ifndef GLIM_ENGINE_SPECULATE_H
#define GLIM_ENGINE_SPECULATE_H

#include "engine/engine.h"

struct speculation {
    struct glim_session *s;
    const struct drawing *drawing;
    int drafts;              /* as in struct glim_generate */
    struct draft_step last;  /* judged as far as the answer has come */
    bool open;               /* there is a last step that the policy was not told of */
    uint64_t verifications, drafted, accepted;
};

/* An answer begins; s and drawing outlive it. GLIM_EINVAL if `drafts` is out of range, or asks for
 * a number of drafts in a session without mtp. */
int speculate_begin(struct speculation *x, struct glim_session *s, const struct drawing *drawing,
                    int drafts, struct err *e);

/* Puts the drawn token at the end of the timeline, from the rows ahead if they have it, else by a
 * step, with drafts if they pay. more: how many tokens the answer may still draw after it; the
 * timeline has room for this one. On an error the timeline is as before. */
int speculate_append(struct speculation *x, int32_t token, uint64_t more, struct err *e);

/* The answer has ended, or goes on by other steps for a while; zeroes, which never began, are
 * fine. */
void speculate_end(struct speculation *x);

#endif
