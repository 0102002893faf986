/* dirs.c - see dirs.h. */
#include "cli/dirs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void make_folders(char *path)
{
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        (void)mkdir(path, 0700);
        *p = '/';
    }
}

bool user_path(enum user_dir d, const char *name, char path[USER_PATH_MAX])
{
    const bool cache = d == USER_CACHE;
    const char *const own = cache ? getenv("XDG_CACHE_HOME") : getenv("XDG_STATE_HOME");
    const char *const home = getenv("HOME");
    int n = 0;
    if (own && own[0] == '/')
        n = snprintf(path, USER_PATH_MAX, "%s/glim/%s", own, name);
    else if (home && home[0] == '/')
        n = snprintf(path, USER_PATH_MAX, "%s/%s/glim/%s", home, cache ? ".cache" : ".local/state",
                     name);
    if (n <= 0 || n >= USER_PATH_MAX) {
        path[0] = 0;
        return false;
    }
    make_folders(path);
    return true;
}
