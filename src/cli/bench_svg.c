/* bench_svg.c - see bench.h. A drawing: for each test its speed as a part of the machine's limit
 * (read bandwidth for generation, the multiplier's peak for prompts), and below it where the time
 * goes. */
#include <math.h>

#include "base/buf.h"
#include "base/util.h"
#include "cli/bench.h"

enum { WIDTH = 960, LEFT = 30, BAR = 900, TOP = 60, ROW = 74, LEGEND = 60 };

static const char *const colour[] = {"#4e79a7", "#76b7b2", "#edc948", "#e15759",
                                     "#f28e2b", "#9c755f", "#59a14f", "#bab0ac",
                                     "#b07aa1", "#d4a6c8", "#8cd17d", "#499894"};
static const char waiting_colour[] = "#e6e6e6";

static void add_escaped(struct buf *out, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '<' || *c == '>' || *c == '&' || *c == '"' || *c < 0x20)
            buf_addf(out, "&#%d;", *c < 0x20 ? ' ' : *c);
        else
            buf_addc(out, (char)*c);
    }
}

static void add_bar(struct buf *out, double x, int y, double width, int height, const char *fill)
{
    buf_addf(out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", x, y,
             width, height, fill);
}

/* What the row reached, in words and as a bar. */
static void add_speed(struct buf *out, const struct bench *b, const struct bench_row *r, int y)
{
    const struct bench_figures f = bench_figures(b, r);
    const bool reads = r->kind == BENCH_DECODE;
    const double share = reads ? f.bandwidth_share : f.peak_share;
    char name[BENCH_NAME_LEN];
    buf_addf(out, "<text x=\"%d\" y=\"%d\">%s, %d thread%s: %.4g tokens/s", LEFT, y,
             bench_name(r, name), r->threads, r->threads == 1 ? "" : "s", f.median);
    if (reads)
        buf_addf(out, ", %.1f GB/s, %.0f%% of the read bandwidth", f.gb_s, 100 * share);
    else if (isfinite(share))
        buf_addf(out, ", %.3f TFLOP/s, %.0f%% of the multiplier's peak", f.flop_s / 1e12,
                 100 * share);
    buf_adds(out, "</text>\n");
    if (!isfinite(share))
        return;
    add_bar(out, LEFT, y + 7, BAR, 16, "#f2f2f2");
    add_bar(out, LEFT, y + 7, BAR * (share < 1 ? share : 1), 16, "#333333");
}

static void add_stages(struct buf *out, const struct bench_row *r, int y)
{
    double total = bench_all_wait_ms(r), x = LEFT;
    for (size_t s = 0; s < r->stages.stages; s++)
        total += bench_work_ms(r, s);
    for (size_t s = 0; s < r->stages.stages && total > 0; s++) {
        const double width = BAR * bench_work_ms(r, s) / total;
        add_bar(out, x, y, width, 16, colour[s % COUNT_OF(colour)]);
        x += width;
    }
    if (total > 0)
        add_bar(out, x, y, BAR * bench_all_wait_ms(r) / total, 16, waiting_colour);
}

static void add_legend(struct buf *out, const struct bench_row *r, int y)
{
    for (size_t s = 0; s <= r->stages.stages; s++) {
        const bool last = s == r->stages.stages;
        const int x = LEFT + (int)s * 88;
        add_bar(out, x, y, 12, 12, last ? waiting_colour : colour[s % COUNT_OF(colour)]);
        buf_addf(out, "<text x=\"%d\" y=\"%d\">%s</text>\n", x + 16, y + 11,
                 last ? "waiting" : r->stages.stage[s].name);
    }
}

void bench_svg(const struct bench *b, struct buf *out)
{
    const struct glim_model_info *const i = glim_model_info(b->model);
    struct glim_machine machine;
    glim_machine(&machine);
    const int height = TOP + (int)b->done * ROW + LEGEND;
    buf_addf(out,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
             "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" "
             "height=\"100%%\" fill=\"#ffffff\"/>\n<text x=\"%d\" y=\"30\" font-size=\"16\">",
             WIDTH, height, LEFT);
    add_escaped(out, i->name);
    buf_adds(out, " on ");
    add_escaped(out, machine.cpu);
    buf_addf(out, ", %s, medians of %llu</text>\n", i->isa, (unsigned long long)b->o->reps);
    for (size_t k = 0; k < b->done; k++) {
        const int y = TOP + (int)k * ROW;
        add_speed(out, b, &b->row[k], y);
        add_stages(out, &b->row[k], y + 27);
    }
    add_legend(out, &b->row[0], height - LEGEND + 20);
    buf_adds(out, "</svg>\n");
}
