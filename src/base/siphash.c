/* siphash.c - see siphash.h. */
#include "base/siphash.h"

#include <string.h>

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void rounds(uint64_t v[4], int n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

void siphash_init(struct siphash *s, const uint64_t key[2])
{
    s->v[0] = key[0] ^ 0x736f6d6570736575u;
    s->v[1] = key[1] ^ 0x646f72616e646f6du ^ 0xee;
    s->v[2] = key[0] ^ 0x6c7967656e657261u;
    s->v[3] = key[1] ^ 0x7465646279746573u;
}

void siphash_word(struct siphash *s, uint64_t w)
{
    s->v[3] ^= w;
    rounds(s->v, 2);
    s->v[0] ^= w;
}

void siphash_bytes(struct siphash *s, const void *bytes, size_t n)
{
    const unsigned char *const b = bytes;
    siphash_word(s, n);
    for (size_t i = 0; i < n; i += 8) {
        uint64_t w = 0;
        memcpy(&w, b + i, n - i < 8 ? n - i : 8);
        siphash_word(s, w);
    }
}

void siphash_end(const struct siphash *s, uint64_t out[2])
{
    uint64_t v[4];
    memcpy(v, s->v, sizeof v);
    v[2] ^= 0xee;
    rounds(v, 4);
    out[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    rounds(v, 4);
    out[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}
