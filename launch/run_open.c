/* How a run takes its directory: a new one is made, its own is gone on with, anything else is left alone. */
#include "launch/run.h"

#include "checkpoints/checkpoint.h"
#include "data/directory.h"
#include "launch/memory.h"
#include "launch/text_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static bool file_exists(const char *directory, const char *name) {
    char path[PATH_BYTES];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return stat(path, &info) == 0;
}

/* A directory with other things in it is not ours to write into. */
static Status directory_check(const char *path, bool resumes) {
    struct stat info;
    if (stat(path, &info) != 0) return OK;
    if (!S_ISDIR(info.st_mode)) return ERROR(STATUS_CONFIG, "%s: is a file; choose another `output`", path);
    if (directory_is_empty(path, "run.lock")) return OK; /* which a start that went no further leaves behind */
    if (!file_exists(path, "config.yaml")) {
        return ERROR(STATUS_CONFIG, "%s: holds files but no run; choose another `output`", path);
    }
    if (!resumes) {
        return ERROR(STATUS_CONFIG,
                     "%s: holds a run, and --resume=none would overwrite it; remove it or choose another `output`",
                     path);
    }
    return OK;
}

/* Which checkpoint to go on from; "" for none. A bad newest one is named in a warning, and the one before it is taken.
 */
static Status checkpoint_choose(Run *run, const char *resume, char path[PATH_BYTES]) {
    path[0] = '\0';
    if (strcmp(resume, "none") == 0) return OK;
    if (strcmp(resume, "auto") != 0) {
        snprintf(path, PATH_BYTES, "%s", resume);
        return OK;
    }
    Arena arena = {0};
    CheckpointFile *file = NULL;
    const char *warnings = "";
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/checkpoints", run->directory);
    Status status = checkpoint_open_newest(folder, &arena, &file, &warnings);
    if (!failed(status) && warnings[0] != '\0') fprintf(stderr, "train: warning: %s\n", warnings);
    if (!failed(status) && file != NULL) snprintf(path, PATH_BYTES, "%s", checkpoint_path(file));
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}

/* The config that the directory's run was started with; NULL where there is none. */
static Status config_frozen(const char *directory, Config **out) {
    char path[PATH_BYTES];
    *out = NULL;
    snprintf(path, sizeof path, "%s/config.yaml", directory);
    return file_exists(directory, "config.yaml") ? config_load(path, 0, NULL, out) : OK;
}

Status run_adopt(Config *config) {
    Config *frozen;
    TRY(config_frozen(config->output, &frozen));
    if (frozen != NULL) config_adopt(config, frozen);
    config_destroy(&frozen);
    return OK;
}

/* Another run's directory, or this one's under another config, is left alone. */
static Status config_compare_frozen(const Run *run) {
    Config *frozen;
    TRY(config_frozen(run->directory, &frozen));
    Status status = frozen == NULL ? OK : config_compare_resume(frozen, run->e.config);
    if (status.code == STATUS_CONFIG) status = ERROR(STATUS_CONFIG, "%s: %s", run->directory, status_message());
    config_destroy(&frozen);
    return status;
}

/* What rank 0 does to the file system before the others look at it. */
static Status directory_take(Run *run, const char *resume, char checkpoint[PATH_BYTES]) {
    run_lock_forget_beginning(run->directory, "config.yaml");
    TRY(directory_check(run->directory, strcmp(resume, "none") != 0));
    if (failed(directory_create(run->directory, &run->directory_made))) {
        return ERROR(STATUS_FAILURE, "%s; choose another `output`", status_message());
    }
    TRY(run_lock_take(run->directory, &run->lock));
    TRY(config_compare_frozen(run));
    return checkpoint_choose(run, resume, checkpoint);
}

/* Where a new run did not come to its first file, nothing of it stays; but another's lock does. */
static void directory_leave(Run *run) {
    if (run->lock == NULL || run->directory_made == 0 || file_exists(run->directory, "config.yaml")) return;
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/run.lock", run->directory);
    unlink(path);
    directory_undo(run->directory, run->directory_made);
}

static Status logs_open(Run *run) {
    char *text = config_text(run->e.config), path[PATH_BYTES];
    if (text == NULL) return ERROR(STATUS_FAILURE, "out of memory for the config's text");
    Status status = OK;
    snprintf(path, sizeof path, "%s/config.yaml", run->directory);
    TRY_ELSE(status, text_file_replace(path, text), done);
    snprintf(path, sizeof path, "%s/plan.json", run->directory);
    TRY_ELSE(status, memory_write(&run->e, path), done);
    TRY_ELSE(status, metrics_open(run->directory, run->progress.step, &run->metrics), done);
    TRY_ELSE(status, saver_create(&run->e, run->directory, text, &run->saver), done);
done:
    free(text);
    return status;
}

static Status batch_create(Run *run) {
    size_t bytes = tensor_bytes(run->e.step.tokens);
    run->tokens = malloc(bytes);
    run->targets = malloc(bytes);
    return run->tokens == NULL || run->targets == NULL ? ERROR(STATUS_FAILURE, "out of memory for a batch") : OK;
}

static Status resume_from(Run *run, const char *checkpoint) {
    run->progress = (Progress){
        .best_step = -1, .evaluated_step = -1, .loss_scale = loss_scale_start(experiment_dtype(run->e.config))};
    if (checkpoint[0] != '\0') TRY(state_load(&run->e, checkpoint, &run->progress));
    run->resumed_s = run->saved_at = run->progress.train_s;
    run->saved_step = run->progress.step;
    return batch_create(run);
}

static Status open_all(Run *run, const char *resume, char checkpoint[PATH_BYTES]) {
    World *world = run->e.world;
    bool leads = world_rank(world) == 0;
    TRY(world_agree(world, leads ? directory_take(run, resume, checkpoint) : OK));
    TRY(world_broadcast(world, checkpoint, PATH_BYTES));
    TRY(world_agree(world, resume_from(run, checkpoint)));
    return world_agree(world, leads ? logs_open(run) : OK);
}

Status run_open(Run *run, const char *resume) {
    char checkpoint[PATH_BYTES] = "";
    run->directory = run->e.config->output;
    Status status = open_all(run, resume, checkpoint);
    if (failed(status)) directory_leave(run);
    TRY(status);
    if (run->lock != NULL && !run_lock_is_held(run->lock)) {
        metrics_say(run->metrics, "%s: this file system has no locks; let no second run use it", run->directory);
    }
    if (checkpoint[0] != '\0') {
        metrics_say(run->metrics, "resumed from %s at step %lld", checkpoint, (long long)run->progress.step);
    }
    return OK;
}
