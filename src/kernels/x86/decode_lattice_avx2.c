/* decode_lattice_avx2.c - decode_super.h for super-blocks of points (IQ1, IQ2, IQ3). */
#include "kernels/x86/decode_avx2.h"

LATTICE_TYPES(DECODE)
