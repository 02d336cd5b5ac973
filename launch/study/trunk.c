#include "launch/study/trunk.h"

#include "checkpoints/shards.h"
#include "core/base/replacement.h"
#include "data/directory.h"
#include "launch/config/config_load.h"
#include "launch/config/diagnostic.h"
#include "launch/run/phases.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

const Trunk *trunk_of(const Study *study, const StudyPoint *point, const Fork **fork) {
    for (int i = 0; i < study->sweep->n_trunks; i++) {
        const Trunk *t = &study->trunks[i];
        for (int k = 0; k < t->swept->branch.n_forks; k++) {
            int64_t index = point - study->points - t->forks[k].first;
            if (index < 0 || index >= t->swept->branch.count) continue;
            *fork = &t->forks[k];
            return t;
        }
    }
    return NULL;
}

/* ---- branches -------------------------------------------------------------------------------- */

/* What a branch sets beside its keys: its checkpoint, and its end. */
static Status branch_overrides(Study *study, const Trunk *t, const Fork *fork, char *out[4],
                               int *n) {
    const Branch *b = &t->swept->branch;
    Arena *arena = &study->arena;
    *n = 1;
    out[0] = study_override(arena, "branch_from", fork->checkpoint);
    if (out[0] == NULL) return OUT_OF_MEMORY("a trunk");
    if (b->unit_key != NULL) return branch_stops_clear(arena, b, out, n);
    out[(*n)++] =
        arena_printf(arena, "training.stop.early=%lld tokens", (long long)fork->end.tokens);
    return out[1] == NULL ? OUT_OF_MEMORY("a trunk") : OK;
}

static Status fork_add(Study *study, int index, int k) {
    Trunk *t = &study->trunks[index];
    Fork *fork = &t->forks[k];
    char *others[4];
    int n, point;
    TRY(branch_overrides(study, t, fork, others, &n));
    fork->first = study->count;
    for (int i = 0; i < t->swept->branch.count; i++) {
        SweepPoint swept;
        TRY(sweep_branch(study->sweep, index, k, i, others, n, &swept));
        TRY(study_append(study, &swept, 0, &point));
        study->points[point].from = fork->cut;
        if (t->point != NULL) study->points[point].order = t->point->order;
    }
    return OK;
}

/* A share without its percent sign, or a budget. */
static const char *fork_path(Arena *arena, const Trunk *t, const char *text) {
    return arena_printf(arena, "%s/forks/at_%.*s.h5", t->directory, (int)strcspn(text, "%"), text);
}

static Status forks_make(Study *study, Trunk *t) {
    const Branch *b = &t->swept->branch;
    t->forks = arena_alloc(&study->arena, (size_t)b->n_forks * sizeof *t->forks);
    if (t->forks == NULL) return OUT_OF_MEMORY("a trunk");
    for (int i = 0; i < b->n_forks; i++)
        t->forks[i] =
            (Fork){.config = &b->forks[i], .cut = b->forks[i].cut, .end = b->forks[i].end};
    if (t->point == NULL) return trunk_run_forks(&study->arena, b, t->forks);
    for (int i = 0; i < b->n_forks; i++) {
        t->forks[i].checkpoint = fork_path(&study->arena, t, b->forks[i].text);
        if (t->forks[i].checkpoint == NULL) return OUT_OF_MEMORY("a trunk");
    }
    return OK;
}

static Status trunk_make(Study *study, int index) {
    Trunk *t = &study->trunks[index];
    *t = (Trunk){.swept = &study->sweep->trunks[index], .fault = ""};
    t->directory = t->swept->branch.run;
    if (t->swept->point >= 0) {
        t->point = &study->points[t->swept->point];
        t->point->is_result = false;
        t->directory = t->point->directory;
    }
    TRY(forks_make(study, t));
    for (int i = 0; i < t->swept->branch.n_forks; i++) TRY(fork_add(study, index, i));
    return OK;
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* A branch of another model, and one that is too short to compare, are refused before anything
 * runs. */
static Status branch_check(const Study *study, const Trunk *t, const Config *trunk,
                           const StudyPoint *point) {
    const Branch *b = &t->swept->branch;
    Status status = config_compare_branch(trunk, point->config);
    if (status.code == STATUS_CONFIG)
        return PLACE_ERROR(b->place, "branch %s: %s", point->name, status_message());
    TRY(status);
    int64_t each = phases_first_tokens(point->config, study->config->launch.local.ranks);
    if (b->tokens == 0 || b->tokens >= LEAST_BRANCH_STEPS * each) return OK;
    return PLACE_ERROR(b->place,
                       "branch %s trains %.3g steps, which shows nothing; 'branch.tokens' must be "
                       "at least %lld",
                       point->name, (double)b->tokens / (double)each,
                       (long long)(LEAST_BRANCH_STEPS * each));
}

static Status trunk_check(const Study *study, const Trunk *t) {
    Config *loaded = NULL;
    Status status = OK;
    if (t->point == NULL) TRY(trunk_run_config(&t->swept->branch, &loaded));
    const Config *config = loaded == NULL ? t->point->config : loaded;
    int last = t->forks[0].first + t->swept->branch.n_forks * t->swept->branch.count;
    for (int i = t->forks[0].first; i < last && !failed(status); i++)
        status = branch_check(study, t, config, &study->points[i]);
    config_destroy(&loaded);
    return status;
}

/* ---- progress -------------------------------------------------------------------------------- */

static bool is_there(const Fork *fork) { return access(fork->checkpoint, F_OK) == 0; }

static bool is_needed(const Study *study, const Trunk *t, const Fork *fork) {
    for (int i = 0; i < t->swept->branch.count; i++) {
        if (study->points[fork->first + i].status.state == POINT_WAITING) return true;
    }
    return false;
}

/* Whether the trunk stands at its fork: beyond the cut by less than a step, or by less than half of
 * a time. */
static bool is_at(const StudyPoint *trunk, const Fork *fork) {
    RunPosition at = point_position(trunk), before = at;
    if (at.step == 0 || run_share(&fork->cut, at) < 1) return false;
    double part = 1 - 1 / (double)at.step;
    before.step = at.step - 1;
    before.tokens = (int64_t)(part * (double)at.tokens);
    before.train_s = at.train_s / 1.5;
    return run_share(&fork->cut, before) < 1;
}

/* A checkpoint of shards becomes one file. */
static Status fork_merge(const Fork *fork, const char *path) {
    CheckpointFile *file = NULL;
    TRY(checkpoint_open(path, &file));
    Status status = shards_merge(file, fork->checkpoint);
    checkpoint_close(&file);
    return status;
}

static Status fork_link(const Trunk *t, const Fork *fork) {
    char path[PATH_MAX], folder[PATH_MAX];
    size_t made;
    snprintf(path, sizeof path, "%s/forks", t->directory);
    TRY(directory_create(path, &made));
    snprintf(folder, sizeof folder, "%s/checkpoints", t->directory);
    TRY(checkpoint_of_step(folder, t->point->status.step, path));
    if (checkpoint_is_sharded(path)) return fork_merge(fork, path);
    if (link(path, fork->checkpoint) == 0 || errno == EEXIST) return OK;
    return replacement_copy(path, fork->checkpoint); /* checkpoints may be on another disk */
}

/* Ends the trunk's next stage at the fork. */
static Status stage_set(Study *study, const Trunk *t, const Fork *fork) {
    bool is_branch = t->swept->branch.unit_key == NULL;
    t->point->cut = fork->cut;
    t->point->limit = is_branch ? arena_printf(&study->arena, "training.stop.early=%lld tokens",
                                               (long long)fork->cut.tokens)
                                : branch_stop_text(&study->arena, &fork->cut);
    if (t->point->limit == NULL) return OUT_OF_MEMORY("a trunk");
    point_refresh(t->point);
    return OK;
}

/* Whether the trunk has yet to reach the fork; `links`: makes the link if it stands there. */
static Status fork_decide(Study *study, const Trunk *t, const Fork *fork, bool links, bool *open) {
    *open = false;
    if (is_there(fork) || !is_needed(study, t, fork)) return OK;
    TRY(stage_set(study, t, fork));
    const PointStatus *s = &t->point->status;
    *open = s->state != POINT_DONE;
    if (s->state == POINT_RUNNING || run_share(&fork->cut, point_position(t->point)) < 1) return OK;
    if (is_at(t->point, fork)) return !*open && links ? fork_link(t, fork) : OK;
    return ERROR(STATUS_CONFIG,
                 "%s: has no checkpoint of %s, and the run has passed it; remove %s to train it "
                 "again",
                 fork->checkpoint, fork->config->text, t->directory);
}

static void branches_block(Study *study, const Trunk *t, const Fork *fork) {
    bool missing = !is_there(fork);
    for (int i = 0; i < t->swept->branch.count; i++) {
        StudyPoint *branch = &study->points[fork->first + i];
        branch->is_blocked = missing && branch->status.state == POINT_WAITING;
    }
}

/* A trunk that cannot go on from a fork waits there; the others go on. */
static Status fault_note(Study *study, Trunk *t, Status status, bool *open) {
    if (!failed(status)) return OK;
    *open = true;
    t->fault = arena_strdup(&study->arena, status_message());
    return t->fault != NULL ? OK : OUT_OF_MEMORY("a trunk");
}

static Status trunk_decide(Study *study, Trunk *t, bool links) {
    bool open = false;
    int n = t->swept->branch.n_forks;
    t->fault = "";
    if (t->point != NULL) TRY(stage_set(study, t, &t->forks[n - 1]));
    for (int i = 0; i < n; i++) {
        const Fork *fork = &t->forks[i];
        if (t->point != NULL && !open) {
            Status status = fork_decide(study, t, fork, links, &open);
            TRY(links ? fault_note(study, t, status, &open) : status);
        }
        branches_block(study, t, fork);
    }
    if (t->point == NULL) return OK;
    PointState state = t->point->status.state;
    t->point->is_over = !open || *t->fault != '\0';
    t->point->is_result = state == POINT_OOM || state == POINT_FAILED;
    return OK;
}

Status trunks_open(Study *study) {
    int n = study->sweep->n_trunks, first = study->count;
    if (n == 0) return OK;
    study->trunks = arena_alloc(&study->arena, (size_t)n * sizeof *study->trunks);
    if (study->trunks == NULL) return OUT_OF_MEMORY("a trunk");
    for (int i = 0; i < n; i++) TRY(trunk_make(study, i));
    TRY(study_settle(study, first));
    for (int i = 0; i < n; i++) TRY(trunk_check(study, &study->trunks[i]));
    for (int i = 0; i < n; i++) TRY(trunk_decide(study, &study->trunks[i], false));
    return OK;
}

Status trunks_advance(Study *study) {
    for (int i = 0; i < study->sweep->n_trunks; i++)
        TRY(trunk_decide(study, &study->trunks[i], true));
    return OK;
}
