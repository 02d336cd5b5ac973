#include "launch/watch/watched_run.h"

#include "core/base/file.h"
#include "launch/config/config_load.h"
#include "launch/run/run_directory.h"
#include "launch/study/report/text.h"

#include <math.h>
#include <string.h>

/* The last part of a path: runs/NAME/ is NAME. */
static const char *name_of(const char *directory, Arena *arena) {
    size_t end = strlen(directory), start;
    while (end > 1 && directory[end - 1] == '/') end--;
    for (start = end; start > 0 && directory[start - 1] != '/';) start--;
    return or_empty(arena_printf(arena, "%.*s", (int)(end - start), directory + start));
}

static Status directory_check(const char *directory) {
    struct stat info;
    bool is_there, has_config, is_study;
    TRY(file_look(directory, &info, &is_there));
    if (!is_there || !S_ISDIR(info.st_mode)) {
        return ERROR(STATUS_DATA, "%s: no such run; name the directory of a run, such as runs/NAME",
                     directory);
    }
    TRY(run_directory_has(directory, "sweep.json", &is_study));
    if (is_study) {
        return ERROR(STATUS_DATA, "%s: a study; name its runs, %s/NAME, or see ./sweep %s --report",
                     directory, directory, directory);
    }
    TRY(run_directory_has(directory, "config.yaml", &has_config));
    return has_config ? OK : ERROR(STATUS_DATA, "%s: not a run: it has no config.yaml", directory);
}

Status watched_run_open(const char *directory, WatchedRun *run) {
    *run = (WatchedRun){.state = "", .tokens_per_step = NAN};
    TRY(directory_check(directory));
    const char *path = or_empty(arena_printf(&run->arena, "%s/config.yaml", directory));
    TRY(config_load(path, 0, NULL, &run->config));
    run->point = (StudyPoint){.name = name_of(directory, &run->arena),
                              .directory = directory,
                              .config = run->config,
                              .share = 1,
                              .combination = -1};
    return watched_run_read(run);
}

/* Whether it has begun, is not done, and no process trains there. */
static bool is_interrupted(const WatchedRun *run) {
    const PointStatus *s = &run->point.status;
    return s->state == POINT_INTERRUPTED || (s->state == POINT_WAITING && s->step >= 0);
}

/* As the study sees it; a run by hand tells how it ended only in its summary. */
static const char *state_of(const WatchedRun *run) {
    static const char *const ends[] = {"failed", "stopped"};
    bool has_ended = is_interrupted(run);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (has_ended && strcmp(run->facts.status, ends[i]) == 0) return ends[i];
    }
    if (run->point.status.state == POINT_OOM) return "does not fit";
    return has_ended ? point_state_name(POINT_INTERRUPTED)
                     : point_state_name(run->point.status.state);
}

Status watched_run_read(WatchedRun *run) {
    const PointStatus *s = &run->point.status;
    arena_free(&run->facts_arena);
    TRY(follower_read(&run->follower, run->point.directory));
    point_refresh(&run->point);
    TRY(run_facts_read(run->point.directory, &run->facts_arena, &run->facts));
    take_known(&run->tokens_per_step, run->facts.tokens_per_step);
    RunPosition at = {.step = s->step > 0 ? s->step : 0,
                      .tokens = s->tokens > 0 ? (int64_t)s->tokens : 0,
                      .train_s = s->train_s > 0 ? s->train_s : 0};
    run->end = run_next_end(&run->config->training.stop, at);
    run->state = state_of(run);
    return OK;
}

bool watched_run_goes_on(const WatchedRun *run) {
    bool is_open =
        run->point.status.state == POINT_RUNNING || run->point.status.state == POINT_WAITING;
    return is_open && !is_interrupted(run);
}

bool watched_runs_go_on(const WatchedRun *runs, int n) {
    for (int i = 0; i < n; i++) {
        if (watched_run_goes_on(&runs[i])) return true;
    }
    return false;
}

void watched_run_close(WatchedRun *run) {
    follower_free(&run->follower);
    config_destroy(&run->config);
    arena_free(&run->arena);
    arena_free(&run->facts_arena);
}
