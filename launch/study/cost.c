#include "launch/study/cost.h"

#include "launch/run/phases.h"
#include "launch/run/run_files.h"
#include "launch/study/trunk.h"
#include "launch/study/tuning.h"

#include <math.h>

/* Means over the runs of the study so far. */
typedef struct Measured {
    double start_s; /* of a start */
    double watts;   /* during training; NaN: not measured */
} Measured;

/* Of a machine that has run nothing yet: load, plan, first step, and the last save. */
static const double USUAL_START_S = 5;

static Status measure(const Study *study, Measured *out) {
    Arena arena = {0};
    double start_s = 0, joules = 0, train_s = 0;
    int starts = 0;
    Status status = OK;
    for (int i = 0; i < study->count && !failed(status); i++) {
        RunFacts facts;
        status = run_facts_read(study->points[i].directory, &arena, &facts);
        if (failed(status)) break;
        if (!isnan(facts.start_s)) start_s += facts.start_s, starts++;
        if (isnan(facts.joules) || isnan(facts.train_s)) continue;
        joules += facts.joules;
        train_s += facts.train_s;
    }
    arena_free(&arena);
    *out = (Measured){.start_s = starts > 0 ? start_s / starts : USUAL_START_S,
                      .watts = train_s > 0 ? joules / train_s : NAN};
    return status;
}

/* tokens/s of a point, or of another with the same batch; NaN: none has run. */
static double rate_of(const Study *study, const StudyPoint *point) {
    double rate = point->status.tok_per_s;
    for (int i = 0; i < study->count && isnan(rate); i++) {
        const StudyPoint *other = &study->points[i];
        if (other->config->data.batch_size == point->config->data.batch_size)
            rate = other->status.tok_per_s;
    }
    return rate;
}

/* Seconds up to the first of the rules; NaN if they are unknown. */
static double seconds_until(const Study *study, const StudyPoint *point, const ConfigStop *stop,
                            int64_t ranks) {
    double seconds = stop->time > 0 ? stop->time : NAN, rate = rate_of(study, point);
    if (stop->tokens > 0) seconds = fmin(seconds, (double)stop->tokens / rate);
    if (stop->steps > 0)
        seconds = fmin(seconds, (double)stop->steps *
                                    (double)phases_first_tokens(point->config, ranks) / rate);
    return seconds;
}

/* Seconds of the whole budget. */
static double seconds_of(const Study *study, const StudyPoint *point, int64_t ranks) {
    return seconds_until(study, point, &point->config->training.stop, ranks);
}

typedef struct Sum {
    double tuning, trunks, points; /* seconds */
    double alone;   /* of runs that have each budget alone, instead of trunk and branches */
    double budgets; /* of the tuning, in budgets of a point, without the best */
    int runs, candidates, starts;
} Sum;

static void sum_tuning(const Study *study, const Tuning *t, int64_t ranks, Sum *sum) {
    double seconds = seconds_of(study, &study->points[t->candidates[0].point], ranks),
           cost = tuning_cost(t) - 1;
    int count = t->combination->tune.count;
    sum->tuning += cost * seconds;
    sum->points += t->combination->n_seeds * seconds;
    sum->budgets += cost;
    sum->candidates += count;
    sum->runs += t->combination->n_seeds;
    sum->starts += t->combination->n_seeds - 1;
    for (int r = 0; r < t->rungs; r++) {
        sum->starts += count;
        count = tuning_kept(count);
    }
}

static void sum_trunk(const Study *study, const Trunk *t, int64_t ranks, Sum *sum) {
    const Branch *b = &t->swept->branch;
    const Fork *last = &t->forks[b->n_forks - 1];
    if (t->point != NULL) {
        sum->trunks += seconds_until(study, t->point, &last->cut, ranks);
        sum->starts += b->n_forks;
    }
    for (int i = 0; i < b->n_forks * b->count; i++) {
        const StudyPoint *point = &study->points[t->forks[0].first + i];
        const Fork *fork = &t->forks[i / b->count];
        double whole = seconds_until(study, point, &fork->end, ranks);
        sum->points += whole - seconds_until(study, point, &fork->cut, ranks);
        sum->alone += whole;
        sum->runs++;
        sum->starts++;
    }
}

/* Whether a point is a run of its own, from its start to its end. */
static bool is_alone(const Study *study, const StudyPoint *point) {
    const Fork *fork;
    return point->combination < 0 && point->limit == NULL && trunk_of(study, point, &fork) == NULL;
}

static Sum sum_of(const Study *study, int64_t ranks) {
    Sum sum = {0};
    for (int i = 0; i < study->sweep->n_trunks; i++)
        sum_trunk(study, &study->trunks[i], ranks, &sum);
    for (int i = 0; i < study->sweep->n_combinations; i++)
        sum_tuning(study, &study->tunings[i], ranks, &sum);
    for (int i = 0; i < study->count; i++) {
        if (!is_alone(study, &study->points[i])) continue;
        sum.points += seconds_of(study, &study->points[i], ranks);
        sum.runs++;
        sum.starts++;
    }
    return sum;
}

static void put_hours(const char *what, double seconds, FILE *file) {
    if (isnan(seconds))
        fprintf(file, "%s: hours unknown until a point of each batch has run\n", what);
    else
        fprintf(file, "%s: %.2f hours of training\n", what, seconds / 3600);
}

Status cost_print(const Study *study, int64_t ranks, int64_t parallel, FILE *file) {
    const ConfigLocal *local = &study->config->launch.local;
    Measured measured;
    TRY(measure(study, &measured));
    Sum sum = sum_of(study, ranks > 0 ? ranks : local->ranks);
    double start = measured.start_s;
    fprintf(file, "\ncost of the whole study: %d point%s", sum.runs, sum.runs == 1 ? "" : "s");
    if (sum.candidates > 0)
        fprintf(file, ", %d candidates in %d tunings", sum.candidates,
                study->sweep->n_combinations);
    fprintf(file, ", %d starts of about %.0f s\n", sum.starts, start);
    put_hours("points", sum.points, file);
    if (sum.trunks > 0 || isnan(sum.trunks)) {
        put_hours("trunks", sum.trunks, file);
        if (!isnan(sum.alone))
            fprintf(file, "without trunks the points would take %.2f hours\n", sum.alone / 3600);
    }
    if (sum.candidates > 0) {
        put_hours("tuning", sum.tuning, file);
        fprintf(file,
                "tuning: %.2f budgets of a point, and up to %d more each if a best rate is at "
                "the edge\n",
                sum.budgets, 2 * WIDENED);
    }
    double at_a_time = (double)(parallel > 0 ? parallel : local->parallel),
           total = (sum.points + sum.trunks + sum.tuning + sum.starts * start) / at_a_time;
    if (!isnan(total)) fprintf(file, "total: %.2f hours, starts included\n", total / 3600);
    if (isnan(measured.watts) || isnan(total))
        fputs("joules: unknown until a run has measured its energy\n", file);
    else
        fprintf(file, "joules: %.3g, at the %.0f W of the runs so far\n",
                measured.watts * (sum.points + sum.trunks + sum.tuning), measured.watts);
    return OK;
}
