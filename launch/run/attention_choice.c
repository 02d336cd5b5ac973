#include "launch/run/attention_choice.h"

#include "nn/attention/measure.h"

#include <string.h>

static KernelChoice choice_of_one(const char *name) {
    return (KernelChoice){.count = 1, .names = {name}};
}

/* ---- by prediction ---- */

/* Predicted sequences per second of one backend; -1: it refuses the call, or does not fit. */
static Status rate_of(const Experiment *e, Probes *probes, const char *name, double *rate) {
    KernelChoice one = choice_of_one(name);
    int64_t B = e->resolved.batch_size;
    PlanResult plan;
    size_t capacity;
    *rate = -1;
    Status status = B == CONFIG_AUTO ? memory_search_batch(e, probes, &one, &B) : OK;
    if (!failed(status)) status = probes_find(probes, B, &one, &plan);
    if (status.code == STATUS_CONFIG || status.code == STATUS_OUT_OF_MEMORY) return OK;
    TRY(status);
    TRY(memory_capacity(e, &plan, &capacity));
    if (plan.bytes <= capacity) *rate = plan.seconds[0] > 0 ? (double)B / plan.seconds[0] : 0;
    return OK;
}

static Status fastest_predicted(const Experiment *e, Probes *probes, const ConfigChoices *backends,
                                int64_t *best) {
    double most = -1, rate;
    for (int i = 0; i < backends->count; i++) {
        TRY(rate_of(e, probes, config_name("attention.backends", backends->items[i]), &rate));
        if (rate <= most) continue;
        most = rate;
        *best = i;
    }
    return OK;
}

Status attention_pick_predicted(const Experiment *e, Probes *probes, ConfigChoices *backends) {
    int64_t best = -1;
    if (e->config->attention.pick != CONFIG_PICK_PREDICTED || backends->count < 2) return OK;
    bool leads = world_rank(e->world) == 0;
    TRY(world_agree(e->world, leads ? fastest_predicted(e, probes, backends, &best) : OK));
    TRY(world_broadcast(e->world, &best, sizeof best));
    if (best >= 0) *backends = (ConfigChoices){1, {backends->items[best]}};
    return OK; /* if all refuse, recording gives each reason */
}

/* ---- by measurement ---- */

/* A plan without a time for everything says so. */
static const char *note_of(const Experiment *e, int missing) {
    if (!e->plan.only || missing == 0) return NULL;
    if (e->device->planning_bytes > 0)
        return "attention.pick: measured needs the device; this plan goes by the order";
    return "attention.pick: measured has no time for every backend yet; this plan goes by the "
           "cache, then the order, and the run measures";
}

static Status fastest_measured(const Experiment *e, Probes *probes, int64_t B,
                               KernelChoice *attention, const char **note, int64_t *best) {
    PlanResult plan;
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    const AttentionBackend *backend;
    int missing = 0, count;
    TRY(probes_find(probes, B, attention, &plan));
    TRY(attention_measure(e->device, &plan.call, !e->plan.only, attention, &missing));
    TRY(attention_pick(&plan.call, &e->device->target, attention, verdicts, &count, &backend));
    *note = note_of(e, missing);
    for (int i = 0; i < attention->count; i++) {
        if (strcmp(attention->names[i], backend->forward.name) == 0) *best = i;
    }
    return OK;
}

Status attention_pick_measured(const Experiment *e, Probes *probes, int64_t B,
                               KernelChoice *attention, const char **note,
                               ConfigChoices *backends) {
    int64_t best = 0;
    *note = NULL;
    if (e->config->attention.pick != CONFIG_PICK_MEASURED || attention->count == 1) return OK;
    Status status = OK;
    if (world_rank(e->world) == 0) status = fastest_measured(e, probes, B, attention, note, &best);
    TRY(world_agree(e->world, status));
    TRY(world_broadcast(e->world, &best, sizeof best));
    *backends = (ConfigChoices){1, {backends->items[best]}};
    return OK;
}

/* ---- the comparison ---- */

static bool is_accepted(const BackendTable *table, const char *name) {
    for (int i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0 && table->rows[i].refusal == NULL) return true;
    }
    return false;
}

static void rows_add(BackendTable *table, const KernelVerdict *verdicts, int count, bool enabled) {
    for (int i = 0; i < count && table->count < KERNEL_MAX_CHOICES; i++) {
        const char *name = verdicts[i].kernel->name, *refusal = verdicts[i].refusal;
        bool shadowed = refusal == NULL && is_accepted(table, name);
        table->rows[table->count++] = (BackendRow){.name = name,
                                                   .refusal = refusal,
                                                   .shadowed = shadowed,
                                                   .enabled = enabled,
                                                   .seconds = shadowed ? 0 : verdicts[i].seconds};
    }
}

static bool is_named(const KernelChoice *choice, const char *name) {
    for (int i = 0; i < choice->count; i++) {
        if (strcmp(choice->names[i], name) == 0) return true;
    }
    return false;
}

/* First the config's backends in its order, then the device's others. */
static Status rows_list(const Experiment *e, const KernelChoice *asked, BackendTable *table) {
    const KernelChoice all = {0};
    const AttentionCall *call = &e->planned.call;
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    const AttentionBackend *backend;
    int count, others = 0;
    TRY(attention_pick(call, &e->device->target, asked, verdicts, &count, &backend));
    rows_add(table, verdicts, count, true);
    TRY(attention_pick(call, &e->device->target, &all, verdicts, &count, &backend));
    for (int i = 0; i < count; i++) {
        if (!is_named(asked, verdicts[i].kernel->name)) verdicts[others++] = verdicts[i];
    }
    rows_add(table, verdicts, others, false);
    return OK;
}

static bool is_candidate(const BackendRow *row) { return row->refusal == NULL && !row->shadowed; }

/* Cached times of earlier runs, for backends that were not measured now. */
static Status rows_recall(const Experiment *e, BackendTable *table) {
    KernelChoice known = {.count = table->count};
    int missing;
    for (int i = 0; i < table->count; i++) known.names[i] = table->rows[i].name;
    TRY(attention_measure(e->device, &e->planned.call, false, &known, &missing));
    for (int i = 0; i < table->count; i++) {
        if (is_candidate(&table->rows[i])) table->rows[i].seconds = known.seconds[i];
    }
    return OK;
}

/* The run's memory and time with one backend; with --plan also its largest batch, which a run does
 * not wait for. */
static Status row_plan(const Experiment *e, Probes *probes, BackendRow *row) {
    KernelChoice one = choice_of_one(row->name);
    PlanResult plan;
    Status largest = e->plan.only ? memory_search_batch(e, probes, &one, &row->largest_batch) : OK;
    if (failed(largest) && largest.code != STATUS_OUT_OF_MEMORY) return largest;
    TRY(probes_find(probes, e->resolved.batch_size, &one, &plan));
    row->planned_bytes = plan.bytes;
    row->predicted_s = plan.seconds[0];
    return OK;
}

Status attention_compare(const Experiment *e, Probes *probes, const KernelChoice *asked,
                         BackendTable *out) {
    TRY(rows_list(e, asked, out));
    if (e->plan.only) TRY(rows_recall(e, out));
    for (int i = 0; i < out->count; i++) {
        BackendRow *row = &out->rows[i];
        if (!is_candidate(row)) continue;
        row->picked = strcmp(row->name, e->planned.attention) == 0;
        TRY(row_plan(e, probes, row));
    }
    return OK;
}
