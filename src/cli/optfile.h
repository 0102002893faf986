/* optfile.h - options from a file: name = value lines, as on the command line without the dashes.
 */
#ifndef GLIM_CLI_OPTFILE_H
#define GLIM_CLI_OPTFILE_H

#include "cli/opts.h"

/* Sets what the file says. GLIM_EINVAL names the file, the line and what is wrong there. What o
 * borrows of the file lives until the program ends. */
int optfile_read(struct opts *o, const char *path, struct err *e);

#endif
