#include "launch/run/config_agree.h"

#include "core/base/arena.h"

#include <stdlib.h>
#include <string.h>

/* The config as text without what may differ; NULL if memory is out. */
static char *shared_text(const Experiment *e) {
    Config shared = config_resolved(e->config, &e->resolved);
    shared.data.train = shared.data.val = (TokenPaths){0};
    shared.threads = CONFIG_AUTO;
    return config_text(&shared);
}

/* The line of a text that holds a byte, without its indentation. */
static int line_of(const char *text, size_t at, const char **start) {
    *start = text + at;
    while (*start > text && (*start)[-1] != '\n') (*start)--;
    *start += strspn(*start, " ");
    return (int)strcspn(*start, "\n");
}

static Status texts_compare(const World *world, const char *mine, const char *leaders) {
    size_t at = 0;
    const char *here, *there;
    while (mine[at] != '\0' && mine[at] == leaders[at]) at++;
    if (mine[at] == leaders[at]) return OK;
    int here_bytes = line_of(mine, at, &here), there_bytes = line_of(leaders, at, &there);
    return ERROR(STATUS_CONFIG,
                 "the config here, on %s, has `%.*s`, that of rank 0 on %s `%.*s`; start all ranks "
                 "with the same config and the same arguments",
                 world_host(world, world_rank(world)), here_bytes, here, world_host(world, 0),
                 there_bytes, there);
}

Status config_agree(const Experiment *e) {
    Arena arena = {0};
    if (world_size(e->world) == 1) return OK;
    char *mine = shared_text(e), *leaders = NULL;
    Status status = world_agree(e->world, mine != NULL ? OK : OUT_OF_MEMORY("the config"));
    if (!failed(status)) status = world_broadcast_text(e->world, mine, &arena, &leaders);
    if (!failed(status)) status = world_agree(e->world, texts_compare(e->world, mine, leaders));
    free(mine);
    arena_free(&arena);
    return status;
}
