#include "launch/study/tuning.h"

#include "launch/study/metric.h"
#include "launch/study/tuning_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static StudyPoint *point_of(const Study *study, const TuneCandidate *c) {
    return &study->points[c->point];
}

/* ---- results --------------------------------------------------------------------------------- */

/* Whether all candidates need the same memory. */
static bool is_of_one_size(const Tuning *t) {
    for (int i = 0; i < t->combination->tune.n_axes; i++) {
        const char *key = t->combination->tune.axes[i].key;
        bool is_free =
            strncmp(key, "optimizer.", 10) == 0 || strncmp(key, "lr_scheduler.", 13) == 0;
        if (!is_free || strcmp(key, "optimizer.matrices") == 0) return false;
    }
    return true;
}

/* Whether a candidate did not fit, so that the others need not try. */
static bool has_no_room(const Study *study, const Tuning *t) {
    if (!is_of_one_size(t)) return false;
    for (int i = 0; i < t->count; i++) {
        if (point_of(study, &t->candidates[i])->status.state == POINT_OOM) return true;
    }
    return false;
}

static bool is_lost(const Study *study, const Tuning *t, const StudyPoint *point) {
    const PointStatus *s = &point->status;
    return s->state == POINT_OOM || point_is_given_up(point, study->config->launch.retries) ||
           (has_no_room(study, t) && s->attempts == 0);
}

static bool has_passed(const StudyPoint *point, double share) {
    PointState state = point->status.state;
    return (state == POINT_DONE || state == POINT_WAITING) && point_share(point) >= share - 1e-9;
}

/* What is not in rungs.log yet is read from the run. */
static Status results_read(const Study *study, Tuning *t, TuneCandidate *c) {
    const StudyPoint *point = point_of(study, c);
    TRY(tuning_log_read(point, &study->config->report, t->shares, t->rungs, c->losses));
    for (int r = 0; r < t->rungs; r++) {
        if (!isnan(c->losses[r])) continue;
        if (is_lost(study, t, point))
            c->losses[r] = INFINITY;
        else if (has_passed(point, t->shares[r]))
            TRY(tuning_result(point, &study->config->report, t->shares[r], &c->losses[r]));
    }
    return OK;
}

/* A tuning whose results cannot be read or noted waits; the others go on. */
static Status fault_note(Study *study, Tuning *t, Status status) {
    if (!failed(status)) return OK;
    t->fault = arena_strdup(&study->arena, status_message());
    return t->fault != NULL ? OK : OUT_OF_MEMORY("a tuning");
}

static Status results_read_all(const Study *study, Tuning *t) {
    for (int i = 0; i < t->count; i++) TRY(results_read(study, t, &t->candidates[i]));
    return OK;
}

/* ---- halving --------------------------------------------------------------------------------- */

static void go_on(const Study *study, const Tuning *t, const TuneCandidate *c, int rung) {
    StudyPoint *point = point_of(study, c);
    if (point->share < t->shares[rung]) point->share = t->shares[rung];
}

/* The loss of the last candidate that a rung keeps. */
static double loss_kept(const Tuning *t, int rung, int keep) {
    double least = -INFINITY;
    for (int k = 0; k < keep;) {
        double next = INFINITY;
        int same = 0;
        for (int i = 0; i < t->count; i++) {
            const TuneCandidate *c = &t->candidates[i];
            if (c->ended >= 0 || c->is_added || c->losses[rung] <= least) continue;
            same = c->losses[rung] < next ? 1 : same + (c->losses[rung] == next);
            next = fmin(next, c->losses[rung]);
        }
        if (same == 0) break;
        least = next;
        k += same;
    }
    return least;
}

static const char *why_ended(Study *study, const Tuning *t, const TuneCandidate *c, int rung,
                             double kept) {
    double sign = metric_is_rate(study->config->report.metric) ? -1 : 1;
    const PointStatus *s = &point_of(study, c)->status;
    bool has_trained = s->state == POINT_DONE || s->state == POINT_WAITING;
    const char *lost = has_trained ? "it has no finite result" : point_state_name(s->state);
    if (isinf(c->losses[rung])) return s->has_diverged ? "diverged" : lost;
    const char *text = arena_printf(
        &study->arena, "%.4f at %.3g%% of the budget; the rung kept %.4f and %s",
        sign * c->losses[rung], 100 * t->shares[rung], sign * kept, sign < 0 ? "more" : "less");
    return text == NULL ? "" : text;
}

/* Ends the worse half. False if a candidate has yet to complete the rung. */
static bool rung_decide(Study *study, Tuning *t, int rung) {
    int alive = 0;
    bool whole = true;
    for (int i = 0; i < t->count; i++) {
        TuneCandidate *c = &t->candidates[i];
        if (c->ended >= 0 || c->is_added) continue;
        go_on(study, t, c, rung);
        whole = whole && !isnan(c->losses[rung]);
        alive += c->losses[rung] > -INFINITY;
    }
    if (!whole) return false;
    double kept = loss_kept(t, rung, tuning_kept(alive));
    for (int i = 0; i < t->count; i++) {
        TuneCandidate *c = &t->candidates[i];
        bool is_kept = c->losses[rung] <= kept && c->losses[rung] < INFINITY;
        if (c->ended >= 0 || c->is_added || is_kept) continue;
        c->ended = rung;
        c->why = why_ended(study, t, c, rung, kept);
    }
    return true;
}

/* ---- the whole budget ------------------------------------------------------------------------ */

static bool completes(const TuneCandidate *c) { return c->ended < 0 || c->has_resumed; }

static bool is_neighbor(const Tuning *t, const TuneCandidate *a, const TuneCandidate *b, int axis) {
    for (int k = 0; k < t->combination->tune.n_axes; k++) {
        if (k != axis && strcmp(a->tuned[k], b->tuned[k]) != 0) return false;
    }
    return true;
}

/* The nearest candidate above or below on an axis, with the same other values; NULL: none. */
static TuneCandidate *neighbor_of(const Tuning *t, const TuneCandidate *c, int axis,
                                  int direction) {
    double value = tune_number(c->tuned[axis]), nearest = direction > 0 ? INFINITY : -INFINITY;
    TuneCandidate *found = NULL;
    for (int i = 0; i < t->count; i++) {
        double other = tune_number(t->candidates[i].tuned[axis]);
        bool is_beyond =
            direction > 0 ? other > value && other < nearest : other < value && other > nearest;
        if (!is_beyond || !is_neighbor(t, c, &t->candidates[i], axis)) continue;
        nearest = other;
        found = &t->candidates[i];
    }
    return found;
}

/* Candidates that were added on this side of an axis of this one. */
static int added_beside(const Tuning *t, const TuneCandidate *c, int axis, int direction) {
    const TuneAxis *a = &t->combination->tune.axes[axis];
    double edge = tune_number(a->texts[direction > 0 ? a->count - 1 : 0]);
    int count = 0;
    for (int i = 0; i < t->count; i++) {
        double other = tune_number(t->candidates[i].tuned[axis]);
        bool is_beyond = direction > 0 ? other > edge : other < edge;
        count += is_beyond && is_neighbor(t, c, &t->candidates[i], axis);
    }
    return count;
}

static Status candidate_add(Study *study, Tuning *t, const char *const *tuned) {
    SweepPoint swept;
    int index;
    TRY(sweep_combine(study->sweep, t->index, tuned, 0, &swept));
    TRY(study_add(study, &swept, 0, &index));
    study->points[index].order = study->points[t->candidates[0].point].order;
    t->candidates[t->count] = (TuneCandidate){.point = index,
                                              .tuned = study->points[index].tuned,
                                              .is_added = true,
                                              .ended = -1,
                                              .why = ""};
    return fault_note(study, t, results_read(study, t, &t->candidates[t->count++]));
}

/* Adds the candidate beyond the edge of a log-spaced axis, if there may be one. */
static Status widen(Study *study, Tuning *t, const TuneCandidate *c, int axis, int direction,
                    bool *added) {
    const TuneAxis *a = &t->combination->tune.axes[axis];
    const char *tuned[TUNE_AXES];
    *added =
        a->ratio > 0 && added_beside(t, c, axis, direction) < WIDENED && t->count < t->capacity;
    if (!*added) return OK;
    for (int k = 0; k < t->combination->tune.n_axes; k++) tuned[k] = c->tuned[k];
    tuned[axis] =
        tune_text(&study->arena, a->key,
                  tune_number(c->tuned[axis]) * (direction > 0 ? a->ratio : 1 / a->ratio));
    if (tuned[axis] == NULL) return OUT_OF_MEMORY("a tuning");
    *added = strcmp(tuned[axis], c->tuned[axis]) != 0;
    if (!*added) return OK;
    Status status = candidate_add(study, t, tuned);
    if (status.code != STATUS_CONFIG) return status;
    *added = false; /* the key does not take such a value */
    return OK;
}

/* Asks the neighbors of the best for the whole budget. */
static Status bracket(Study *study, Tuning *t, int best) {
    t->edge = "";
    for (int axis = 0; axis < t->combination->tune.n_axes; axis++) {
        if (isnan(tune_number(t->candidates[best].tuned[axis]))) continue;
        for (int direction = -1; direction <= 1; direction += 2) {
            TuneCandidate *c = neighbor_of(t, &t->candidates[best], axis, direction);
            bool added = false;
            if (c == NULL) TRY(widen(study, t, &t->candidates[best], axis, direction, &added));
            if (c != NULL && c->ended >= 0) c->has_resumed = true;
            if (c != NULL || added) continue;
            t->edge =
                arena_printf(&study->arena, "%s %s is at the %s edge of its candidates",
                             t->combination->tune.axes[axis].key, t->candidates[best].tuned[axis],
                             direction > 0 ? "upper" : "lower");
            if (t->edge == NULL) return OUT_OF_MEMORY("a tuning");
        }
    }
    return OK;
}

/* The best of those that complete the budget; -1 if all failed. False if any has yet to. */
static bool best_find(const Study *study, const Tuning *t, int *best) {
    bool whole = true;
    int last = t->rungs - 1;
    double least = INFINITY;
    *best = -1;
    for (int i = 0; i < t->count; i++) {
        const TuneCandidate *c = &t->candidates[i];
        if (!completes(c)) continue;
        go_on(study, t, c, last);
        whole = whole && !isnan(c->losses[last]);
        if (!(c->losses[last] < least)) continue;
        least = c->losses[last];
        *best = i;
    }
    return whole;
}

/* Repeats until the best has its neighbors at the whole budget. */
static Status finals_decide(Study *study, Tuning *t) {
    for (int before = -1;;) {
        int best;
        if (!best_find(study, t, &best)) return OK;
        t->is_decided = best < 0 || best == before;
        if (t->is_decided) t->best = best;
        if (t->is_decided) return OK;
        TRY(bracket(study, t, best));
        before = best;
    }
}

/* ---- a tuning -------------------------------------------------------------------------------- */

/* The best with the other seeds. */
static Status seeds_add(Study *study, Tuning *t) {
    const TuneCandidate *best = &t->candidates[t->best];
    StudyPoint *first = point_of(study, best);
    first->is_result = true;
    for (int seed = 1; seed < t->combination->n_seeds; seed++) {
        int index = 0;
        for (; index < study->count; index++) {
            StudyPoint *p = &study->points[index];
            if (p->combination == t->index && p->seed == seed && p->is_result) break;
        }
        if (index < study->count) continue;
        SweepPoint swept;
        TRY(sweep_combine(study->sweep, t->index, best->tuned, seed, &swept));
        TRY(study_add(study, &swept, seed, &index));
        study->points[index].order = first->order;
        study->points[index].is_result = true;
    }
    return OK;
}

/* A point whose share has changed has another state. */
static void candidate_close(Study *study, const Tuning *t, TuneCandidate *c) {
    StudyPoint *point = point_of(study, c);
    int last = t->rungs - 1;
    point->is_over = !completes(c) || isinf(c->losses[last]);
    if (completes(c) && isinf(c->losses[last])) {
        c->ended = last;
        c->why = why_ended(study, t, c, last, NAN);
    }
    point_refresh(point);
}

/* Without a best, the first candidate that failed or does not fit is the result; if none did, no
 * run logs the metric. */
static Status failure_show(Study *study, Tuning *t) {
    int shown = -1;
    for (int i = t->count - 1; i >= 0; i--) {
        PointState state = point_of(study, &t->candidates[i])->status.state;
        if (state == POINT_FAILED || state == POINT_OOM) shown = i;
    }
    if (shown >= 0) point_of(study, &t->candidates[shown])->is_result = true;
    if (shown >= 0) return OK;
    t->fault = arena_printf(&study->arena, "no candidate has a number for %s; set report.metric",
                            study->config->report.metric);
    return t->fault != NULL ? OK : OUT_OF_MEMORY("a tuning");
}

/* Requires results_read_all. */
static Status decide(Study *study, Tuning *t) {
    if (t->is_decided || *t->fault != '\0') return OK;
    for (int i = 0; i < t->count; i++) {
        TuneCandidate *c = &t->candidates[i];
        c->ended = -1;
        c->has_resumed = false;
        c->why = "";
    }
    bool goes_on = true;
    for (int r = 0; r + 1 < t->rungs && goes_on; r++) goes_on = rung_decide(study, t, r);
    if (goes_on) TRY(finals_decide(study, t));
    for (int i = 0; i < t->count; i++) candidate_close(study, t, &t->candidates[i]);
    if (t->best >= 0) return seeds_add(study, t);
    return t->is_decided ? failure_show(study, t) : OK;
}

static Status tuning_make(Study *study, int index, Tuning *t) {
    *t = (Tuning){.combination = &study->sweep->combinations[index],
                  .index = index,
                  .best = -1,
                  .edge = "",
                  .fault = ""};
    t->capacity = t->combination->tune.count + TUNING_ADDS;
    t->candidates = arena_alloc(&study->arena, (size_t)t->capacity * sizeof *t->candidates);
    if (t->candidates == NULL) return OUT_OF_MEMORY("a tuning");
    tuning_rungs(t);
    for (int i = 0; i < study->count; i++) {
        StudyPoint *point = &study->points[i];
        if (point->combination != index) continue;
        point->share = t->shares[0];
        t->candidates[t->count++] =
            (TuneCandidate){.point = i, .tuned = point->tuned, .ended = -1, .why = ""};
        point_refresh(point);
    }
    return OK;
}

Status tunings_open(Study *study) {
    int n = study->sweep->n_combinations;
    study->tunings = arena_alloc(&study->arena, (size_t)(n + 1) * sizeof *study->tunings);
    if (study->tunings == NULL) return OUT_OF_MEMORY("a tuning");
    for (int i = 0; i < n; i++) {
        Tuning *t = &study->tunings[i];
        TRY(tuning_make(study, i, t));
        TRY(tuning_check(study, t));
        TRY(fault_note(study, t, results_read_all(study, t)));
        TRY(decide(study, t));
    }
    return OK;
}

/* A candidate that has come to the end of a rung keeps its result there, also if it already waits
 * for the next one, whose attempts may fail. */
static Status results_note(const Study *study, const Tuning *t, const TuneCandidate *c) {
    const StudyPoint *point = point_of(study, c);
    double kept[RUNGS_MAX];
    TRY(tuning_log_read(point, &study->config->report, t->shares, t->rungs, kept));
    for (int r = 0; r < t->rungs; r++) {
        bool is_here = has_passed(point, t->shares[r]) &&
                       (r + 1 == t->rungs || !has_passed(point, t->shares[r + 1]));
        if (isnan(kept[r]) && is_here && isfinite(c->losses[r]))
            TRY(tuning_log_add(point, &study->config->report, t->shares[r], c->losses[r]));
    }
    return OK;
}

static Status results_take(const Study *study, Tuning *t) {
    TRY(results_read_all(study, t));
    for (int i = 0; i < t->count; i++) TRY(results_note(study, t, &t->candidates[i]));
    return OK;
}

Status tunings_advance(Study *study) {
    for (int i = 0; i < study->sweep->n_combinations; i++) {
        Tuning *t = &study->tunings[i];
        t->fault = "";
        TRY(fault_note(study, t, results_take(study, t)));
        TRY(decide(study, t));
    }
    return OK;
}
