/* err.h - one error value, filled by whoever detects the fault.
 *
 * Functions that can fail return 0 or one of the negative codes below and take `struct err *e`
 * last. The text names the thing and both values: tensor "x": shape [6144,255], expected
 * [6144,256]. Input faults (files, requests, disk, memory) are errors; broken promises between our
 * own functions are asserts.
 *
 * The codes are repeated in include/glim.h; the preprocessor refuses to compile if the two ever
 * differ.
 */
#ifndef GLIM_BASE_ERR_H
#define GLIM_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

#define GLIM_OK 0
#define GLIM_EINVAL (-1)       /* an argument of the caller is wrong */
#define GLIM_EIO (-2)          /* the system could not read, write, open or map */
#define GLIM_EFORMAT (-3)      /* a file's content is malformed */
#define GLIM_EUNSUPPORTED (-4) /* well formed, but glim does not do it */
#define GLIM_ENOMEM (-5)       /* memory ran out */
#define GLIM_ELIMIT (-6)       /* a stated limit (context, budget, size) was reached */
#define GLIM_ENUMERIC     (-7) /* NaN or infinity where numbers must be finite */
#define GLIM_ESTOPPED (-8)     /* the caller asked to stop */
#define GLIM_EBUSY (-9)        /* too much waits already: try again later */
#define GLIM_EQUOTA (-10)      /* too much of one owner's waits already: the same */

struct err {
    int code;
    char text[1024]; /* one line of UTF-8, as err_format makes it */
};

/* Fills *e (may be NULL) and returns `code`, so that a fault is one line: return err_set(e,
 * GLIM_EIO, "..."). */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of the text that is already there; returns e's code. For callers who
 * know the file. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* vsnprintf for one line of UTF-8: what is too long is cut between two characters; control
 * characters and bytes that are no UTF-8 become '?'. size > 0. */
void err_format(char *text, size_t size, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* err_set for a failed allocation of `bytes` for `what`; returns GLIM_ENOMEM. */
int err_nomem(struct err *e, const char *what, unsigned long long bytes);

#endif
