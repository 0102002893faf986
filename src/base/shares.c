/* shares.c - see shares.h. */
#include "base/shares.h"

#include <math.h>

static const double BAND = 1.0 / 16, STEP = 1.0 / 4, LEAST = 1.0 / 64;

bool shares_follow(double *weight, const struct drive_use *use, unsigned n)
{
    uint64_t bytes = 0;
    double all = 0, used = 0, rates = 0;
    for (unsigned d = 0; d < n; d++) {
        bytes += use[d].bytes;
        all += weight[d];
        if (use[d].busy_ns == 0)
            continue;
        used += weight[d];
        rates += (double)use[d].bytes / (double)use[d].busy_ns;
    }
    if (bytes < SHARES_BYTES || !(rates > 0))
        return false;
    double after = 0;
    for (unsigned d = 0; d < n; d++) {
        const double rate = use[d].busy_ns ? (double)use[d].bytes / (double)use[d].busy_ns : 0;
        const double apart = use[d].busy_ns ? rate / rates * used - weight[d] : 0;
        if (fabs(apart) > BAND * weight[d])
            weight[d] = fmax(weight[d] + STEP * apart, LEAST * all);
        after += weight[d];
    }
    for (unsigned d = 0; d < n; d++)
        weight[d] *= all / after;
    return true;
}
