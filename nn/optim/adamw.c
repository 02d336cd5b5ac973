#include "nn/optim/adamw.h"

#include "core/ops/adamw.h"
#include "nn/optim/buckets.h"

/* This rank's shards; NULL if the whole group is updated. */
static AdamwRange *ranges_of(Program *p, const GroupUpdate *u) {
    const Parameters *parameters = u->parameters;
    int n = u->end_bucket - u->first_bucket;
    if (!parameters->sharding.is_sharded) return NULL;
    AdamwRange *ranges = arena_alloc(&p->arena, (size_t)n * sizeof *ranges);
    if (ranges == NULL)
        return program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording an update");
    for (int i = 0; i < n; i++) {
        ElementRange bucket = parameters->buckets[u->first_bucket + i],
                     shard = parameters_state_shard(parameters, STATE_WEIGHTS, u->first_bucket + i);
        int64_t place = (bucket.first - u->group->range.first) / parameters->sharding.ranks;
        ranges[i] = (AdamwRange){shard.first - u->group->range.first, place, shard.count};
    }
    return ranges;
}

static Tensor *state_of(Program *p, const GroupUpdate *u, const char *name) {
    const Parameters *parameters = u->parameters;
    int kind = parameters_find_state(parameters, name);
    return bucket_view(p, parameters_state(parameters, kind),
                       parameters_group_range(parameters, kind, u->group));
}

static void adamw_update(Program *p, const GroupUpdate *u) {
    const Parameters *parameters = u->parameters;
    const ParameterGroup *group = u->group;
    AdamwAttrs attrs = {.beta1 = group->options.beta1,
                        .beta2 = group->options.beta2,
                        .eps = group->options.eps,
                        .lr_scale = group->lr_scale,
                        .weight_decay = group->weight_decay,
                        .clip = u->clip};
    AdamwTensors tensors = {.grad = bucket_view(p, parameters->grads, group->range),
                            .norm = u->norm,
                            .step = u->step,
                            .weight = bucket_view(p, parameters->weights, group->range),
                            .master =
                                parameters->masters == NULL ? NULL : state_of(p, u, "weights"),
                            .m = state_of(p, u, "m"),
                            .v = state_of(p, u, "v"),
                            .first_nonfinite = u->first_nonfinite,
                            .ranges = ranges_of(p, u),
                            .n_ranges = u->end_bucket - u->first_bucket};
    adamw_record(p, attrs, tensors);
}

const Optimizer adamw_optimizer = {"adamw", {{"m", false}, {"v", false}}, adamw_update};
