/* siphash.h - a keyed hash of 128 bits: who does not know the key cannot make two things that
 * collide.
 *
 * SipHash-2-4 with 128 bits of output (Aumasson, Bernstein, 2012), over 64-bit words: bytes go in
 * as their count and then words, so that no two sequences of calls give the same words.
 */
#ifndef GLIM_BASE_SIPHASH_H
#define GLIM_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash {
    uint64_t v[4];
};

void siphash_init(struct siphash *s, const uint64_t key[2]);
void siphash_word(struct siphash *s, uint64_t w);
void siphash_bytes(struct siphash *s, const void *bytes, size_t n);
/* s can go on afterwards. */
void siphash_end(const struct siphash *s, uint64_t out[2]);

#endif
