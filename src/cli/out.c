/* out.c - see out.h. */
#include "cli/out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "base/util.h"

static struct {
    bool out_tty, err_tty, colour, failed;
    int error; /* errno of the write that failed */
} out;

/* A closed descriptor would be given to the next file that is opened, and our text would land in
 * it. Opened the wrong way round, so that reading and writing fail as they should. */
static void open_closed(int fd, int flags)
{
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
        const int got = open("/dev/null", flags);
        if (got >= 0 && got != fd) {
            (void)dup2(got, fd);
            (void)close(got);
        }
    }
}

void out_init(void)
{
    open_closed(0, O_WRONLY);
    open_closed(1, O_RDONLY);
    open_closed(2, O_WRONLY);
    const char *const term = getenv("TERM"), *const no_colour = getenv("NO_COLOR");
    const bool dumb = !term || !*term || strcmp(term, "dumb") == 0;
    out.out_tty = isatty(1);
    out.err_tty = isatty(2) && !dumb;
    out.colour = out.out_tty && !dumb && !(no_colour && *no_colour);
}

static void note_failure(void)
{
    if (!out.failed) {
        out.failed = true;
        out.error = errno;
    }
}

void out_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        note_failure();
}

int out_finish(int code)
{
    progress_end();
    out_flush();
    if (!out.failed)
        return code;
    if (out.error != EPIPE)
        fprintf(stderr, "glim: standard output: %s\n", strerror(out.error));
    return code == EXIT_OK ? EXIT_FAIL : code;
}

bool out_failed(void) { return out.failed; }
bool out_is_terminal(void) { return out.out_tty; }
bool err_is_terminal(void) { return out.err_tty; }
bool out_has_colour(void) { return out.colour; }

/* Lines and progress on stderr: a server's threads say something too. */
static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER;
static void clear_progress(void);

static void say(const char *fmt, va_list ap)
{
    char text[1400];
    err_format(text, sizeof text, fmt, ap);
    (void)pthread_mutex_lock(&saying);
    clear_progress();
    out_flush();
    fprintf(stderr, "glim: %s\n", text);
    (void)pthread_mutex_unlock(&saying);
}

int fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_FAIL;
}

void say_notice(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
}

int usage_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

int fail_glim(const struct glim_error *e)
{
    if (e->code == GLIM_ESTOPPED && interrupted())
        return EXIT_INTERRUPTED;
    if (e->code == GLIM_ESTOPPED && out.failed)
        return EXIT_FAIL; /* out_finish says why */
    return fail("%s", e->text);
}

int fail_err(const struct err *e)
{
    return e->code == GLIM_ESTOPPED && interrupted() ? EXIT_INTERRUPTED : fail("%s", e->text);
}

/* ---- Ctrl-C ---- */

enum { PATIENCE_MS = 250 };

static volatile sig_atomic_t interrupts;
static uint64_t interrupted_ns; /* written and read by the handler only */

/* A second Ctrl-C ends the program where it stands. One that follows at once is the same:
 * timeout(1) signals a process and then its whole group. */
static void on_interrupt(int signo)
{
    (void)signo;
    const int saved = errno;
    const uint64_t now = now_ns();
    if (interrupts && now - interrupted_ns > PATIENCE_MS * 1000000u)
        _exit(EXIT_INTERRUPTED);
    if (!interrupts)
        interrupted_ns = now;
    interrupts = 1;
    errno = saved;
}

void interrupt_init(void)
{
    /* Restarting keeps a write from being cut short; input_read waits in a way that still comes
     * back. */
    struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    (void)sigaction(SIGINT, &a, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void) { return interrupts != 0; }
void interrupt_clear(void) { interrupts = 0; }

/* ---- text ---- */

void out_bytes(const char *text, size_t len)
{
    if (len > 0 && fwrite(text, 1, len, stdout) != len)
        note_failure();
}

/* Appends text with U+FFFD for control characters other than newline and tab. */
static void add_filtered(struct buf *b, const char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        (void)utf8_classify(text + i, len - i, &n);
        if (utf8_is_control(text + i, n) && text[i] != '\n' && text[i] != '\t')
            buf_adds(b, UTF8_REPLACEMENT);
        else
            buf_add(b, text + i, n);
    }
}

void out_model_text(const char *text, size_t len)
{
    if (!out.out_tty) {
        out_bytes(text, len);
        return;
    }
    struct buf b;
    buf_init(&b);
    add_filtered(&b, text, len);
    out_bytes(b.data, b.len);
    buf_deinit(&b);
}

/* fmt's text, with U+FFFD for control characters if `filter`. */
static struct buf formatted(bool filter, const char *fmt, va_list ap)
{
    struct buf plain, filtered;
    buf_init(&plain);
    buf_addv(&plain, fmt, ap);
    if (!filter)
        return plain;
    buf_init(&filtered);
    add_filtered(&filtered, plain.data, plain.len);
    buf_deinit(&plain);
    return filtered;
}

void out_text(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct buf b = formatted(out.out_tty, fmt, ap);
    va_end(ap);
    out_bytes(b.data, b.len);
    buf_deinit(&b);
}

void err_text(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct buf b = formatted(true, fmt, ap);
    va_end(ap);
    fputs(b.data, stderr);
    buf_deinit(&b);
}

/* ---- numbers ---- */

const char *human_count(char buf[HUMAN_LEN], uint64_t n)
{
    char digits[HUMAN_LEN];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    buf[at] = 0;
    return buf;
}

/* Three significant places or more, in the largest unit that leaves at least 1. */
static const char *scaled(char buf[HUMAN_LEN], uint64_t n, double step, const char *const *unit,
                          int units)
{
    double v = (double)n;
    int u = 0;
    while (v >= step * 0.99995 && u + 1 < units) {
        v /= step;
        u++;
    }
    snprintf(buf, HUMAN_LEN, u == 0 ? "%.0f%s%s" : "%.1f%s%s", v, *unit[u] ? " " : "", unit[u]);
    return buf;
}

const char *human_params(char buf[HUMAN_LEN], uint64_t n)
{
    static const char *const unit[] = {"", "k", "M", "B", "T"};
    return scaled(buf, n, 1000, unit, 5);
}

const char *human_bytes(char buf[HUMAN_LEN], uint64_t n)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    return scaled(buf, n, 1024, unit, 6);
}

/* ---- JSON ---- */

void out_json(struct json_object *o)
{
    const char *const text = json_object_to_json_string_ext(
        o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    out_bytes(text, strlen(text));
    out_bytes("\n", 1);
    json_object_put(o);
}

/* Ten digits: a measurement has no more, and 0.67 stays 0.67. */
struct json_object *json_real(double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.10g", v);
    return isfinite(v) ? json_object_new_double_s(v, text) : NULL;
}

void json_add_real(struct json_object *o, const char *key, double v)
{
    json_object_object_add(o, key, json_real(v));
}

void json_add_u64(struct json_object *o, const char *key, uint64_t v)
{
    json_object_object_add(o, key, json_object_new_uint64(v));
}

/* Names from files may be no UTF-8; JSON must be. */
static struct json_object *json_text(const char *text)
{
    struct buf b;
    buf_init(&b);
    utf8_append_valid(&b, text, strlen(text));
    struct json_object *const j = json_object_new_string_len(b.data, (int)b.len);
    buf_deinit(&b);
    return j;
}

void json_add_text(struct json_object *o, const char *key, const char *text)
{
    json_object_object_add(o, key, text ? json_text(text) : NULL);
}

/* ---- progress ---- */

enum { PROGRESS_FIRST_MS = 300, PROGRESS_STEP_MS = 100 };

static struct {
    bool on, shown;
    uint64_t start_ns, last_ns;
} progress;

void progress_enable(bool on) { progress.on = on && out.err_tty; }

/* True when it is time to draw again. */
static bool progress_due(void)
{
    if (!progress.on)
        return false;
    const uint64_t now = now_ns();
    if (progress.start_ns == 0)
        progress.start_ns = now;
    const uint64_t wait_ms = progress.shown ? PROGRESS_STEP_MS : PROGRESS_FIRST_MS;
    const uint64_t since = progress.shown ? progress.last_ns : progress.start_ns;
    if (now - since < wait_ms * 1000000u)
        return false;
    progress.last_ns = now;
    progress.shown = true;
    return true;
}

static void show(const char *what, uint64_t done, uint64_t total)
{
    char a[HUMAN_LEN], b[HUMAN_LEN];
    if (total)
        fprintf(stderr, "\r\033[K%s %s / %s (%d%%)", what, human_count(a, done),
                human_count(b, total), (int)(100.0 * (double)done / (double)total));
    else
        fprintf(stderr, "\r\033[K%s %s", what, human_count(a, done));
    fflush(stderr);
}

void progress_show(const char *what, uint64_t done, uint64_t total)
{
    (void)pthread_mutex_lock(&saying);
    if (progress_due())
        show(what, done, total);
    (void)pthread_mutex_unlock(&saying);
}

void progress_note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)pthread_mutex_lock(&saying);
    if (progress_due()) {
        fputs("\r\033[K", stderr);
        vfprintf(stderr, fmt, ap);
        fflush(stderr);
    }
    (void)pthread_mutex_unlock(&saying);
    va_end(ap);
}

static void clear_progress(void)
{
    if (progress.shown)
        fputs("\r\033[K", stderr);
    progress.shown = false;
    progress.start_ns = 0;
}

void progress_end(void)
{
    (void)pthread_mutex_lock(&saying);
    clear_progress();
    (void)pthread_mutex_unlock(&saying);
}
