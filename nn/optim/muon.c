#include "nn/optim/muon.h"

#include "nn/parameters.h"

static Section *section_of(const Parameters *parameters, const char *name) {
    return parameters_state(parameters, parameters_find_state(parameters, name));
}

static int64_t place_of(const Parameters *parameters, const char *name, const Parameter *of) {
    return parameters_state_place(parameters, parameters_find_state(parameters, name), of);
}

/* The matrices of a parameter, one after the other; returns their number. */
static int matrices_of(const GroupUpdate *u, const Parameter *parameter, MuonMatrix *out) {
    const Parameters *parameters = u->parameters;
    const Tensor *weight = parameter->weight;
    bool has_rows = u->group->optimizer == &normuon_optimizer;
    int64_t momentum = place_of(parameters, "momentum", parameter), row = 0;
    MuonMatrix first = {.columns = parameter->shape[1],
                        .first = (int64_t)(weight->offset / dtype_size(weight->dtype)),
                        .master = parameters_state_place(parameters, STATE_WEIGHTS, parameter),
                        .momentum = momentum,
                        .row = has_rows ? place_of(parameters, "row_moments", parameter) : 0};
    int count = 0;
    if (momentum < 0) return 0; /* of another rank */
    while (row < parameter->shape[0]) {
        bool is_split = count < PARAMETER_MAX_SPLITS && parameter->splits[count] > 0;
        MuonMatrix *m = &out[count];
        *m = first;
        m->rows = is_split ? parameter->splits[count] : parameter->shape[0] - row;
        m->first += row * m->columns;
        m->master += row * m->columns;
        m->momentum += row * m->columns;
        m->row += row;
        row += m->rows;
        count++;
    }
    return count;
}

/* This rank's matrices in the buckets. */
static int matrices_find(Program *p, const GroupUpdate *u, MuonMatrix **out) {
    const Parameters *parameters = u->parameters;
    size_t most = (size_t)parameters->count * (PARAMETER_MAX_SPLITS + 1);
    MuonMatrix *list = *out = arena_alloc(&p->arena, (most + 1) * sizeof *list);
    int count = 0;
    if (list == NULL) {
        program_fail(p, STATUS_OUT_OF_MEMORY, "out of memory while recording an update");
        return 0;
    }
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        if (parameter->bucket < u->first_bucket || parameter->bucket >= u->end_bucket) continue;
        if (parameter->n_dims != 2)
            program_fail(p, STATUS_CONFIG, "muon updates matrices; '%s' is a vector",
                         parameter->name);
        else
            count += matrices_of(u, parameter, list + count);
    }
    return count;
}

static void muon_update(Program *p, const GroupUpdate *u) {
    const Parameters *parameters = u->parameters;
    const ParameterGroup *group = u->group;
    const MuonOptions *o = &group->options.muon;
    bool is_cut = parameters->sharding.is_sharded && group->shard != SHARD_TENSORS,
         has_rows = group->optimizer == &normuon_optimizer;
    MuonMatrix *matrices = NULL;
    if (is_cut) program_fail(p, STATUS_FAILURE, "muon: the group '%s' is cut", group->name);
    int n = program_failed(p) ? 0 : matrices_find(p, u, &matrices);
    MuonAttrs attrs = {.momentum = o->momentum,
                       .momentum_start = o->momentum_start,
                       .momentum_warmup = o->momentum_warmup,
                       .nesterov = o->nesterov,
                       .cautious = o->cautious,
                       .iteration = o->iteration,
                       .beta2 = group->options.beta2,
                       .lr_scale = group->lr_scale,
                       .weight_decay = group->weight_decay};
    MuonTensors tensors = {.grad = parameters->grads->flat,
                           .norm = u->norm,
                           .step = u->step,
                           .weight = parameters->weights->flat,
                           .master = parameters->masters == NULL ? NULL : parameters->masters->flat,
                           .momentum = section_of(parameters, "momentum")->flat,
                           .row_moments =
                               has_rows ? section_of(parameters, "row_moments")->flat : NULL,
                           .first_nonfinite = u->first_nonfinite,
                           .matrices = matrices,
                           .n_matrices = n};
    muon_record(p, attrs, tensors);
}

const Optimizer muon_optimizer = {"muon", {{"momentum", false}}, muon_update};
const Optimizer normuon_optimizer = {
    "normuon", {{"momentum", false}, {"row_moments", true}}, muon_update};
