/* out.h - what people and programs read: data on standard output, everything else on standard
 * error.
 *
 * Writes to standard output may fail at any time (a full disk, a reader that left); the failure is
 * sticky and out_finish turns it into the exit code. Text of a model goes through out_model_text,
 * which keeps control characters away from a terminal.
 */
#ifndef GLIM_CLI_OUT_H
#define GLIM_CLI_OUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "glim.h"

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAIL = 1,
    EXIT_USAGE = 2,
    EXIT_UNCOMPARED = 3, /* verify: for some file no sum is known */
    EXIT_INTERRUPTED = 130
};

/* Opens descriptors 0 to 2 where the caller closed them, finds out about terminals; call first. */
void out_init(void);
/* Flushes; `code`, or EXIT_FAIL if standard output took not all (said on standard error unless its
 * reader left). */
int out_finish(int code);

bool out_failed(void);     /* standard output takes nothing more */
bool out_is_terminal(void);
bool err_is_terminal(void); /* standard error can show progress */
bool out_has_colour(
    void); /* standard output is a terminal that shows dimmed text, and NO_COLOR is not set */

/* "glim: text" on standard error; returns EXIT_FAIL. */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int usage_error(const char *fmt, ...)
    __attribute__((format(printf, 1, 2))); /* returns EXIT_USAGE */
/* "glim: text" on standard error, where the work goes on. */
void say_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The library's word; EXIT_INTERRUPTED and silence if Ctrl-C was the reason. */
int fail_glim(const struct glim_error *e);
int fail_err(const struct err *e);

/* Ctrl-C was pressed since the last interrupt_clear. */
bool interrupted(void);
void interrupt_clear(void);
/* Installs the handler: the first Ctrl-C sets the flag, a second one before it is cleared ends the
 * program. */
void interrupt_init(void);

void out_flush(void);
/* Bytes as they are. */
void out_bytes(const char *text, size_t len);
/* On a terminal control characters other than newline and tab come out as U+FFFD. */
void out_model_text(const char *text, size_t len);
/* printf for text that may hold names from a model's file; filtered like out_model_text. */
void out_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same on standard error, always filtered. */
void err_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "1,234,567"; "743.9 B"; "366.2 GiB"; all into and returning buf. */
enum { HUMAN_LEN = 32 };
const char *human_count(char buf[HUMAN_LEN], uint64_t n);
const char *human_params(char buf[HUMAN_LEN], uint64_t n);
const char *human_bytes(char buf[HUMAN_LEN], uint64_t n);

/* Prints the document and frees it. */
void out_json(struct json_object *o);
/* NULL, which is JSON's null, if v is not finite. */
struct json_object *json_real(double v);
void json_add_real(struct json_object *o, const char *key, double v);
void json_add_u64(struct json_object *o, const char *key, uint64_t v);
void json_add_text(struct json_object *o, const char *key,
                   const char *text); /* NULL becomes null */

/* A line on standard error that comes after 0.3 s of work and is wiped at the end; only on a
 * terminal. */
void progress_enable(bool on);
void progress_show(const char *what, uint64_t done, uint64_t total);
void progress_note(const char *fmt, ...)
    __attribute__((format(printf, 1, 2))); /* free text instead of a count */
void progress_end(void);

#endif
