#include "launch/run/attention_choice.h"

#include "launch/run/memory_search.h"
#include "nn/attention/measure.h"

#include <string.h>

/* The call that the program for a batch of B records. */
static Status call_of(Experiment *e, int64_t B, AttentionCall *out) {
    const AttentionCall *call = NULL;
    if (e->training != NULL && e->step.tokens->shape[0] == B)
        call = training_attention_call(e->training);
    if (call == NULL) {
        TRY(experiment_plan_for(e, B));
        call = training_attention_call(e->training);
    }
    if (call == NULL) return ERROR(STATUS_UNSUPPORTED, "the model has no attention to plan");
    *out = *call;
    return OK;
}

static Status pick(Experiment *e, int64_t B) {
    AttentionCall call;
    AttentionVerdict verdicts[ATTENTION_MAX_BACKENDS];
    const AttentionBackend *backend = NULL;
    int count;
    TRY(call_of(e, B, &call));
    TRY(attention_pick(&call, &e->device->target, &e->attention, verdicts, &count, &backend));
    e->attention_name = backend->name;
    return OK;
}

Status attention_settle(Experiment *e, int64_t B) {
    const ConfigChoices *backends = &e->config->attention.backends;
    e->attention = (AttentionChoice){.count = backends->count};
    for (int i = 0; i < backends->count; i++) {
        e->attention.names[i] = config_name("attention.backends", backends->items[i]);
    }
    return world_agree(e->world, pick(e, B));
}

/* What --plan has to say where there is not a time for everything. */
static const char *note_of(const Experiment *e, int missing) {
    if (!e->plan.only || missing == 0) return NULL;
    if (e->device->paper_bytes > 0)
        return "attention.pick: measured needs the device; this plan goes by the order";
    return "attention.pick: measured has no time for every backend yet; this plan goes by the "
           "cache, then the order, "
           "and the run measures";
}

static void config_freeze(Experiment *e) {
    ConfigChoices *backends = &e->config->attention.backends;
    for (int i = 0; i < backends->count; i++) {
        if (strcmp(e->attention.names[i], e->attention_name) != 0) continue;
        *backends = (ConfigChoices){1, {backends->items[i]}};
        return;
    }
}

Status attention_settle_measured(Experiment *e, int64_t B, bool *changed) {
    const char *before = e->attention_name;
    AttentionCall call;
    Status status = OK;
    int missing = 0;
    *changed = false;
    if (e->config->attention.pick != CONFIG_PICK_MEASURED || e->attention.count == 1) return OK;
    TRY(world_agree(e->world, call_of(e, B, &call)));
    if (world_rank(e->world) == 0) {
        status = attention_measure(e->device, &call, !e->plan.only, &e->attention, &missing);
    }
    TRY(world_agree(e->world, status));
    TRY(world_broadcast(e->world, e->attention.seconds, sizeof e->attention.seconds));
    TRY(world_agree(e->world, pick(e, B)));
    e->attention_table.note = note_of(e, missing);
    config_freeze(e);
    *changed = strcmp(before, e->attention_name) != 0;
    return OK;
}

static AttentionLine *line_of(AttentionLines *table, const char *name) {
    for (int i = 0; i < table->count; i++) {
        if (strcmp(table->lines[i].name, name) == 0 && table->lines[i].refusal == NULL)
            return &table->lines[i];
    }
    return NULL;
}

static void lines_add(AttentionLines *table, const AttentionVerdict *verdicts, int count,
                      bool enabled) {
    for (int i = 0; i < count && table->count < ATTENTION_MAX_BACKENDS; i++) {
        const char *name = verdicts[i].backend->name, *refusal = verdicts[i].refusal;
        bool shadowed = refusal == NULL && line_of(table, name) != NULL;
        table->lines[table->count++] =
            (AttentionLine){.name = name,
                            .refusal = refusal,
                            .shadowed = shadowed,
                            .enabled = enabled,
                            .seconds = shadowed ? 0 : verdicts[i].seconds};
    }
}

static bool is_named(const AttentionChoice *choice, const char *name) {
    for (int i = 0; i < choice->count; i++) {
        if (strcmp(choice->names[i], name) == 0) return true;
    }
    return false;
}

/* First what the config names, in its order, then what else the device has. */
static Status lines_list(Experiment *e, int64_t B) {
    AttentionLines *table = &e->attention_table;
    const AttentionChoice all = {0};
    AttentionCall call;
    AttentionVerdict verdicts[ATTENTION_MAX_BACKENDS];
    const AttentionBackend *backend;
    int count, others = 0;
    table->count = 0;
    TRY(call_of(e, B, &call));
    TRY(attention_pick(&call, &e->device->target, &e->attention, verdicts, &count, &backend));
    lines_add(table, verdicts, count, true);
    TRY(attention_pick(&call, &e->device->target, &all, verdicts, &count, &backend));
    for (int i = 0; i < count; i++) {
        if (!is_named(&e->attention, verdicts[i].backend->name)) verdicts[others++] = verdicts[i];
    }
    lines_add(table, verdicts, others, false);
    return OK;
}

static bool is_candidate(const AttentionLine *line) {
    return line->refusal == NULL && !line->shadowed;
}

/* Times of earlier runs, for what was not measured now. */
static Status lines_recall(Experiment *e, int64_t B) {
    AttentionLines *table = &e->attention_table;
    AttentionChoice known = {.count = table->count};
    AttentionCall call;
    int missing;
    TRY(call_of(e, B, &call));
    for (int i = 0; i < table->count; i++) known.names[i] = table->lines[i].name;
    TRY(attention_measure(e->device, &call, false, &known, &missing));
    for (int i = 0; i < table->count; i++) {
        if (is_candidate(&table->lines[i])) table->lines[i].seconds = known.seconds[i];
    }
    return OK;
}

/* The run's memory with one backend, and the largest batch, which a run need not wait for. */
static Status line_plan(Experiment *e, int64_t B, AttentionLine *line) {
    e->attention = (AttentionChoice){.count = 1, .names = {line->name}};
    Status largest = e->plan.only ? fit_batch(e, &line->largest_batch) : OK;
    if (failed(largest) && largest.code != STATUS_NO_ROOM) return largest;
    TRY(experiment_plan_for(e, B));
    line->planned_bytes = experiment_planned_bytes(e);
    line->predicted_s = fit_step_seconds(e);
    return OK;
}

Status attention_compare(Experiment *e, int64_t B) {
    TRY(lines_list(e, B));
    if (e->plan.only) TRY(lines_recall(e, B));
    AttentionChoice chosen = e->attention;
    Status status = OK;
    for (int i = 0; i < e->attention_table.count && !failed(status); i++) {
        AttentionLine *line = &e->attention_table.lines[i];
        if (!is_candidate(line)) continue;
        line->picked = strcmp(line->name, e->attention_name) == 0;
        status = line_plan(e, B, line);
    }
    e->attention = chosen;
    return status;
}

static const char *verdict_text(const AttentionLine *line) {
    return line->refusal != NULL ? line->refusal
           : line->shadowed      ? "accepted; the row above goes first"
           : line->picked        ? "picked"
           : line->enabled       ? "accepted"
                                 : "accepted, but not in attention.backends";
}

void attention_print(const Experiment *e, FILE *file) {
    const AttentionLines *table = &e->attention_table;
    fprintf(file, "%-14s %12s %14s %10s %10s\n", "attention", "MiB planned", "largest batch", "ms",
            "step ms");
    for (int i = 0; i < table->count; i++) {
        const AttentionLine *line = &table->lines[i];
        char bytes[24] = "-", batch[24] = "-", ms[24] = "-", step[24] = "-";
        if (line->planned_bytes > 0)
            snprintf(bytes, sizeof bytes, "%.1f", (double)line->planned_bytes / 0x1p20);
        if (line->planned_bytes > 0)
            snprintf(batch, sizeof batch, "%lld", (long long)line->largest_batch);
        if (line->seconds > 0) snprintf(ms, sizeof ms, "%.3f", 1e3 * line->seconds);
        if (line->predicted_s > 0) snprintf(step, sizeof step, "%.1f", 1e3 * line->predicted_s);
        fprintf(file, "%-14s %12s %14s %10s %10s   %s\n", line->name, bytes, batch, ms, step,
                verdict_text(line));
    }
    if (table->note != NULL) fprintf(file, "%s\n", table->note);
}

json_t *attention_json(const Experiment *e) {
    json_t *list = json_array();
    for (int i = 0; i < e->attention_table.count; i++) {
        const AttentionLine *line = &e->attention_table.lines[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "name", json_string(line->name));
        json_object_set_new(entry, "picked", json_boolean(line->picked));
        json_object_set_new(entry, "enabled", json_boolean(line->enabled));
        json_object_set_new(entry, "refusal",
                            line->refusal == NULL ? json_null() : json_string(line->refusal));
        json_object_set_new(entry, "ms",
                            line->seconds > 0 ? json_real(1e3 * line->seconds) : json_null());
        json_object_set_new(entry, "predicted_step_ms",
                            line->predicted_s > 0 ? json_real(1e3 * line->predicted_s)
                                                  : json_null());
        json_object_set_new(entry, "planned_bytes",
                            line->planned_bytes > 0 ? json_integer((json_int_t)line->planned_bytes)
                                                    : json_null());
        json_array_append_new(list, entry);
    }
    return list;
}

void attention_say(const Experiment *e, Metrics *metrics) {
    for (int i = 0; i < e->attention_table.count; i++) {
        const AttentionLine *line = &e->attention_table.lines[i];
        if (!line->enabled) continue;
        if (line->refusal != NULL)
            metrics_say(metrics, "attention: %s refused: %s", line->name, line->refusal);
        if (line->seconds > 0) {
            metrics_say(metrics, "attention: %s measured: %.3f ms forward and backward%s",
                        line->name, 1e3 * line->seconds, line->picked ? ", picked" : "");
        }
    }
}
