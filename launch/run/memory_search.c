#include "launch/run/memory_search.h"

#include "core/perf/predict.h"
#include "launch/run/state.h"

#include <stdio.h>
#include <string.h>

enum { BATCH_MOST = 4096 };

/* The most ranks that any GPU of this host has. */
static int ranks_of_a_gpu(const Experiment *e) {
    int count = e->gpu_is_shared ? device_count_cuda() : 0, ranks = world_local_size(e->world);
    return count > 0 ? (ranks + count - 1) / count : 1;
}

/* To two digits, for what is asked and what is there may lie close. */
static const char *amount(size_t bytes, char text[32]) {
    bool is_large = bytes >= (size_t)1 << 30;
    snprintf(text, 32, "%.2f %s", (double)bytes / (is_large ? 0x1p30 : 0x1p20),
             is_large ? "GiB" : "MiB");
    return text;
}

/* On the CPU checkpoints are written from the same memory. */
static size_t saved_from(const Experiment *e) {
    bool saves = !e->evaluates && world_rank(e->world) == 0 && e->parameters != NULL;
    return saves ? saver_bytes(e) : 0;
}

Status fit_room(const Experiment *e, size_t *bytes) {
    const ConfigBudget *budget = &e->config->memory_budget;
    const Device *device = e->device;
    size_t free_bytes, total_bytes;
    TRY(device_memory(e->device, &free_bytes, &total_bytes));
    if (device->target.kind == DEVICE_CPU) {
        size_t later = saved_from(e);
        free_bytes = free_bytes > later ? free_bytes - later : 0;
    } else if (device->paper_bytes == 0) {
        size_t sharers =
            (size_t)ranks_of_a_gpu(e); /* of what the plan counts, this is there already: */
        total_bytes /= sharers, free_bytes /= sharers;
        free_bytes += device->context_bytes - device->coming_bytes + device->workspace_bytes;
        if (!e->plan.only) free_bytes += e->communication_bytes;
    }
    *bytes = budget->percent > 0 ? (size_t)((double)total_bytes * budget->percent / 100.0)
                                 : budget->bytes;
    if (*bytes > free_bytes) *bytes = free_bytes;
    return OK;
}

static Status fits(Experiment *e, int64_t B, size_t room, bool *out) {
    TRY(experiment_plan_for(e, B));
    *out = experiment_planned_bytes(e) <= room;
    return OK;
}

/* Memory grows almost evenly with the batch, so that two plans tell about where the largest one
 * lies. */
static Status batch_guess(Experiment *e, size_t room, int64_t *guess) {
    size_t one = experiment_planned_bytes(e);
    if (one > room) {
        char have[32], need[32];
        return ERROR(STATUS_NO_ROOM,
                     "memory_budget: %s is below the smallest batch, which needs %s",
                     amount(room, have), amount(one, need));
    }
    TRY(experiment_plan_for(e, 9));
    size_t nine = experiment_planned_bytes(e);
    double each = nine > one ? (double)(nine - one) / 8 : 1;
    double most = 1 + (double)(room - one) / each;
    *guess = most < 1 ? 1 : most > BATCH_MOST ? BATCH_MOST : (int64_t)most;
    return OK;
}

Status fit_batch(Experiment *e, int64_t *out) {
    size_t room;
    int64_t guess;
    bool fit;
    TRY(experiment_plan_for(e, 1)); /* the room depends on the parameters */
    TRY(fit_room(e, &room));
    TRY(batch_guess(e, room, &guess));
    int64_t good = 1, bad = BATCH_MOST + 1;
    for (int64_t stride = 1;
         bad - good > 1;) { /* away from the guess in growing strides, then by halves */
        int64_t B = good == 1 && bad > BATCH_MOST ? guess
                    : bad > BATCH_MOST            ? good + stride
                    : good == 1                   ? bad - stride
                                                  : (good + bad) / 2;
        if (B <= good) B = good + 1;
        if (B >= bad) B = bad - 1;
        stride *= 2;
        TRY(fits(e, B, room, &fit));
        *(fit ? &good : &bad) = B;
    }
    *out = good;
    return OK;
}

Status fit_check(Experiment *e) {
    size_t room;
    int64_t asked = e->config->data.batch_size, largest;
    TRY(fit_room(e, &room));
    size_t needed = experiment_planned_bytes(e);
    if (needed <= room) return OK;
    TRY(fit_batch(e, &largest));
    char have[32], need[32];
    return ERROR(STATUS_NO_ROOM,
                 "data.batch_size: %lld needs %s, of %s %s are within memory_budget and free; the "
                 "largest batch that "
                 "fits is %lld",
                 (long long)asked, amount(needed, need), e->device->name, amount(room, have),
                 (long long)largest);
}

double fit_step_seconds(const Experiment *e) {
    int64_t M = e->config->training.gradient_accumulation_steps;
    double seconds = 0;
    if (e->device->target.kind == DEVICE_CPU) return 0; /* the shares are GPUs' */
    for (int64_t i = 0; i < M && i < 3; i++) {          /* the first, one between, the last */
        int64_t index = i == 2 || (i == 1 && M == 2) ? M - 1 : i,
                times = i == 1 && M > 2 ? M - 2 : 1;
        const Program *p = e->training->programs[training_micro_batch(index, M)];
        seconds += (double)times * predict_program(p, &e->ceilings);
    }
    return seconds;
}

/* Predicted sequences a second of one backend; -1 where it refuses the call, or does not fit. */
static Status rate_of(Experiment *e, const char *name, size_t room, double *rate) {
    int64_t B = e->config->data.batch_size;
    *rate = -1;
    e->attention = (AttentionChoice){.count = 1, .names = {name}};
    Status status = B == CONFIG_AUTO ? fit_batch(e, &B) : OK;
    if (!failed(status)) status = experiment_plan_for(e, B);
    if (status.code == STATUS_CONFIG || status.code == STATUS_NO_ROOM) return OK;
    TRY(status);
    if (experiment_planned_bytes(e) > room) return OK;
    double seconds = fit_step_seconds(e);
    *rate = seconds > 0 ? (double)B / seconds : 0;
    return OK;
}

static Status best_of(Experiment *e, int64_t *best) {
    const ConfigChoices *backends = &e->config->attention.backends;
    double most = -1, rate;
    size_t room;
    TRY(fit_room(e, &room));
    for (int i = 0; i < backends->count; i++) {
        TRY(rate_of(e, config_name("attention.backends", backends->items[i]), room, &rate));
        if (rate <= most) continue;
        most = rate;
        *best = i;
    }
    return OK;
}

Status fit_pick(Experiment *e) {
    ConfigChoices *backends = &e->config->attention.backends;
    int64_t best = -1;
    if (e->config->attention.pick != CONFIG_PICK_PREDICTED || backends->count < 2) return OK;
    TRY(world_agree(e->world, world_rank(e->world) == 0 ? best_of(e, &best) : OK));
    TRY(world_broadcast(e->world, &best, sizeof best));
    if (best >= 0) *backends = (ConfigChoices){1, {backends->items[best]}};
    return OK; /* where all refuse, the picker says why */
}
