/* grammar.c - a compiled grammar as an object; what it means is in gram_impl.h. */
#include "text/grammar.h"

#include <stdlib.h>

#include "text/gram_impl.h"

void grammar_free(struct grammar *g)
{
    if (!g)
        return;
    free(g->first);
    free(g->flags);
    free(g->edge);
    free(g->repeat);
    free(g->start);
    free(g);
}

size_t grammar_size(const struct grammar *g)
{
    return sizeof *g + (size_t)g->nodes * (sizeof *g->first + sizeof *g->flags)
           + (size_t)g->edges * sizeof *g->edge + (size_t)g->repeats * sizeof *g->repeat
           + (size_t)g->rules * sizeof *g->start;
}
