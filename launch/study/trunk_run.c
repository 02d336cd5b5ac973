#include "launch/study/trunk_run.h"

#include "checkpoints/checkpoint.h"
#include "core/base/file.h"
#include "launch/config/config_load.h"
#include "launch/config/diagnostic.h"
#include "launch/run/phases.h"
#include "launch/run/run_files.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Status trunk_run_config(const Branch *b, Config **out) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/config.yaml", b->run);
    Status status = config_load(path, 0, NULL, out);
    return status.code == STATUS_CONFIG
               ? PLACE_ERROR(b->place, "'branch.run': %s is no run that can be read", b->run)
               : status;
}

/* The nearest checkpoint of each fork so far. */
typedef struct ForkSearch {
    const Branch *branch;
    const Config *config; /* of the run */
    RunRecords records;
    double distances[BRANCH_FORKS];
    int64_t steps[BRANCH_FORKS];
    RunPosition positions[BRANCH_FORKS];
} ForkSearch;

/* The position of a step, by the last record up to it. */
static RunPosition position_of(const ForkSearch *search, int64_t step) {
    const RunRecord *last = NULL;
    RunPosition at = {.step = step};
    for (size_t i = 0; i < search->records.count; i++) {
        const RunRecord *r = &search->records.items[i];
        if (r->step > 0 && r->step <= (double)step && !isnan(r->tokens) && !isnan(r->train_s))
            last = r;
    }
    if (last == NULL) return at;
    double part = (double)step / last->step;
    at.tokens = llround(last->tokens * part);
    at.train_s = last->train_s * part;
    return at;
}

static bool checkpoint_look(void *context, const char *name) {
    ForkSearch *search = context;
    const Branch *b = search->branch;
    int64_t step;
    if (!checkpoint_name_parse(name, &step)) return true;
    RunPosition at = position_of(search, step);
    double share = run_share(&search->config->training.stop, at);
    for (int i = 0; i < b->n_forks; i++) {
        double distance = fabs(share - b->forks[i].share);
        if (distance >= search->distances[i]) continue;
        search->distances[i] = distance;
        search->steps[i] = step;
        search->positions[i] = at;
    }
    return true;
}

static Status forks_set(Arena *arena, const ForkSearch *search, Fork *forks) {
    const Branch *b = search->branch;
    for (int i = 0; i < b->n_forks; i++) {
        Fork *fork = &forks[i];
        if (!(search->distances[i] <= NEAREST))
            return PLACE_ERROR(b->place,
                               "'branch.run': %s has no checkpoint near %s of its run; train it "
                               "with a shorter checkpoint.interval and checkpoint.keep",
                               b->run, b->forks[i].text);
        fork->cut = (ConfigStop){.tokens = search->positions[i].tokens};
        fork->end = (ConfigStop){.tokens = fork->cut.tokens + b->tokens};
        char folder[PATH_MAX], path[PATH_MAX];
        snprintf(folder, sizeof folder, "%s/checkpoints", b->run);
        TRY(checkpoint_of_step(folder, search->steps[i], path));
        fork->checkpoint = arena_strdup(arena, path);
        if (fork->checkpoint == NULL) return OUT_OF_MEMORY("a trunk");
    }
    return OK;
}

Status trunk_run_forks(Arena *arena, const Branch *b, Fork *forks) {
    ForkSearch search = {.branch = b};
    Arena own = {0};
    Config *config = NULL;
    char path[PATH_MAX];
    TRY(trunk_run_config(b, &config));
    search.config = config;
    for (int i = 0; i < BRANCH_FORKS; i++) search.distances[i] = INFINITY;
    Status status = run_records_read(b->run, NULL, 0, &own, &search.records);
    snprintf(path, sizeof path, "%s/checkpoints", b->run);
    if (!failed(status)) status = file_list(path, checkpoint_look, &search);
    if (!failed(status)) status = forks_set(arena, &search, forks);
    config_destroy(&config);
    arena_free(&own);
    return status;
}
