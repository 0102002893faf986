/* lattice_tables.c - made of the lists in kernels/ref/iq_tables.h by the compiler. */
#include "kernels/x86/lattice_tables.h"

#include "kernels/ref/iq_tables.h"

#define LOW(p) (p) & 0xff,
#define HIGH(p) (p) >> 8,
#define HALVES(list) {{list(LOW)}, {list(HIGH)}}

_Alignas(64) const uint8_t iq1_halves[2][2048] = HALVES(IQ1_GRID);
_Alignas(64) const uint8_t iq2_xxs_halves[2][256] = HALVES(IQ2_XXS_GRID);
_Alignas(64) const uint8_t iq2_xs_halves[2][512] = HALVES(IQ2_XS_GRID);
_Alignas(64) const uint8_t iq2_s_halves[2][1024] = HALVES(IQ2_S_GRID);
_Alignas(64) const uint8_t iq3_xxs_halves[2][256] = HALVES(IQ3_XXS_GRID);
_Alignas(64) const uint8_t iq3_s_halves[2][512] = HALVES(IQ3_S_GRID);

#define ODD(s) (((s) ^ (s) >> 1 ^ (s) >> 2 ^ (s) >> 3 ^ (s) >> 4 ^ (s) >> 5 ^ (s) >> 6) & 1)
#define EIGHT(s) (s) | ODD(s) << 7,
#define EIGHT_4(s) EIGHT(s) EIGHT((s) + 1) EIGHT((s) + 2) EIGHT((s) + 3)
#define EIGHT_16(s) EIGHT_4(s) EIGHT_4((s) + 4) EIGHT_4((s) + 8) EIGHT_4((s) + 12)

_Alignas(64) const uint8_t eight_signs_of[128] = {
    EIGHT_16(0)  EIGHT_16(16) EIGHT_16(32) EIGHT_16(48)
    EIGHT_16(64) EIGHT_16(80) EIGHT_16(96) EIGHT_16(112)};
