/* pages.c - see pages.h. */
#include "base/pages.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NODES_MAX = 64 };

/* A number at *at, which goes behind it; -1: there is none, or a node that has no bit. */
static int read_node(const char **at)
{
    int n = 0;
    if (!isdigit((unsigned char)**at))
        return -1;
    for (; isdigit((unsigned char)**at); ++*at)
        if ((n = n * 10 + (**at - '0')) >= NODES_MAX)
            return -1;
    return n;
}

bool pages_nodes(const char *list, uint64_t *nodes)
{
    *nodes = 0;
    for (;; list++) {
        const int from = read_node(&list);
        int to = from;
        if (*list == '-') {
            list++;
            to = read_node(&list);
        }
        if (from < 0 || to < from)
            return false;
        for (int i = from; i <= to; i++)
            *nodes |= UINT64_C(1) << i;
        if (*list != ',')
            return *list == '\0' || *list == '\n';
    }
}

/* Those that have memory; 0: the system does not tell. */
static uint64_t nodes_with_memory(void)
{
    char text[512];
    uint64_t nodes;
    const int fd = open("/sys/devices/system/node/has_memory", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return pages_nodes(text, &nodes) ? nodes : 0;
}

void *pages_take(uint64_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    void *const p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    const uint64_t nodes = nodes_with_memory();
    if (nodes & (nodes - 1)) /* a wish, as the next one */
        (void)syscall(SYS_mbind, p, (size_t)bytes, MPOL_INTERLEAVE, &nodes, NODES_MAX + 1, 0);
    (void)madvise(p, (size_t)bytes, MADV_HUGEPAGE);
    return p;
}

void pages_give_back(void *p, uint64_t bytes)
{
    if (p)
        (void)munmap(p, (size_t)bytes);
}
