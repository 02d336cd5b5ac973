#include "nn/optim/groups.h"

static bool is_matrix(const Parameter *parameter) { return parameter->n_dims == 2; }
static bool is_vector(const Parameter *parameter) { return parameter->n_dims == 1; }

Status groups_add_default(Parameters *parameters, const Optimizer *optimizer,
                          OptimizerOptions options, double weight_decay) {
    ParameterGroup group = {.name = "matrices",
                            .has = is_matrix,
                            .optimizer = optimizer,
                            .options = options,
                            .lr_scale = 1,
                            .weight_decay = weight_decay};
    TRY(parameters_add_group(parameters, group));
    group.name = "vectors";
    group.has = is_vector;
    group.weight_decay = 0;
    return parameters_add_group(parameters, group);
}
