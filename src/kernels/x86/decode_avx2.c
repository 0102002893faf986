/* decode_avx2.c - the products of few vectors at this level: decode_table.h. */
#include "kernels/x86/decode_avx2.h"
#include "kernels/x86/decode_table.h"
