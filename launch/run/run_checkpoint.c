#include "launch/run/run_checkpoint.h"

#include "core/base/file.h"

Status run_checkpoint_open(const char *path, Arena *arena, CheckpointFile **out,
                           const char **warnings) {
    struct stat info;
    *warnings = "";
    bool is_there;
    TRY(file_look(path, &info, &is_there));
    if (!is_there) {
        return ERROR(STATUS_DATA, "%s: no such run; ./train makes one, and prints where it lies",
                     path);
    }
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
        return ERROR(STATUS_DATA, "%s: neither a run directory nor a checkpoint", path);
    }
    if (S_ISREG(info.st_mode) || checkpoint_is_sharded(path)) return checkpoint_open(path, out);
    char *folder = arena_printf(arena, "%s/checkpoints", path),
         *config = arena_printf(arena, "%s/config.yaml", path);
    if (folder == NULL || config == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    TRY(checkpoint_open_newest(folder, arena, out, warnings));
    if (*out != NULL) return OK;
    TRY(file_look(config, NULL, &is_there));
    if (!is_there) return ERROR(STATUS_DATA, "%s: no run, so there is no checkpoint in it", path);
    return ERROR(STATUS_DATA,
                 "%s: the run has no checkpoint yet; it saves one each checkpoint.interval, at its "
                 "end, and at SIGUSR1",
                 path);
}

int64_t run_checkpoint_step(const char *directory) {
    Arena arena = {0};
    CheckpointFile *file = NULL;
    const char *warnings, *dir = arena_printf(&arena, "%s/checkpoints", directory);
    int64_t step = -1;
    if (dir != NULL && !failed(checkpoint_open_newest(dir, &arena, &file, &warnings)) &&
        file != NULL)
        step = checkpoint_step(file);
    checkpoint_close(&file);
    arena_free(&arena);
    return step;
}
