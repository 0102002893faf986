/* toolfield.h - what a request calls the schema of one of its tools, for errors. */
#ifndef GLIM_SERVER_TOOLFIELD_H
#define GLIM_SERVER_TOOLFIELD_H

#include <json-c/json.h>

#include "server/fault.h"

/* Where f is about the schema of tools[N] (an array as glim_template takes it), it is about the
 * field of the request then: "tools[2].input_schema", "tools[1].tools[0].parameters" ... given: the
 * request's own `tools`, in which those of `tools` are found by name; a tool that is not there
 * leaves f as it is. */
void toolfield_name(struct json_object *given, struct json_object *tools, struct fault *f);

#endif
