/* err.c - see err.h. Formatting only: nothing here allocates, prints or exits. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Names in messages come from hostile files: a newline would fake a second message, an ESC would
 * drive the terminal. A text that fills its room may have been cut inside a character. */
static void clean(char *text, size_t size)
{
    size_t len = strlen(text);
    if (len + 1 == size)
        len = utf8_whole_len(text, len);
    text[len] = 0;
    for (size_t i = 0, n; i < len; i += n) {
        if (utf8_classify(text + i, len - i, &n) != UTF8_OK || utf8_is_control(text + i, n))
            memset(text + i, '?', n);
    }
}

void err_format(char *text, size_t size, const char *fmt, va_list ap)
{
    if (vsnprintf(text, size, fmt, ap) < 0)
        text[0] = 0;
    clean(text, size);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        err_format(e->text, sizeof e->text, fmt, ap);
        va_end(ap);
        e->code = code;
    }
    return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    if (!e)
        return GLIM_EINVAL;
    char old[sizeof e->text];
    memcpy(old, e->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    err_format(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    const size_t n = strlen(e->text);
    (void)snprintf(e->text + n, sizeof e->text - n, ": %s", old);
    clean(e->text, sizeof e->text);
    return e->code;
}

int err_nomem(struct err *e, const char *what, unsigned long long bytes)
{
    return err_set(e, GLIM_ENOMEM, "out of memory: %s needs %llu bytes", what, bytes);
}
