#include "launch/run/state_values.h"

#include "launch/config/config_load.h"

#include <stdlib.h>

static CheckpointValue value_i64(const char *name, int64_t value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_I64, .i64 = value};
}

static CheckpointValue value_f64(const char *name, double value) {
    return (CheckpointValue){.name = name, .kind = CHECKPOINT_F64, .f64 = value};
}

void state_values_set(StateValues *values, const Experiment *e, const Progress *p) {
    CheckpointValue *list = values->list;
    int n = 0;
    list[n++] = value_i64("step", p->step);
    list[n++] = value_i64("tokens", p->tokens);
    list[n++] = value_i64("samples", p->tokens / e->T);
    list[n++] = value_f64("train_s", p->train_s);
    list[n++] = value_f64("best_val_loss", p->best_val_loss);
    list[n++] = value_i64("best_step", p->best_step);
    list[n++] = value_f64("val_loss", p->val_loss);
    list[n++] = value_i64("evaluated_step", p->evaluated_step);
    list[n++] = value_f64("loss_scale", p->loss_scale.scale);
    list[n++] = value_i64("loss_scale_good_steps", p->loss_scale.good_steps);
    list[n++] = value_i64("updates", p->loss_scale.updates);
    list[n++] = value_f64("noise_variance", p->noise.variance);
    list[n++] = value_f64("noise_square", p->noise.square);
    list[n++] = value_i64("noise_samples", p->noise.samples);
    list[n++] = value_i64("noise_part", p->noise.part);
    list[n++] = value_f64("joules", p->joules);
    list[n++] = value_i64("seed", (int64_t)e->config->seed);
    list[n++] = value_i64("world_size", world_size(e->world));
    list[n++] =
        (CheckpointValue){.name = "config", .kind = CHECKPOINT_TEXT, .text = values->config};
    list[n++] = (CheckpointValue){
        .name = "tokenizer", .kind = CHECKPOINT_TEXT, .text = token_set_tokenizer(e->train_tokens)};
    list[n++] = value_i64("tokenizer_hash", (int64_t)token_set_tokenizer_hash(e->train_tokens));
    n += data_identity_values(&e->data, &list[n]);
    values->count = n;
}

Status state_values_create(const Experiment *e, StateValues *out) {
    const Config resolved = config_resolved(e->config, &e->resolved);
    *out = (StateValues){.config = config_text(&resolved)};
    if (out->config == NULL) return OUT_OF_MEMORY("a saver");
    state_values_set(out, e, &(Progress){0});
    return OK;
}

void state_values_free(StateValues *values) {
    free(values->config);
    values->config = NULL;
}
