#include "launch/run/memory_search.h"

#include "checkpoints/memory_snapshot.h"

#include <stdio.h>

/* MEANWHILE: on a CPU the process grows by some 100 KiB between the search and memory_check. */
enum { MAX_BATCH = 4096, MEANWHILE_BYTES = 1 << 20 };

/* The most ranks that any GPU of this host has. */
static int ranks_of_a_gpu(const Experiment *e) {
    int count = e->gpu_is_shared ? device_count_cuda() : 0, ranks = world_local_size(e->world);
    return count > 0 ? (ranks + count - 1) / count : 1;
}

/* To two digits: need and capacity may be close. */
static const char *amount(size_t bytes, char text[32]) {
    bool is_large = bytes >= (size_t)1 << 30;
    snprintf(text, 32, "%.2f %s", (double)bytes / (is_large ? 0x1p30 : 0x1p20),
             is_large ? "GiB" : "MiB");
    return text;
}

/* Of this process, less what the snapshots of a killed run still take, which its next start
 * removes. */
static size_t saved_bytes(const Experiment *e, const PlanResult *plan) {
    if (world_rank(e->world) != 0 && !experiment_keeps_snapshots(e)) return plan->shard_bytes;
    char folder[MEMORY_FOLDER_BYTES];
    bool is_left = memory_folder_find(e->config->output, folder);
    size_t left = is_left ? memory_snapshot_bytes(folder) : 0;
    return plan->checkpoint_bytes > left ? plan->checkpoint_bytes - left : 0;
}

/* `meanwhile`: of the free memory, what will not be free at its use. */
static Status capacity(const Experiment *e, const PlanResult *plan, size_t meanwhile,
                       size_t *bytes) {
    const ConfigBudget *budget = &e->config->memory_budget;
    const Device *device = e->device;
    size_t free_bytes, total_bytes;
    TRY(device_memory(e->device, &free_bytes, &total_bytes));
    if (device->target.kind == DEVICE_CPU) {
        size_t taken = saved_bytes(e, plan) + meanwhile;
        free_bytes = free_bytes > taken ? free_bytes - taken : 0;
    } else if (device->planning_bytes == 0) {
        size_t sharers = (size_t)ranks_of_a_gpu(e);
        total_bytes /= sharers, free_bytes /= sharers;
        /* The plan includes these buffers, but they are already allocated. */
        free_bytes += device->context_bytes - device->coming_bytes + device->workspace_bytes;
        if (!e->plan.only) free_bytes += e->communication_bytes;
    }
    *bytes = budget->percent > 0 ? (size_t)((double)total_bytes * budget->percent / 100.0)
                                 : budget->bytes;
    if (*bytes > free_bytes) *bytes = free_bytes;
    return OK;
}

Status memory_capacity(const Experiment *e, const PlanResult *plan, size_t *bytes) {
    return capacity(e, plan, 0, bytes);
}

/* The state of a search: every batch up to `good` fits, none from `bad` on. */
typedef struct Search {
    Probes *probes;
    const KernelChoice *attention;
    size_t capacity;
    int64_t good, bad;
} Search;

static Status batch_try(Search *s, int64_t B) {
    PlanResult plan;
    TRY(probes_find(s->probes, B, s->attention, &plan));
    *(plan.bytes <= s->capacity ? &s->good : &s->bad) = B;
    return OK;
}

/* Memory grows almost linearly with the batch: two plans estimate the largest one. */
static Status batch_guess(const Search *s, size_t one, int64_t *guess) {
    PlanResult nine;
    TRY(probes_find(s->probes, 9, s->attention, &nine));
    double each = nine.bytes > one ? (double)(nine.bytes - one) / 8 : 1;
    double most = 1 + (double)(s->capacity - one) / each;
    *guess = most < 1 ? 1 : most > MAX_BATCH ? MAX_BATCH : (int64_t)most;
    return OK;
}

/* From the estimate in growing strides, then by bisection. */
static Status batch_bracket(Search *s, int64_t guess) {
    for (int64_t stride = 1; s->bad - s->good > 1; stride *= 2) {
        bool none_fits = s->good == 1, all_fit = s->bad > MAX_BATCH;
        int64_t B = none_fits && all_fit ? guess
                    : all_fit            ? s->good + stride
                    : none_fits          ? s->bad - stride
                                         : (s->good + s->bad) / 2;
        if (B <= s->good) B = s->good + 1;
        if (B >= s->bad) B = s->bad - 1;
        TRY(batch_try(s, B));
    }
    return OK;
}

Status memory_search_batch(const Experiment *e, Probes *probes, const KernelChoice *attention,
                           int64_t *out) {
    Search s = {.probes = probes, .attention = attention, .good = 1, .bad = MAX_BATCH + 1};
    PlanResult one;
    int64_t guess;
    TRY(probes_find(probes, 1, attention, &one));
    TRY(capacity(e, &one, MEANWHILE_BYTES, &s.capacity));
    if (one.bytes > s.capacity) {
        char have[32], need[32];
        return ERROR(STATUS_OUT_OF_MEMORY,
                     "memory_budget: %s is below the smallest batch, which needs %s",
                     amount(s.capacity, have), amount(one.bytes, need));
    }
    TRY(batch_guess(&s, one.bytes, &guess));
    TRY(batch_bracket(&s, guess));
    *out = s.good;
    return OK;
}

static Status largest_batch(const Experiment *e, int64_t *out) {
    Probes probes = {.input = experiment_plan_input(e)};
    Status status = memory_search_batch(e, &probes, &probes.input.attention, out);
    probes_free(&probes);
    return status;
}

Status memory_check(const Experiment *e) {
    size_t capacity;
    int64_t largest;
    TRY(memory_capacity(e, &e->planned, &capacity));
    if (e->planned.bytes <= capacity) return OK;
    TRY(largest_batch(e, &largest));
    char have[32], need[32];
    return ERROR(STATUS_OUT_OF_MEMORY,
                 "data.batch_size: %lld needs %s, of %s %s are within memory_budget and free; the "
                 "largest batch that fits is %lld",
                 (long long)e->resolved.batch_size, amount(e->planned.bytes, need), e->device->name,
                 amount(capacity, have), (long long)largest);
}
