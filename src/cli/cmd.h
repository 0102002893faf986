/* cmd.h - the verbs. Each takes parsed options and returns an exit code; cmd_x lives in cmd_x.c. */
#ifndef GLIM_CLI_CMD_H
#define GLIM_CLI_CMD_H

#include "cli/opts.h"

int cmd_run(const struct opts *o);
int cmd_chat(const struct opts *o);
int cmd_serve(const struct opts *o);
int cmd_launch(const struct opts *o);
int cmd_show(const struct opts *o);
int cmd_plan(const struct opts *o);
int cmd_tokenize(const struct opts *o);
int cmd_detokenize(const struct opts *o); /* in cmd_tokenize.c */
int cmd_template(const struct opts *o);
int cmd_logits(const struct opts *o);
int cmd_ppl(const struct opts *o);
int cmd_bench(const struct opts *o);
int cmd_doctor(const struct opts *o);
int cmd_verify(const struct opts *o);
int cmd_mirror(const struct opts *o);
int cmd_version(const struct opts *o);
int cmd_help(const struct opts *o); /* in main.c */

#endif
