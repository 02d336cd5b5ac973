#include "launch/run/phases.h"

#include "launch/base/readable.h"
#include "launch/config/diagnostic.h"
#include "launch/config/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

double run_share(const ConfigStop *stop, RunPosition at) {
    double done = 0;
    if (stop->steps > 0) done = fmax(done, (double)at.step / (double)stop->steps);
    if (stop->tokens > 0) done = fmax(done, (double)at.tokens / (double)stop->tokens);
    if (stop->time > 0) done = fmax(done, at.train_s / stop->time);
    return fmin(done, 1);
}

static void tokens_write(double tokens, RunEnd *end) {
    char count[24];
    readable_count(tokens, count, sizeof count);
    snprintf(end->limit, sizeof end->limit, "%s tokens", count);
}

/* Whether this rule is nearer to its end than those before it; sets all but the text. */
static bool end_is_nearer(RunEnd *end, const char *rule, double at, double limit) {
    if (limit <= 0 || (end->rule != NULL && at / limit <= end->done)) return false;
    end->rule = rule;
    end->done = at / limit;
    return true;
}

RunEnd run_next_end(const ConfigStop *stop, RunPosition at) {
    const ConfigLength *early = &stop->early;
    RunEnd end = {.rule = NULL};
    double part = early->percent > 0 ? fmin(early->percent / 100, 1) : 1;
    double steps = part * (double)stop->steps, tokens = part * (double)stop->tokens;
    const char *const key = "training.stop.early";
    bool is_early = part < 1;
    if (end_is_nearer(&end, is_early ? key : "training.stop.steps", (double)at.step, steps))
        snprintf(end.limit, sizeof end.limit, "%.0f steps", steps);
    if (end_is_nearer(&end, key, (double)at.step, (double)early->steps))
        snprintf(end.limit, sizeof end.limit, "%lld steps", (long long)early->steps);
    if (end_is_nearer(&end, is_early ? key : "training.stop.tokens", (double)at.tokens, tokens))
        tokens_write(tokens, &end);
    if (end_is_nearer(&end, key, (double)at.tokens, (double)early->tokens))
        tokens_write((double)early->tokens, &end);
    if (end_is_nearer(&end, is_early ? key : "training.stop.time", at.train_s, part * stop->time))
        readable_seconds(part * stop->time, end.limit, sizeof end.limit);
    end.done = fmin(end.done, 1);
    return end;
}

static int64_t micro_batches(int64_t tokens, int64_t micro_tokens) {
    int64_t nearest = (tokens + micro_tokens / 2) / micro_tokens;
    return nearest > 0 ? nearest : 1;
}

static double start_of(const ConfigLength *from, int row, int count) {
    return row < count ? value_length_number(&from[row]) : INFINITY;
}

/* Each start of a row of either schedule begins a phase. */
Phases phases_of(const Config *config, int64_t micro_tokens) {
    const ConfigBatchSchedule *batch = &config->training.batch_schedule;
    const ConfigWindowSchedule *window = &config->attention.window;
    TrainingPhase phase = {.accumulation = config->training.gradient_accumulation_steps};
    Phases out = {.count = 0};
    int b = 0, w = 0;
    do {
        double next_batch = start_of(batch->from, b, batch->count),
               next_window = start_of(window->from, w, window->count);
        if (next_batch < INFINITY && next_batch <= next_window) {
            out.from[out.count] = batch->from[b];
            phase.accumulation = micro_batches(batch->tokens[b++], micro_tokens);
        }
        if (next_window < INFINITY && next_window <= next_batch) {
            out.from[out.count] = window->from[w];
            phase.windows = &window->windows[w++];
        }
        out.list[out.count++] = phase;
    } while (b < batch->count || w < window->count);
    return out;
}

int64_t phases_first_tokens(const Config *config, int64_t ranks) {
    int64_t micro_tokens = ranks * config->data.batch_size * config->model.T;
    if (micro_tokens == 0) return 0;
    return micro_tokens * phases_of(config, micro_tokens).list[0].accumulation;
}

/* The value of row i. */
static Place place_of(const ConfigBatchSchedule *schedule, int i) {
    const YamlNode *row = schedule->node->first;
    while (i-- > 0) row = row->next;
    return row->last->place;
}

Status batch_schedule_round(ConfigBatchSchedule *schedule, int64_t micro_tokens) {
    for (int i = 0; i < schedule->count; i++) {
        int64_t tokens = schedule->tokens[i],
                rounded = micro_tokens * micro_batches(tokens, micro_tokens);
        if (10 * llabs(rounded - tokens) > tokens)
            return PLACE_ERROR(place_of(schedule, i),
                               "'training.batch_schedule' has %lld tokens a step, but ranks x "
                               "data.batch_size x model.block_size is %lld, and the nearest "
                               "multiple %lld; change one of them",
                               (long long)tokens, (long long)micro_tokens, (long long)rounded);
        schedule->tokens[i] = rounded;
    }
    return OK;
}

static bool is_reached(const ConfigLength *from, const ConfigStop *stop, RunPosition at) {
    if (from->percent > 0) return run_share(stop, at) >= from->percent / 100;
    return from->tokens > 0 ? at.tokens >= from->tokens : at.step >= from->steps;
}

int phases_at(const Phases *phases, const ConfigStop *stop, RunPosition at) {
    int i = 0;
    while (i + 1 < phases->count && is_reached(&phases->from[i + 1], stop, at)) i++;
    return i;
}

bool phases_are_timed(const Config *config) {
    const ConfigBatchSchedule *batch = &config->training.batch_schedule;
    const ConfigWindowSchedule *window = &config->attention.window;
    bool has_share = (batch->count > 1 && value_length_unit(&batch->from[1]) == LENGTH_PERCENT) ||
                     (window->count > 1 && value_length_unit(&window->from[1]) == LENGTH_PERCENT);
    return has_share && config->training.stop.time > 0;
}
