/* fault.c - see fault.h. */
#include "server/fault.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

int fault_set(struct fault *f, enum fault_kind kind, const char *param, const char *fmt, ...)
{
    va_list ap;
    f->kind = kind;
    f->code = NULL;
    (void)snprintf(f->param, sizeof f->param, "%s", param ? param : "");
    va_start(ap, fmt);
    err_format(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return -1;
}

int memory_fault(struct fault *f)
{
    return fault_set(f, FAULT_BUSY, NULL, "memory is out");
}

int fault_of_error(struct fault *f, const struct glim_error *e, const char *param)
{
    enum fault_kind kind = FAULT_INTERNAL;
    switch (e->code) {
    case GLIM_EINVAL:
    case GLIM_ELIMIT:
    case GLIM_EFORMAT: kind = FAULT_INVALID; break;
    case GLIM_EUNSUPPORTED: kind = FAULT_UNSUPPORTED; break;
    case GLIM_EBUSY:
    case GLIM_ENOMEM: kind = FAULT_BUSY; break;
    case GLIM_EQUOTA: kind = FAULT_QUOTA; break;
    case GLIM_ESTOPPED: kind = FAULT_TIMEOUT; break;
    default: break;
    }
    return fault_set(f, kind, param, "%s", e->text);
}
