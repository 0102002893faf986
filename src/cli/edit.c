/* edit.c - see edit.h. Line editing is libedit's; without it (GLIM_WITH_EDIT=0) or without a
 * terminal lines are read as they come. */
#include "cli/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/dirs.h"
#include "cli/input.h"
#include "cli/out.h"

#if GLIM_WITH_EDIT
#include <fcntl.h>
#include <histedit.h>
#include <signal.h>
#include <sys/stat.h>
#include <wchar.h>
#endif

struct edit {
    bool interactive;
    const char *prompt;
    struct buf pending; /* read, but not yet given away */
#if GLIM_WITH_EDIT
    EditLine *el;
    History *history;
    char file[USER_PATH_MAX]; /* "" = none */
#endif
};

bool edit_interactive(const struct edit *d) { return d->interactive; }

/* The first `len` pending bytes are a line; its newline follows. */
static void give_line(struct edit *d, size_t len, struct buf *out)
{
    const size_t carriage = len > 0 && d->pending.data[len - 1] == '\r';
    buf_add(out, d->pending.data, len - carriage);
    memmove(d->pending.data, d->pending.data + len + 1, d->pending.len - len);
    d->pending.len -= len + 1;
}

static enum edit_result plain_line(struct edit *d, const char *prompt, struct buf *out)
{
    if (d->interactive) {
        out_bytes(prompt, strlen(prompt));
        out_flush();
    }
    const char *end;
    while (!(end = memchr(d->pending.data, '\n', d->pending.len))) {
        char block[4096];
        const ssize_t n = input_read(0, block, sizeof block);
        if (n < 0)
            return interrupted() ? EDIT_INTERRUPTED : EDIT_FAILED;
        if (n == 0 && d->pending.len == 0)
            return EDIT_END;
        buf_add(&d->pending, n ? block : "\n",
                n ? (size_t)n : 1); /* the last line may lack its newline */
    }
    give_line(d, (size_t)(end - d->pending.data), out);
    return d->pending.failed ? EDIT_FAILED : EDIT_LINE;
}

#if GLIM_WITH_EDIT

enum { HISTORY_LINES = 1000 };

static const char *show_prompt(EditLine *el)
{
    struct edit *d = NULL;
    (void)el_get(el, EL_CLIENTDATA, &d);
    return d->prompt;
}

static volatile sig_atomic_t resized;

static void on_resize(int signo)
{
    (void)signo;
    resized = 1;
}

/* Bytes of one character after its first; 0 too if the first byte starts none. */
static int more_bytes(unsigned char first)
{
    return first >= 0xf0 && first < 0xf8 ? 3 : first >= 0xe0 ? 2 * (first < 0xf0) : first >= 0xc0;
}

/* libedit's own reader goes on after a signal; ours comes back, so that Ctrl-C drops the line. */
static int read_char(EditLine *el, wchar_t *out)
{
    unsigned char c[4];
    int have = 0, want = 1;
    if (resized) {
        resized = 0;
        el_resize(el);
    }
    while (have < want) {
        const ssize_t n = input_read(0, c + have, 1);
        if (n <= 0)
            return (int)n;
        if (have++ == 0)
            want = 1 + more_bytes(c[0]);
    }
    mbstate_t state = {0};
    const size_t used = mbrtowc(out, (const char *)c, (size_t)have, &state);
    if (used > sizeof c)
        *out = 0xfffd;
    else if (used == 0)
        *out = 0;
    return 1;
}

static void choose_file(struct edit *d)
{
    if (!user_path(USER_STATE, "history", d->file))
        return;
    /* libedit writes the file as its umask says: it must exist with the right mode before. */
    const int fd = open(d->file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0)
        d->file[0] = 0;
    if (fd >= 0)
        (void)close(fd);
}

static void start_history(struct edit *d)
{
    HistEvent ev;
    d->history = history_init();
    if (!d->history)
        return;
    (void)history(d->history, &ev, H_SETSIZE, HISTORY_LINES);
    (void)history(d->history, &ev, H_SETUNIQUE, 1);
    choose_file(d);
    if (d->file[0])
        (void)history(d->history, &ev, H_LOAD, d->file);
    (void)el_set(d->el, EL_HIST, history, d->history);
}

static void start_editing(struct edit *d)
{
    d->el = el_init("glim", stdin, stdout, stderr);
    if (!d->el)
        return;
    (void)el_set(d->el, EL_CLIENTDATA, d);
    (void)el_set(d->el, EL_PROMPT, show_prompt);
    (void)el_set(d->el, EL_EDITOR, "emacs");
    (void)el_set(d->el, EL_SIGNAL, 0);
    (void)el_set(d->el, EL_GETCFN, read_char);
    struct sigaction a = {.sa_handler = on_resize, .sa_flags = SA_RESTART};
    sigemptyset(&a.sa_mask);
    (void)sigaction(SIGWINCH, &a, NULL);
    (void)el_set(d->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    start_history(d);
}

static enum edit_result edited_line(struct edit *d, const char *prompt, struct buf *out)
{
    int n = 0;
    d->prompt = prompt;
    out_flush();
    const char *const line = el_gets(d->el, &n);
    if (interrupted()) {
        el_reset(d->el);
        return EDIT_INTERRUPTED;
    }
    if (!line || n <= 0)
        return n < 0 ? EDIT_FAILED : EDIT_END;
    size_t len = (size_t)n;
    if (line[len - 1] == '\n')
        len--;
    buf_add(out, line, len);
    return EDIT_LINE;
}

void edit_remember(struct edit *d, const char *text)
{
    HistEvent ev;
    if (!d->history || !*text)
        return;
    (void)history(d->history, &ev, H_ENTER, text);
    if (d->file[0])
        (void)history(d->history, &ev, H_SAVE, d->file);
}

#else

void edit_remember(struct edit *d, const char *text)
{
    (void)d;
    (void)text;
}

#endif

struct edit *edit_new(void)
{
    struct edit *const d = mem_zalloc(1, sizeof *d);
    if (!d)
        return NULL;
    buf_init(&d->pending);
    d->interactive = isatty(0) && isatty(1);
#if GLIM_WITH_EDIT
    if (d->interactive && err_is_terminal()) /* a terminal that can move its cursor */
        start_editing(d);
#endif
    return d;
}

void edit_free(struct edit *d)
{
    if (!d)
        return;
#if GLIM_WITH_EDIT
    if (d->history)
        history_end(d->history);
    if (d->el)
        el_end(d->el);
#endif
    buf_deinit(&d->pending);
    free(d);
}

enum edit_result edit_line(struct edit *d, const char *prompt, struct buf *out)
{
#if GLIM_WITH_EDIT
    if (d->el)
        return edited_line(d, prompt, out);
#endif
    return plain_line(d, prompt, out);
}
