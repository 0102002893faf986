/* cpu.h - which named instruction-set level this machine has, and a mask to force less.
 *
 * Few named levels, not thirty bits. A level is present when the processor and the system both
 * allow it.
 */
#ifndef GLIM_BASE_CPU_H
#define GLIM_BASE_CPU_H

#include <stdbool.h>

#include "base/err.h"

enum cpu_level { CPU_BASELINE, CPU_NEON, CPU_AVX2, CPU_AVX512, CPU_AMX, CPU_LEVEL_COUNT };

const char *cpu_level_name(enum cpu_level l);
/* "baseline", "avx2" ...; GLIM_EINVAL names the known ones. */
int cpu_level_parse(const char *name, enum cpu_level *out, struct err *e);
/* The best level of this machine. */
enum cpu_level cpu_detect(void);
/* Does this machine have level l? A level has all that is below it on the same architecture. */
bool cpu_has(enum cpu_level l);
/* What this machine has beyond the least that its best level needs, as flags: for CPU_NEON,
 * products of four bytes (dotprod) and of matrices of bytes (i8mm; only with dotprod). */
enum { CPU_DOTPROD = 1, CPU_I8MM = 2 };
unsigned cpu_extras(void);
/* Processors this process may use; at least 1. */
int cpu_count(void);
/* Those processors, in the order in which threads should take them (cpu_spread); returns how many,
 * at most CPU_PLACES_MAX; 0 if the system does not tell. *cores: how many physical cores they
 * are. */
enum { CPU_PLACES_MAX = 1024 };
int cpu_places(int cpu[CPU_PLACES_MAX], int *cores);
/* Reorders cpu[n], core[n] says which physical core each belongs to: the first processor of every
 * core, then the second of every core, and so on, otherwise in their old order. Returns how many
 * cores there are. */
int cpu_spread(int *cpu, const long *core, int n);
/* The processor's own name, "unknown" if the system does not tell. */
enum { CPU_NAME_BYTES = 128 };
void cpu_model_name(char name[CPU_NAME_BYTES]);

#endif
