/* cmd_doctor.c - glim doctor: what this machine has, which path each part of the model will take,
 * and what stands in the way. Exits 1 if the model that was named cannot be opened; a missing
 * bundled model is only mentioned.
 */
#include <string.h>

#include "base/util.h"
#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"

struct doctor {
    struct glim_machine machine;
    char path[MODEL_PATH_MAX]; /* "" = no model found */
    glim_model *model;         /* NULL = could not be opened */
    struct glim_error fault;   /* why not */
    struct glim_plan plan;
    bool planned;
    const char *chat_template; /* NULL = none that glim knows */
    char tokenizer_fault[sizeof((struct glim_error *)0)->text];
    char advice[4][1024];
    size_t advices;
};

static void advise(struct doctor *d, const char *text)
{
    if (d->advices < COUNT_OF(d->advice))
        snprintf(d->advice[d->advices++], sizeof d->advice[0], "%s", text);
}

static void advise_memory(struct doctor *d)
{
    char text[256], a[HUMAN_LEN], b[HUMAN_LEN];
    if (!d->planned || d->plan.fits)
        return;
    if (!d->plan.runs)
        snprintf(text, sizeof text,
                 "the model needs at least %s of memory, %s is available: choose a smaller one",
                 human_bytes(a, d->plan.least_ram_bytes), human_bytes(b, d->plan.ram_bytes));
    else
        snprintf(text, sizeof text,
                 "%s of the model stays on disk and is read while it runs; see glim plan",
                 human_bytes(a, d->plan.streamed_bytes));
    advise(d, text);
}

static void examine_model(struct doctor *d, const struct opts *o)
{
    struct glim_error e;
    glim_tokenizer *t;
    if (model_path(o, d->path, &d->fault) != GLIM_OK) {
        d->path[0] = 0;
        return;
    }
    if (model_open(o, &d->model, &d->fault) != GLIM_OK)
        return;
    struct glim_plan_request q = GLIM_PLAN_REQUEST_INIT;
    q.mtp = glim_model_info(d->model)->mtp_layers > 0;
    d->planned = glim_model_plan(d->model, &q, &d->plan, &e) == GLIM_OK;
    if (d->planned && !d->plan.runs && q.mtp) {
        q.mtp = false; /* as --mtp auto does */
        d->planned = glim_model_plan(d->model, &q, &d->plan, &e) == GLIM_OK;
    }
    if (glim_model_tokenizer(d->model, &t, &e) == GLIM_OK)
        d->chat_template = glim_template_name(t);
    else
        snprintf(d->tokenizer_fault, sizeof d->tokenizer_fault, "%s", e.text);
}

static void examine(struct doctor *d, const struct opts *o)
{
    glim_machine(&d->machine);
    examine_model(d, o);
    if (!d->model)
        advise(d, d->fault.text);
    if (d->tokenizer_fault[0])
        advise(d, d->tokenizer_fault);
    else if (d->model && !d->chat_template)
        advise(d,
               "the model names no chat template that glim knows: run --raw works, chat does not");
    if (strcmp(d->machine.isa, "baseline") == 0)
        advise(d, "no vector instructions that glim uses: it runs, slowly");
    advise_memory(d);
}

/* ---- for people ---- */

static void row(const char *label, const char *text) { out_text("%-14s%s\n", label, text); }

static void machine_text(const struct glim_machine *m)
{
    char t[512], a[HUMAN_LEN], b[HUMAN_LEN];
    row("processor", m->cpu);
    snprintf(t, sizeof t, "%d processors, instruction set %s", m->processors, m->isa);
    row("", t);
    snprintf(t, sizeof t, "%s, %s available", human_bytes(a, m->memory_bytes),
             human_bytes(b, m->memory_available_bytes));
    row("memory", t);
    if (m->memory_limit_bytes) {
        snprintf(t, sizeof t, "a limit of %s: %s", human_bytes(a, m->memory_limit_bytes),
                 m->memory_group);
        row("", t);
    }
    snprintf(t, sizeof t, "a model takes %s of it unless --ram says otherwise",
             human_bytes(a, m->memory_budget_bytes));
    row("", t);
    row("line editing", GLIM_WITH_EDIT ? "libedit" : "not built in: chat reads plain lines");
}

static void model_text(const struct doctor *d)
{
    char t[256], a[HUMAN_LEN];
    const struct glim_model_info *const i = glim_model_info(d->model);
    row("model", d->path);
    snprintf(t, sizeof t, "%s, %s, %s", i->family, i->format, human_bytes(a, i->file_bytes));
    row("", t);
    row("template", d->chat_template ? d->chat_template : "none that glim knows");
    snprintf(t, sizeof t, "%d, instruction set %s", i->threads, i->isa);
    row("threads", t);
    out_text("\n%-22s %-24s %s\n", "part", "types", "path");
    for (size_t g = 0; g < glim_model_group_count(d->model); g++) {
        const struct glim_group *const p = glim_model_group(d->model, g);
        out_text("%-22s %-24s %s\n", p->name, p->types, p->path ? p->path : "-");
    }
}

static void doctor_text(const struct doctor *d)
{
    out_text("%-14s%s\n", "glim", glim_version());
    machine_text(&d->machine);
    if (d->model)
        model_text(d);
    putchar('\n');
    for (size_t i = 0; i < d->advices; i++)
        out_text("! %s\n", d->advice[i]);
    if (d->advices == 0)
        out_text("Nothing stands in the way.\n");
}

/* ---- for programs ---- */

static struct json_object *parts_json(const glim_model *m)
{
    struct json_object *const list = json_object_new_array();
    for (size_t g = 0; g < glim_model_group_count(m); g++) {
        const struct glim_group *const p = glim_model_group(m, g);
        struct json_object *const j = json_object_new_object();
        json_add_text(j, "name", p->name);
        json_add_text(j, "types", p->types);
        json_add_text(j, "path", p->path);
        json_object_array_add(list, j);
    }
    return list;
}

static void doctor_json(const struct doctor *d)
{
    struct json_object *const j = json_object_new_object(), *const notes = json_object_new_array();
    json_add_text(j, "version", glim_version());
    json_add_text(j, "cpu", d->machine.cpu);
    json_add_text(j, "isa", d->machine.isa);
    json_add_u64(j, "processors", (uint64_t)d->machine.processors);
    json_add_u64(j, "memory_bytes", d->machine.memory_bytes);
    json_add_u64(j, "memory_available_bytes", d->machine.memory_available_bytes);
    json_add_u64(j, "memory_limit_bytes", d->machine.memory_limit_bytes);
    json_add_text(j, "memory_group", d->machine.memory_group[0] ? d->machine.memory_group : NULL);
    json_add_u64(j, "memory_budget_bytes", d->machine.memory_budget_bytes);
    json_object_object_add(j, "line_editing", json_object_new_boolean(GLIM_WITH_EDIT));
    json_add_text(j, "model_path", d->path[0] ? d->path : NULL);
    if (d->model) {
        json_add_text(j, "model", glim_model_info(d->model)->name);
        json_add_u64(j, "threads", (uint64_t)glim_model_info(d->model)->threads);
        json_add_text(j, "template", d->chat_template);
        json_object_object_add(j, "parts", parts_json(d->model));
    }
    if (d->planned)
        json_object_object_add(j, "fits_in_memory", json_object_new_boolean(d->plan.fits));
    for (size_t i = 0; i < d->advices; i++)
        json_object_array_add(notes, json_object_new_string(d->advice[i]));
    json_object_object_add(j, "notes", notes);
    out_json(j);
}

int cmd_doctor(const struct opts *o)
{
    struct doctor d = {0};
    examine(&d, o);
    if (o->json)
        doctor_json(&d);
    else
        doctor_text(&d);
    const int code = o->model && !d.model ? fail_glim(&d.fault) : EXIT_OK;
    glim_model_close(d.model);
    return code;
}
