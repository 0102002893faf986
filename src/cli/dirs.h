/* dirs.h - where the program keeps what it writes for itself: the user's folders, as the XDG base
 * directory specification names them.
 */
#ifndef GLIM_CLI_DIRS_H
#define GLIM_CLI_DIRS_H

#include <stdbool.h>

enum user_dir {
    USER_CACHE, /* what can be made again: $XDG_CACHE_HOME/glim, else ~/.cache/glim */
    USER_STATE, /* what is kept: $XDG_STATE_HOME/glim, else ~/.local/state/glim */
};

enum { USER_PATH_MAX = 4096 };

/* The path of `name` there; "" names the folder itself. Folders on the way are made, private to the
 * user. False if neither variable holds an absolute path, or the path is too long. */
bool user_path(enum user_dir d, const char *name, char path[USER_PATH_MAX]);

#endif
