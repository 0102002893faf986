/* cpu.c - see cpu.h. */
#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[CPU_LEVEL_COUNT] = {"baseline", "neon", "avx2", "avx512", "amx"};

const char *cpu_level_name(enum cpu_level l) { return names[l]; }

int cpu_level_parse(const char *name, enum cpu_level *out, struct err *e)
{
    for (int i = 0; i < CPU_LEVEL_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum cpu_level)i;
            return GLIM_OK;
        }
    }
    return err_set(e, GLIM_EINVAL, "isa \"%s\": expected baseline, neon, avx2, avx512 or amx",
                   name);
}

#if defined(__x86_64__)
/* clang 14 cannot be asked by name. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

#if defined(__x86_64__)
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
}

/* Tiles, their products of bf16, and the system's leave to use them, which holds for all threads
 * and may be asked for again. */
static bool has_tiles(void)
{
#if defined(TILE_EMULATED)
    return true;
#else
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, BF16 = 1 << 22, TILE = 1 << 24 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16) && (d & TILE)
        && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#endif
}
#endif

enum cpu_level cpu_detect(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init(); /* checks the system's state saving (XCR0) as well as the processor */
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
        return CPU_BASELINE;
    if (!has_avx512())
        return CPU_AVX2;
    return __builtin_cpu_supports("avx512bf16") && has_tiles() ? CPU_AMX : CPU_AVX512;
#elif defined(__aarch64__)
    return CPU_NEON;
#else
    return CPU_BASELINE;
#endif
}

bool cpu_has(enum cpu_level l)
{
    const enum cpu_level best = cpu_detect();
    return l == CPU_BASELINE || l == best || (l != CPU_NEON && best != CPU_NEON && l < best);
}

unsigned cpu_extras(void)
{
#if defined(__aarch64__)
    const bool dot = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    const bool i8mm = getauxval(AT_HWCAP2) & HWCAP2_I8MM;
    return (dot ? CPU_DOTPROD : 0u) | (dot && i8mm ? CPU_I8MM : 0u);
#else
    return 0;
#endif
}

int cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* How many of core[0..i) are core[i]. */
static int nth_of_core(const long *core, int i)
{
    int n = 0;
    for (int j = 0; j < i; j++)
        n += core[j] == core[i];
    return n;
}

int cpu_spread(int *cpu, const long *core, int n)
{
    int old[CPU_PLACES_MAX], nth[CPU_PLACES_MAX], cores = 0;
    for (int i = 0; i < n; i++) {
        old[i] = cpu[i];
        nth[i] = nth_of_core(core, i);
        cores += nth[i] == 0;
    }
    for (int round = 0, out = 0; out < n; round++)
        for (int i = 0; i < n; i++)
            if (nth[i] == round)
                cpu[out++] = old[i];
    return cores;
}

/* A number from sysfs; -1 if it is not there. */
static long topology(int cpu, const char *what)
{
    char path[128];
    long v = -1;
    (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
    FILE *const f = fopen(path, "re");
    if (f && fscanf(f, "%ld", &v) != 1)
        v = -1;
    if (f)
        fclose(f);
    return v;
}

/* Where the system tells nothing each processor counts as a core. */
static long core_of(int cpu)
{
    const long package = topology(cpu, "physical_package_id"), core = topology(cpu, "core_id");
    return core < 0 ? -1 - cpu : (package < 0 ? 0 : package) * 65536 + core;
}

int cpu_places(int cpu[CPU_PLACES_MAX], int *cores)
{
    cpu_set_t set;
    long core[CPU_PLACES_MAX];
    int n = 0;
    *cores = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 0;
    for (int i = 0; i < CPU_SETSIZE && n < CPU_PLACES_MAX; i++) {
        if (!CPU_ISSET((size_t)i, &set))
            continue;
        cpu[n] = i;
        core[n++] = core_of(i);
    }
    *cores = cpu_spread(cpu, core, n);
    return n;
}

void cpu_model_name(char name[CPU_NAME_BYTES])
{
    FILE *const f = fopen("/proc/cpuinfo", "re");
    char line[256];
    name[0] = 0;
    while (f && fgets(line, sizeof line, f) && sscanf(line, "model name : %127[^\n]", name) != 1)
        ;
    if (f)
        fclose(f);
    if (!name[0])
        (void)snprintf(name, CPU_NAME_BYTES, "unknown");
}
