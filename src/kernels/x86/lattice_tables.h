/* lattice_tables.h - the lists of kernels/ref/iq_tables.h in the forms that levels look up in. */
#ifndef GLIM_KERNELS_X86_LATTICE_TABLES_H
#define GLIM_KERNELS_X86_LATTICE_TABLES_H

#include <stdint.h>

/* Points cut in two: the first half of the coordinates, then the other. At multiples of 64. */
extern const uint8_t iq1_halves[2][2048];
extern const uint8_t iq2_xxs_halves[2][256], iq2_xs_halves[2][512], iq2_s_halves[2][1024];
extern const uint8_t iq3_xxs_halves[2][256], iq3_s_halves[2][512];

/* Seven sign bits with the eighth, which makes their number even. */
extern const uint8_t eight_signs_of[128];

#endif
