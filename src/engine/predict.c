/* predict.c - see predict.h. */
#include "engine/predict.h"

#include <math.h>
#include <stddef.h>

/* Of the shorter of reading and computing in a prompt, what the longer does not hide: measured on
 * two cores, one of which also begins the reads. */
static const double NOT_HIDDEN = 0.5;

/* Time of a layer's experts, `missing` of which are on disk. They arrive one after the other; the
 * others are computed first, then each as it comes. So it ends no sooner than everything computed
 * in a row, than the first arrival and what is left behind it, and than the last one and its own
 * computing. */
static double layer_seconds(const struct predict_in *in, double missing)
{
    const double compute = in->expert_bytes / in->ram_bytes_per_s;
    const double arrive = in->expert_bytes / in->drive_bytes_per_s;
    const double all = (double)in->used * compute;
    if (missing <= 0)
        return all;
    const double first = in->latency_s + arrive + missing * compute;
    const double last = in->latency_s + missing * arrive + compute;
    return fmax(all, fmax(first, last));
}

void predict(const struct predict_in *in, struct predict_out *out)
{
    const double K = (double)in->used, miss = 1 - in->hit_rate;
    const double rest = in->rest_bytes / in->ram_bytes_per_s;
    const double read = (double)in->layers * K * in->expert_bytes;
    *out = (struct predict_out){
        .ram_s = rest + read / in->ram_bytes_per_s,
        .disk_s = miss * read / in->drive_bytes_per_s,
        .seconds = rest,
    };
    /* Each expert is missing or not for itself: n of K are with probability C(K, n) .. */
    for (uint64_t n = 0; n <= in->used; n++) {
        const double ways = lgamma(K + 1) - lgamma((double)n + 1) - lgamma(K - (double)n + 1);
        const double p = exp(ways) * pow(miss, (double)n) * pow(1 - miss, K - (double)n);
        out->seconds += (double)in->layers * p * layer_seconds(in, (double)n);
    }
}

void predict_chunk(const struct predict_chunk_in *in, struct predict_chunk_out *out)
{
    const double T = (double)in->tokens, E = (double)in->experts;
    /* Tokens choose for themselves: nobody wants an expert with probability (1 - K/E)^T. */
    const double wanted = E * (1 - pow(1 - fmin((double)in->used / E, 1), T));
    const double rest = T * in->rest_flop / in->flop_per_s;
    *out = (struct predict_chunk_out){
        .read_s = (1 - in->hit_rate) * (double)in->layers * wanted * in->expert_bytes
                  / in->drive_bytes_per_s,
        .expert_s = T * in->expert_flop / in->flop_per_s,
    };
    out->compute_s = rest + out->expert_s;
    out->seconds = rest + fmax(out->read_s, out->expert_s)
                   + NOT_HIDDEN * fmin(out->read_s, out->expert_s);
}

double predict_use(enum glim_use use, double share)
{
    /* Use of GLM-5.2's experts as colibri's users report it. */
    static const double curve[][2] = {{0, 0},       {0.01, 0.068}, {0.10, 0.306},
                                      {0.25, 0.534}, {0.50, 0.78}, {1, 1}};
    if (use == GLIM_USE_UNIFORM || share >= 1)
        return fmin(share, 1);
    size_t i = 1;
    while (share > curve[i][0])
        i++;
    const double part = (share - curve[i - 1][0]) / (curve[i][0] - curve[i - 1][0]);
    return curve[i - 1][1] + part * (curve[i][1] - curve[i - 1][1]);
}
