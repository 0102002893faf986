/* results.h - results of calls in the order of the calls.
 *
 * Clients name the call that a result belongs to by its id, and may send results as they came. The
 * prompt has no ids: the model takes the first result for that of its first call.
 */
#ifndef GLIM_SERVER_RESULTS_H
#define GLIM_SERVER_RESULTS_H

#include <json-c/json.h>

/* messages: as for glim_template, changed in place. Results behind a message with tool_calls are
 * put into their order, if each has a tool_call_id that is one of the calls'. */
void results_sort(struct json_object *messages);

#endif
