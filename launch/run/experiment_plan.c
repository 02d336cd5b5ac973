#include "launch/run/experiment_plan.h"

#include "launch/run/attention_choice.h"
#include "launch/run/memory_search.h"

/* data.batch_size: auto. */
static Status batch_settle(const Experiment *e, Probes *probes, const KernelChoice *attention,
                           int64_t *B) {
    TRY(world_agree(e->world, memory_search_batch(e, probes, attention, B)));
    return world_min_i64(e->world, B);
}

/* The fastest backend may allow another batch than the first in the order. */
static Status choose(Experiment *e, Probes *probes, KernelChoice *asked) {
    Resolved *resolved = &e->resolved;
    int64_t B = resolved->batch_size;
    bool searches = B == CONFIG_AUTO;
    TRY(attention_pick_predicted(e, probes, &resolved->backends));
    *asked = experiment_attention(resolved);
    if (searches) TRY(batch_settle(e, probes, asked, &B));
    TRY(attention_pick_measured(e, probes, B, asked, &e->backends.note, &resolved->backends));
    KernelChoice picked = experiment_attention(resolved);
    if (searches && picked.count < asked->count) TRY(batch_settle(e, probes, &picked, &B));
    resolved->batch_size = B;
    if (e->evaluates) return OK;
    return batch_schedule_round(&resolved->batch_schedule, experiment_ranks(e) * B * e->T);
}

static Status plan(Experiment *e, Probes *probes) {
    KernelChoice asked;
    TRY(choose(e, probes, &asked));
    TRY(experiment_record(e));
    if (world_rank(e->world) != 0) return OK;
    KernelChoice picked = experiment_attention(&e->resolved);
    TRY(probes_add(probes, e->resolved.batch_size, &picked, &e->planned));
    return attention_compare(e, probes, &asked, &e->backends);
}

/* Hosts are like this machine, and their ranks share its cores. */
static void cores_share(Experiment *e) {
    double per_host = (double)experiment_ranks(e) / (double)e->plan.hosts;
    e->ceilings.flops /= per_host;
    e->ceilings.bytes /= per_host;
}

Status experiment_plan(Experiment *e) {
    bool waits = e->plan.only || e->config->attention.pick == CONFIG_PICK_PREDICTED,
         predicts = e->device->target.kind == DEVICE_CUDA || e->plan.hosts > 0;
    if (!e->ceilings.measured)
        e->ceilings = ceilings_find(e->device, config_dtype(e->config), predicts && waits);
    if (e->device->target.kind == DEVICE_CPU && e->plan.hosts > 0) cores_share(e);
    Probes probes = {.input = experiment_plan_input(e)};
    Status status = plan(e, &probes);
    probes_free(&probes);
    return status;
}

Status experiment_allocate(Experiment *e) {
    /* No rank allocates before all ranks have compared their plan with the free memory. */
    TRY(world_agree(e->world, memory_check(e)));
    TRY(store_allocate(e->recorded.store, e->device));
    TRY(training_bind(e->recorded.training, e->device));
    if (e->recorded.decoder != NULL) TRY(decoder_bind(e->recorded.decoder, e->device));
    TRY(float8_initialize(e->recorded.f8, e->device));
    return e->evaluates ? OK
                        : parameters_initialize(e->recorded.parameters, e->device, e->config->seed);
}
