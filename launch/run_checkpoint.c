#include "launch/run_checkpoint.h"

#include <sys/stat.h>

Status run_checkpoint_open(const char *path, Arena *arena, CheckpointFile **out, const char **warnings) {
    struct stat info;
    *warnings = "";
    if (stat(path, &info) != 0) {
        return ERROR(STATUS_DATA, "%s: no such run; ./train makes one, and prints where it lies", path);
    }
    if (!S_ISDIR(info.st_mode)) return checkpoint_open(path, out);
    char *folder = arena_printf(arena, "%s/checkpoints", path), *config = arena_printf(arena, "%s/config.yaml", path);
    if (folder == NULL || config == NULL) return ERROR(STATUS_NO_ROOM, "%s: out of memory", path);
    TRY(checkpoint_open_newest(folder, arena, out, warnings));
    if (*out != NULL) return OK;
    if (stat(config, &info) != 0) return ERROR(STATUS_DATA, "%s: no run, so there is no checkpoint in it", path);
    return ERROR(STATUS_DATA,
                 "%s: the run has no checkpoint yet; it saves one each checkpoint.interval, at its end, and at SIGUSR1",
                 path);
}
