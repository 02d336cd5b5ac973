#include "launch/run/probe.h"

#include "launch/run/saver_memory.h"

#include <stdlib.h>
#include <string.h>

/* One step of M micro-batches: the first, M - 2 equal ones, the last. */
static Timeline step_predict(const PlanInput *input, const Training *training, int phase, int64_t M,
                             CollectiveModel collectives) {
    Timeline step = {0};
    for (int64_t i = 0; i < M && i < 3; i++) {
        bool is_middle = i == 1 && M > 2;
        int64_t index = i == 0 || is_middle ? i : M - 1;
        double before = step.seconds;
        const Program *p = training_program(training, phase, training_micro_batch(index, M));
        timeline_add(&step, p, &input->ceilings, collectives);
        if (is_middle) step.seconds += (double)(M - 3) * (step.seconds - before);
    }
    return step;
}

static CollectiveCost no_cost(const void *self, CollectiveKind kind, size_t bytes) {
    (void)self, (void)kind, (void)bytes;
    return (CollectiveCost){0};
}

/* Without communication for GPUs only: their kernels have speeds. */
static void seconds_predict(const PlanInput *input, const Training *training, PlanResult *out) {
    Phases phases = plan_phases(input);
    const CollectiveModel free = {no_cost, NULL}, network = {network_cost, &input->network};
    if (input->evaluates) return;
    for (int i = 0; i < phases.count && input->target.kind != DEVICE_CPU; i++)
        out->seconds[i] =
            step_predict(input, training, i, phases.list[i].accumulation, free).seconds;
    if (input->network.hosts > 0)
        out->step = step_predict(input, training, 0, phases.list[0].accumulation, network);
}

static void attention_note(const PlanInput *input, const AttentionCall *call, PlanResult *out) {
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    const AttentionBackend *backend;
    int count;
    if (call == NULL) return;
    out->call = *call;
    Status status =
        attention_pick(call, &input->target, &input->attention, verdicts, &count, &backend);
    if (!failed(status)) out->attention = backend->forward.name;
}

/* Adds programs that have their own memory. */
static void activations_add(const Plan *plan, PlanResult *out) {
    out->packing_bytes += plan->bytes - plan->live_bytes;
    for (int kind = 0; kind < BUFFER_KINDS; kind++) out->by_kind[kind] += plan->by_kind[kind];
}

PlanResult plan_result(const PlanInput *input, const Recorded *recorded) {
    const Training *training = recorded->training;
    const Decoder *decoder = recorded->decoder;
    PlanResult result = {
        .bytes = store_bytes(recorded->store) + training_arena_bytes(training) +
                 (decoder == NULL ? 0 : decoder_arena_bytes(decoder)) + input->overhead_bytes,
        .parameters = parameters_count(recorded->parameters),
        .attention = "none",
    };
    for (int kind = 0; kind < BUFFER_KINDS; kind++)
        result.by_kind[kind] = store_kind_bytes(recorded->store, (BufferKind)kind);
    activations_add(training_largest_plan(training), &result);
    if (decoder != NULL) activations_add(decoder_largest_plan(decoder), &result);
    if (!input->evaluates) {
        const Parameters *parameters = recorded->parameters;
        result.checkpoint_bytes = saver_bytes(input->config, parameters, input->target.kind) +
                                  saver_memory_bytes(input->config, parameters);
        result.shard_bytes = saver_shard_bytes(input->config, parameters, input->target.kind);
    }
    seconds_predict(input, training, &result);
    attention_note(input, training_attention_call(training), &result);
    return result;
}

Status plan_probe(const PlanInput *input, PlanResult *out) {
    Recorded recorded;
    Status status = recorded_create(input, &recorded);
    if (!failed(status)) *out = plan_result(input, &recorded);
    recorded_destroy(&recorded);
    return status;
}

/* A single name matches the plan of any choice from which that backend was selected. */
static bool is_same(const Probe *probe, int64_t B, const KernelChoice *attention) {
    if (probe->B != B) return false;
    if (attention->count == 1 && strcmp(attention->names[0], probe->result.attention) == 0)
        return true;
    if (probe->attention.count != attention->count) return false;
    for (int i = 0; i < attention->count; i++) {
        bool is_same_name = strcmp(probe->attention.names[i], attention->names[i]) == 0;
        if (!is_same_name || probe->attention.seconds[i] != attention->seconds[i]) return false;
    }
    return true;
}

Status probes_add(Probes *probes, int64_t B, const KernelChoice *attention,
                  const PlanResult *result) {
    if (probes->count == probes->capacity) {
        int capacity = 2 * probes->capacity + 16;
        Probe *list = realloc(probes->list, (size_t)capacity * sizeof *list);
        if (list == NULL) return OUT_OF_MEMORY("a plan");
        probes->list = list;
        probes->capacity = capacity;
    }
    probes->list[probes->count++] = (Probe){B, *attention, *result};
    return OK;
}

Status probes_find(Probes *probes, int64_t B, const KernelChoice *attention, PlanResult *out) {
    for (int i = 0; i < probes->count; i++) {
        if (!is_same(&probes->list[i], B, attention)) continue;
        *out = probes->list[i].result;
        return OK;
    }
    PlanInput input = probes->input;
    input.B = B;
    input.attention = *attention;
    probes->recordings++;
    TRY(plan_probe(&input, out));
    return probes_add(probes, B, attention, out);
}

void probes_free(Probes *probes) {
    free(probes->list);
    probes->list = NULL;
    probes->count = probes->capacity = 0;
}
