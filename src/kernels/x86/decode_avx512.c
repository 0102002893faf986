/* decode_avx512.c - the products of few vectors at this level: decode_table.h. */
#include "kernels/x86/decode_avx512.h"
#include "kernels/x86/decode_table.h"
