#include "nn/optim/groups.h"

#include "nn/optim/adamw.h"
#include "nn/optim/muon.h"

void groups_adamw(GroupOptions kinds[PARAMETER_KINDS], OptimizerOptions options,
                  double weight_decay) {
    for (int kind = 0; kind < PARAMETER_KINDS; kind++) {
        kinds[kind] = (GroupOptions){.optimizer = &adamw_optimizer,
                                     .options = options,
                                     .lr_scale = 1,
                                     .weight_decay = kind == PARAMETER_VECTOR ? 0 : weight_decay};
    }
}

static bool is_matrix_optimizer(const Optimizer *optimizer) {
    return optimizer == &muon_optimizer || optimizer == &normuon_optimizer;
}

/* Two kinds of tables and matrices with AdamW and the same numbers. */
static bool may_share(const GroupOptions *a, const GroupOptions *b) {
    return a->optimizer == b->optimizer && !is_matrix_optimizer(a->optimizer) &&
           a->options.beta1 == b->options.beta1 && a->options.beta2 == b->options.beta2 &&
           a->options.eps == b->options.eps && a->lr_scale == b->lr_scale &&
           a->weight_decay == b->weight_decay;
}

Status groups_add(Parameters *parameters, const char *pattern,
                  const GroupOptions kinds[PARAMETER_KINDS]) {
    static const char *const names[] = {[PARAMETER_MATRIX] = "matrices",
                                        [PARAMETER_EMBEDDING] = "embeddings",
                                        [PARAMETER_HEAD] = "head",
                                        [PARAMETER_VECTOR] = "vectors"};
    unsigned added = 0;
    for (int kind = 0; kind < PARAMETER_KINDS; kind++) {
        const GroupOptions *k = &kinds[kind];
        ParameterGroup group = {.name = pattern == NULL ? names[kind] : pattern,
                                .pattern = pattern,
                                .optimizer = k->optimizer,
                                .options = k->options,
                                .lr_scale = k->lr_scale,
                                .weight_decay = k->weight_decay};
        if (is_matrix_optimizer(k->optimizer)) group.shard = SHARD_TENSORS;
        group.kinds = 1u << kind;
        for (int other = kind + 1; other < PARAMETER_VECTOR; other++) {
            if (may_share(k, &kinds[other])) group.kinds |= 1u << other;
        }
        group.kinds &= ~added;
        added |= group.kinds;
        if (group.kinds != 0) TRY(parameters_add_group(parameters, group));
    }
    return OK;
}
