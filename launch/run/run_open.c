#include "launch/run/run_open.h"
#include "launch/config/config_load.h"

#include "checkpoints/checkpoint.h"
#include "launch/base/text_file.h"
#include "launch/run/memory_report.h"
#include "launch/run/run_memory.h"
#include "launch/run/run_save.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096 };

/* The checkpoint to resume from; "": none. If the newest is bad, warns and takes the previous
 * one. */
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
    if (!failed(status)) status_warn("train", warnings);
    if (!failed(status) && file != NULL) snprintf(path, PATH_BYTES, "%s", checkpoint_path(file));
    checkpoint_close(&file);
    arena_free(&arena);
    return status;
}

/* The resolved config of the directory's run; NULL if there is none. */
static Status config_frozen(const char *directory, Config **out) {
    char path[PATH_BYTES];
    bool exists;
    *out = NULL;
    snprintf(path, sizeof path, "%s/config.yaml", directory);
    TRY(run_directory_has(directory, "config.yaml", &exists));
    return exists ? config_load(path, 0, NULL, out) : OK;
}

Status run_adopt(Run *run) {
    const Config *config = run->e.config;
    Config *frozen;
    TRY(config_frozen(config->output, &frozen));
    if (frozen != NULL) resolved_adopt(&run->e.resolved, config, frozen);
    config_destroy(&frozen);
    return OK;
}

/* Errors: STATUS_CONFIG if the directory contains another run, or this one under another config. */
static Status config_compare_frozen(const char *directory, const Experiment *e) {
    Config *frozen, now = config_resolved(e->config, &e->resolved);
    TRY(config_frozen(directory, &frozen));
    Status status = frozen == NULL ? OK : config_compare_resume(frozen, &now);
    if (status.code == STATUS_CONFIG)
        status = ERROR(STATUS_CONFIG, "%s: %s", directory, status_message());
    config_destroy(&frozen);
    return status;
}

/* A link to a disk that is not mounted: a run without its checkpoints would start anew, over its
 * records. */
static Status link_check(const char *directory) {
    char folder[PATH_BYTES];
    struct stat info;
    snprintf(folder, sizeof folder, "%s/checkpoints", directory);
    if (lstat(folder, &info) != 0 || stat(folder, &info) == 0) return OK;
    return ERROR(STATUS_FAILURE,
                 "%s: is a link that leads nowhere: %s; mount the disk that it leads to, or remove "
                 "it to start from scratch",
                 folder, strerror(errno));
}

/* Rank 0 prepares the directory before the others read it. */
static Status directory_take(Run *run, const char *resume) {
    TRY(run_directory_check_writable(run->directory));
    TRY(link_check(run->directory));
    TRY(run_directory_take(run->directory, &directory_of_a_run, strcmp(resume, "none") != 0,
                           &run->place));
    return config_compare_frozen(run->directory, &run->e);
}

/* With --resume=PATH: the next start would resume from a newer checkpoint than this one. */
static Status newer_set_aside(Run *run, const char *resume) {
    char folder[PATH_BYTES];
    if (strcmp(resume, "auto") == 0 || strcmp(resume, "none") == 0) return OK;
    snprintf(folder, sizeof folder, "%s/checkpoints", run->directory);
    return checkpoints_set_aside(folder, run->progress.step, &run->set_aside);
}

static Status samples_open(Run *run) {
    if (run->e.recorded.decoder == NULL) {
        if (run->config->evaluation.sample > 0)
            metrics_say(run->metrics, "no samples: they need data.val, and no training in float64");
        return OK;
    }
    TRY(sampler_create(&run->e, &run->sampler));
    if (sampler_note(run->sampler) == NULL)
        return metrics_add_samples(run->metrics, run->directory, run->progress.evaluated_step);
    metrics_say(run->metrics, "%s", sampler_note(run->sampler));
    sampler_destroy(&run->sampler);
    return OK;
}

static Status logs_open(Run *run, const char *resume) {
    Config resolved = config_resolved(run->e.config, &run->e.resolved);
    char *text = config_text(&resolved), path[PATH_BYTES];
    /* Losses on other tokens than those of now must not be compared with them. */
    const ResumedAt resumed_at = {
        run->progress.step, run->progress.best_is_dropped ? -1 : run->progress.evaluated_step};
    if (text == NULL) return OUT_OF_MEMORY("the config's text");
    Status status = OK;
    TRY_ELSE(status, newer_set_aside(run, resume), done);
    snprintf(path, sizeof path, "%s/config.yaml", run->directory);
    TRY_ELSE(status, text_file_replace(path, text), done);
    snprintf(path, sizeof path, "%s/plan.json", run->directory);
    TRY_ELSE(status, memory_write(&run->e, path), done);
    TRY_ELSE(status, metrics_open(run->directory, resumed_at, &run->metrics), done);
    if (run->config->logging.tensorboard)
        TRY_ELSE(status, metrics_add_events(run->metrics, run->directory, run->progress.step, text),
                 done);
    TRY_ELSE(status, samples_open(run), done);
    if (!run->config->checkpoint.sharded)
        TRY_ELSE(status, saver_create(&run->e, run->directory, &run->saver), done);
done:
    free(text);
    return status;
}

static Status batch_create(Run *run) {
    size_t bytes = tensor_bytes(run->e.recorded.step.tokens);
    run->tokens = malloc(bytes);
    run->targets = malloc(bytes);
    if (run->tokens == NULL || run->targets == NULL) return OUT_OF_MEMORY("a batch");
    return run->e.val_tokens == NULL ? OK : evaluator_create(&run->e, &run->evaluator);
}

static Status resume_from(Run *run, const char *checkpoint) {
    run->progress = (Progress){.best_step = -1,
                               .evaluated_step = -1,
                               .loss_scale = loss_scale_start(config_dtype(run->e.config))};
    const char *branch = run->e.config->branch_from;
    bool branches = checkpoint[0] == '\0' && branch != NULL;
    const char *path = branches ? branch : checkpoint;
    if (path[0] != '\0') TRY(state_load(&run->e, path, branches, &run->progress, &run->changes));
    run->resumed_s = run->saved_at = run->progress.train_s;
    run->kept_at = run->resumed_s;
    run->saved_step = run->kept_step = run->progress.step;
    return batch_create(run);
}

static Status open_all(Run *run, const char *resume, char checkpoint[PATH_BYTES]) {
    World *world = run->e.world;
    bool leads = world_rank(world) == 0;
    TRY(data_identity_open(world, run->e.watchdog, run->e.train_tokens, run->e.val_tokens,
                           &run->e.data));
    TRY(world_agree(world, leads ? directory_take(run, resume) : OK));
    TRY(run_memory_recover(run));
    TRY(world_agree(world, leads ? checkpoint_choose(run, resume, checkpoint) : OK));
    TRY(world_broadcast(world, checkpoint, PATH_BYTES));
    TRY(world_agree(world, resume_from(run, checkpoint)));
    TRY(world_agree(world, leads ? logs_open(run, resume) : OK));
    if (run->e.config->checkpoint.sharded)
        TRY(shard_saver_create(&run->e, run->directory, &run->shard_saver));
    TRY(run_memory_open(run));
    run_save_open(run);
    return OK;
}

Status run_open(Run *run, const char *resume) {
    char checkpoint[PATH_BYTES] = "";
    run->directory = run->e.config->output;
    run->recovered_rank = -1;
    TRY(open_all(run, resume, checkpoint));
    if (run->place.lock != NULL && !run_lock_is_held(run->place.lock)) {
        metrics_say(run->metrics, "%s: this file system has no locks; let no second run use it",
                    run->directory);
    }
    const char *branch = run->e.config->branch_from;
    bool resumes = checkpoint[0] != '\0';
    if (resumes || branch != NULL) {
        metrics_say(run->metrics, "%s from %s at step %lld", resumes ? "resumed" : "branched",
                    resumes ? checkpoint : branch, (long long)run->progress.step);
    }
    if (run->recovered_rank >= 0) {
        metrics_say(run->metrics, "the newest state was in the memory of %s",
                    world_host(run->e.world, run->recovered_rank));
    }
    if (run->changes != NULL && run->changes[0] != '\0') {
        metrics_say(run->metrics, "changed since it was saved: %s", run->changes);
    }
    if (run->progress.best_is_dropped)
        metrics_say(run->metrics,
                    "evaluations were of other tokens: their records are removed, and the best one "
                    "starts anew");
    if (run->e.data.is_unverified) {
        metrics_say(
            run->metrics,
            "%s: an older version wrote it, which does not say what data it is of; whether %s is "
            "the same could not be verified",
            checkpoint, token_set_path(run->e.train_tokens));
    }
    if (run->set_aside > 0) {
        metrics_say(run->metrics,
                    "%lld newer checkpoints are moved aside, to %s/checkpoints/step_*.aside-*",
                    (long long)run->set_aside, run->directory);
    }
    return OK;
}

/* ---- a run that does not fit ----------------------------------------------------------------- */

static Status outcome_write(const char *directory, const char *message) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/summary.json", directory);
    json_t *object;
    Status status = text_file_read_json(path, &object);
    if (failed(status) && status.code != STATUS_DATA) return status;
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_pack("{s:s}", "status", "no_room");
    }
    json_object_set_new(object, "outcome", json_string("no_room"));
    json_object_set_new(object, "message", json_string(message));
    return text_file_replace_json(path, object, JSON_INDENT(2));
}

static Status note(Run *run, const char *message) {
    const Config *config = run->e.config;
    if (run->place.path == NULL)
        TRY(run_directory_take(config->output, &directory_of_a_run, true, &run->place));
    TRY(config_compare_frozen(config->output, &run->e));
    return outcome_write(config->output, message);
}

void run_note_no_room(Run *run, const char *message) {
    if (world_rank(run->e.world) != 0 || run->e.config == NULL) return;
    Status ignored = note(run, message); /* the failure itself has been reported */
    (void)ignored;
}
