/* opts_value.c - see opts.h: the values of options, checked and kept. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/opts.h"

/* Digits only: no sign, no space, no 0x, nothing after. */
static bool parse_digits(const char *text, size_t len, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || !mul_u64(v, 10, &v)
            || !add_u64(v, (uint64_t)(text[i] - '0'), &v))
            return false;
    }
    *out = v;
    return len > 0;
}

static int bad_value(const struct opt *p, const char *value, const char *expected, struct err *e)
{
    return err_set(e, GLIM_EINVAL, "--%s: \"%s\", expected %s", p->name, value, expected);
}

static int out_of_range(const struct opt *p, const char *value, struct err *e)
{
    return err_set(e, GLIM_EINVAL, "--%s: %s, expected %.12g to %.12g", p->name, value, p->low,
                   p->high);
}

static int set_int(void *field, const struct opt *p, const char *value, struct err *e)
{
    uint64_t v;
    if (!parse_digits(value, strlen(value), &v))
        return bad_value(p, value, "a whole number", e);
    if ((double)v < p->low || (double)v > p->high)
        return out_of_range(p, value, e);
    memcpy(field, &v, sizeof v);
    return GLIM_OK;
}

static int set_list(void *field, const struct opt *p, const char *value, struct err *e)
{
    struct opt_list list = {0};
    for (const char *c = value; c;) {
        const size_t len = strcspn(c, ",");
        uint64_t v;
        if (!parse_digits(c, len, &v))
            return bad_value(p, value, "whole numbers with commas between", e);
        if ((double)v < p->low || (double)v > p->high)
            return out_of_range(p, value, e);
        if (list.n == OPT_LIST_MAX)
            return err_set(e, GLIM_EINVAL, "--%s: \"%s\", expected at most %d numbers", p->name,
                           value, OPT_LIST_MAX);
        list.v[list.n++] = v;
        c = c[len] ? c + len + 1 : NULL;
    }
    memcpy(field, &list, sizeof list);
    return GLIM_OK;
}

static int set_size(void *field, const struct opt *p, const char *value, struct err *e)
{
    static const char unit[] = "KMGT";
    size_t len = strlen(value);
    uint64_t v, factor = 1;
    if (len > 1 && (value[len - 1] == 'B' || value[len - 1] == 'b'))
        len--;
    if (len > 1 && value[len - 1] == 'i')
        len--;
    const char *const at = len > 1 ? strchr(unit, value[len - 1] & ~0x20) : NULL;
    if (at) {
        factor = (uint64_t)1 << (10 * (at - unit + 1));
        len--;
    }
    if (!parse_digits(value, len, &v) || (!at && strlen(value) != len))
        return bad_value(p, value, "a size such as 20G or 512M", e);
    if (!mul_u64(v, factor, &v) || (double)v < p->low || (double)v > p->high)
        return err_set(e, GLIM_EINVAL, "--%s: %s is out of range", p->name, value);
    memcpy(field, &v, sizeof v);
    return GLIM_OK;
}

static int set_real(void *field, const struct opt *p, const char *value, struct err *e)
{
    char *end;
    const double v = strtod(value, &end);
    const bool starts =
        strchr("+-.0123456789", value[0]) != NULL; /* no "nan", "inf" or leading space */
    if (!*value || !starts || *end || !isfinite(v) || strpbrk(value, "xXnN"))
        return bad_value(p, value, "a number", e);
    if (v < p->low || v > p->high)
        return out_of_range(p, value, e);
    memcpy(field, &v, sizeof v);
    return GLIM_OK;
}

static int set_choice(void *field, const struct opt *p, const char *value, struct err *e)
{
    int i = 0;
    for (const char *c = p->arg; c; i++) {
        const size_t len = strcspn(c, "|");
        if (strlen(value) == len && memcmp(c, value, len) == 0) {
            memcpy(field, &i, sizeof i);
            return GLIM_OK;
        }
        c = c[len] ? c + len + 1 : NULL;
    }
    return bad_value(p, value, p->arg, e);
}

static int set_text(void *field, const struct opt *p, const char *value, struct err *e)
{
    if (!*value && p->offset != offsetof(struct opts, system))
        return bad_value(p, value, p->arg, e);
    memcpy(field, &value, sizeof value);
    return GLIM_OK;
}

static int set_texts(void *field, const struct opt *p, const char *value, struct err *e)
{
    struct opt_texts *const t = field;
    if (!*value)
        return bad_value(p, value, p->arg, e);
    if (t->n == OPT_TEXTS_MAX)
        return err_set(e, GLIM_EINVAL, "--%s: given more than %d times", p->name, OPT_TEXTS_MAX);
    t->v[t->n++] = value;
    return GLIM_OK;
}

/* One number of "7,80,32", from *text on, which then stands behind its comma or on the end. */
static bool take_real(const char **text, double low, double high, double *out)
{
    char *end;
    if (!**text || !strchr("0123456789.", **text))
        return false;
    *out = strtod(*text, &end);
    const bool ends = *end == 0 || (*end == ',' && end[1]);
    *text = *end ? end + 1 : end;
    return ends && isfinite(*out) && *out >= low && *out <= high;
}

static int set_drive(void *field, const struct opt *p, const char *value, struct err *e)
{
    struct opt_drive d = {.latency_us = 80};
    const char *text = value;
    double depth = 0;
    bool ok = !strpbrk(value, "xX") && take_real(&text, p->low, p->high, &d.gb_s);
    if (ok && *text)
        ok = take_real(&text, 0, 1e6, &d.latency_us);
    if (ok && *text)
        ok = take_real(&text, 1, 65536, &depth) && depth == floor(depth);
    if (!ok || *text)
        return bad_value(p, value, "GB/s, and after commas its latency in us and reads at once", e);
    d.depth = (uint64_t)depth;
    memcpy(field, &d, sizeof d);
    return GLIM_OK;
}

int opt_set(struct opts *o, const struct opt *p, const char *value, struct err *e)
{
    void *const field = (char *)o + p->offset;
    switch (p->kind) {
    case OPT_INT: return set_int(field, p, value, e);
    case OPT_LIST: return set_list(field, p, value, e);
    case OPT_SIZE: return set_size(field, p, value, e);
    case OPT_REAL: return set_real(field, p, value, e);
    case OPT_CHOICE: return set_choice(field, p, value, e);
    case OPT_TEXT: return set_text(field, p, value, e);
    case OPT_TEXTS: return set_texts(field, p, value, e);
    case OPT_DRIVE: return set_drive(field, p, value, e);
    case OPT_FLAG: break;
    }
    *(bool *)field = true;
    return GLIM_OK;
}
