/* A small GPT with everything for training, on the CPU. */
#pragma once

#include "nn/training.h"

typedef struct ModelOptions {
    ModelConfig config;
    DType dtype;
    int64_t B, accumulation;
    int threads;
    const char *backend; /* NULL: the picker's choice */
    OptimizerOptions adamw;
    const Optimizer *matrices; /* of the blocks' matrices; NULL: AdamW */
    OptimizerOptions matrix_options;
    double weight_decay, clip;
    size_t logits_bytes; /* 0: one chunk */
    uint64_t seed;
    Recompute recompute;
    bool document_mask;
    int32_t end_of_text;
    const Collectives *collectives; /* NULL: one rank */
    bool embedding_rows;
    bool shards_optimizer;
    bool measures_noise;         /* in each step */
    const Float8Options *float8; /* NULL: no products in eight bits */
} ModelOptions;

typedef struct TestModel {
    ModelOptions options;
    Device *device;
    Store *store;
    Parameters *parameters;
    Model *model;
    StepTensors tensors;
    Float8 *f8;
    KernelChoice choice;
    Training *training;
} TestModel;

/* Two blocks, 61 tokens (padded to 64), C = 32, 4 heads, 16 positions, with biases: f32, B = 2, one
 * thread. */
ModelOptions model_tiny(void);

/* Records and plans without memory for weights, for tests that inspect programs. Call
 * test_model_destroy after a failure, too. */
NODISCARD Status model_record(const ModelOptions *options, TestModel *out);

/* Visits each op of a training step of a tiny GPT, with documents, dropout and every setting of
 * recompute. */
void model_visit_ops(void (*visit)(const Op *op, void *self), void *self);

/* Prepares model_step and initializes the weights from the seed. Call test_model_destroy after a
 * failure, too. */
NODISCARD Status test_model_create(const ModelOptions *options, TestModel *out);
void test_model_destroy(TestModel *model);

/* One step over accumulation * B rows of T tokens: replays the micro-batches; row 0 is sample
 * `state.first_sample`. */
NODISCARD Status model_step(TestModel *model, StepState state, const int32_t *tokens,
                            const int32_t *targets);

/* The mean loss of B rows, without training. */
NODISCARD Status model_evaluate(TestModel *model, const int32_t *tokens, const int32_t *targets,
                                double *loss);

/* The result of the last step. */
double model_loss(const TestModel *model);
double model_norm(const TestModel *model);

/* Element i of a tensor of f32 or f64. */
double model_get(const Tensor *t, int64_t i);
void model_set(const Tensor *t, int64_t i, double value);

Parameter *model_parameter(const TestModel *model, const char *name);

/* `rows` of T tokens and the following tokens: a fixed pattern below V that a model can learn. */
void model_batch(const TestModel *model, int64_t rows, int32_t *tokens, int32_t *targets);
