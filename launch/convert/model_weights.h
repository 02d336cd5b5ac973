/* A model's weights between two formats: f32, in this project's names and shapes, without the
 * padding of the vocabulary. Not collective. */
#pragma once

#include "core/base/arena.h"
#include "core/base/names.h"
#include "nn/model_config.h"

#include "core/status.h"

typedef struct ModelTensor {
    const char *name; /* h.0.attn.c_attn.weight, ... */
    int n_dims;
    int64_t shape[2];    /* of linear layers (N, K): y = x W^T */
    bool has_vocabulary; /* its rows are the vocabulary, which other formats pad */
    float *data;         /* NULL before model_weights_allocate */
} ModelTensor;

typedef struct ModelWeights {
    ModelConfig config;   /* complete; Vp = V */
    ModelTensor *tensors; /* in the order of declaration */
    int count;
    Names names;       /* to ModelTensor */
    ModelTensor *head; /* the output layer's weight, which may also be an embedding */
    char *tokenizer;   /* its name for tokenizer_open, if the source names one; NULL: unknown */
    uint64_t tokenizer_hash; /* 0: unknown */
    Arena arena;
} ModelWeights;

/* The tensors of a model, without data; Vp is ignored. `origin` names the file in messages. Errors:
 * STATUS_DATA for sizes that no model has, STATUS_OUT_OF_MEMORY. */
NODISCARD Status model_weights_create(const char *origin, const ModelConfig *config,
                                      ModelWeights **out);

/* Whether all linear layers have biases. */
bool model_has_biases(const ModelConfig *config);

/* The same model with biases, those that it does not have as zeros. Borrows the data. */
NODISCARD Status model_weights_with_biases(const char *origin, const ModelWeights *weights,
                                           ModelWeights **out);

/* Allocates all tensors as zeros. Call it after checking that the file contains that much. Errors:
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status model_weights_allocate(ModelWeights *weights, const char *origin);
void model_weights_destroy(ModelWeights **weights);

/* The tensor with this name, or NULL. */
ModelTensor *model_weights_find(const ModelWeights *weights, const char *name);

int64_t tensor_elements(const ModelTensor *tensor);

/* STATUS_DATA if one of n elements is NaN or infinite, naming file, tensor and position: [row,
 * column], or [i] if `columns` is 0. */
NODISCARD Status values_check_finite(const char *path, const char *tensor, const float *values,
                                     int64_t n, int64_t columns);

/* (rows, columns) -> (columns, rows). */
void values_transpose(const float *from, int64_t rows, int64_t columns, float *to);
