/* predict.h - how fast a streamed model is, from bytes and operations alone. Pure.
 *
 * A token goes through its layers one after the other. What it reads of memory takes bytes /
 * bandwidth; of the experts that it wants in a layer, those that no slot holds come from the drive
 * while others are computed. How the two overlap is said in one place, layer_seconds.
 */
#ifndef GLIM_ENGINE_PREDICT_H
#define GLIM_ENGINE_PREDICT_H

#include <stdint.h>

#include "glim.h"

struct predict_in {
    uint64_t layers, used;  /* with experts; that a token uses in each */
    double hit_rate;        /* share of them that are in memory */
    double expert_bytes;    /* of one */
    double rest_bytes;      /* all else that a token reads, of memory */
    double ram_bytes_per_s, drive_bytes_per_s, latency_s;
};

struct predict_out {
    double ram_s, disk_s; /* a token, if there were nothing else */
    double seconds;       /* a token */
};

void predict(const struct predict_in *in, struct predict_out *out);

/* A step over so many tokens of a prompt: each expert that one of them wants is read once, unless
 * it is in memory, while others are computed, which hides a part of it; beside all else nothing is
 * read. */
struct predict_chunk_in {
    uint64_t tokens;
    uint64_t layers, experts, used; /* with experts; in each; that a token uses */
    double hit_rate;                /* share of experts that are in memory */
    double expert_bytes;            /* of one */
    double expert_flop, rest_flop;  /* a token: of the experts that it uses, of all else */
    double flop_per_s, drive_bytes_per_s;
};

struct predict_chunk_out {
    double read_s, expert_s; /* reading experts, and computing them, alone */
    double compute_s;        /* computing all */
    double seconds;
};

void predict_chunk(const struct predict_chunk_in *in, struct predict_chunk_out *out);

/* Share of all use that the most used of a layer's experts have; share: how many of them that
 * are. */
double predict_use(enum glim_use use, double share);

#endif
