/* float_neon.c - float.h and float_panel.h in 32 registers of 16 bytes; 128 KiB of panels. */
#include "base/dtype.h"
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

enum { VECTORS = 4, PAIR = 2, HALVES = 2, PART = 4 };
enum { WIDE = 4, RANKS = 4 };

INLINE float32x4_t halves(uint16x4_t bits) { return vcvt_f32_f16(vreinterpret_f16_u16(bits)); }

/* The seven low bits of an e4m3 are those of an f16 smaller by 2^8; all ones is NaN. */
INLINE vfloat f8_of(uint64_t bytes)
{
    const uint16x4_t b = vget_low_u16(vmovl_u8(vcreate_u8(bytes))), ones = vdup_n_u16(0x7f);
    const uint16x4_t seven = vand_u16(b, ones);
    const uint16x4_t sign = vshl_n_u16(vand_u16(b, vdup_n_u16(0x80)), 8);
    const uint16x4_t nan = vand_u16(vceq_u16(seven, ones), vdup_n_u16(0x7e00));
    return halves(vorr_u16(vorr_u16(vshl_n_u16(seven, 7), nan), sign));
}

INLINE vfloat weights_at(enum dtype t, const uint8_t *row, size_t c, size_t n)
{
    switch (t) {
    case DT_F32: return load_first(row + 4 * c, n);
    case DT_F16: return halves_first(row + 2 * c, n);
    case DT_BF16: return as_float(int_up(words_first(row + 2 * c, n), 16));
    default: return f8_of(some_bytes(row + c, n, 1));
    }
}

#include "kernels/simd/float_panel.h"
