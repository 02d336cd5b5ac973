/* A GPT-2's weights between two formats: all in f32, in this project's names and layout, vocabulary
 * padding stripped. */
#pragma once

#include "core/base/arena.h"
#include "core/base/names.h"
#include "core/dtype.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ModelSize {
    int64_t V, T, L, NH, C; /* vocabulary, positions, blocks, heads, channels */
} ModelSize;

typedef struct ModelTensor {
    const char *name; /* h.0.attn.c_attn.weight, ... */
    int n_dims;
    int64_t shape[2]; /* of linear layers (N, K): y = x W^T */
    bool is_linear;   /* Hugging Face's Conv1D holds it as (K, N) */
    float *data;      /* NULL before model_allocate */
} ModelTensor;

typedef struct Model {
    ModelSize size;
    ModelTensor *tensors; /* wte, wpe, the blocks, ln_f */
    int count;
    Names names;     /* to ModelTensor */
    char *tokenizer; /* its name for tokenizer_open, where a run tells; NULL: not known */
    Arena arena;
} Model;

/* The tensors of this size, without data; `origin` names the file in messages. Then zeros, once the
 * file has been seen to hold that much. Errors: STATUS_DATA for a size that no GPT-2 has,
 * STATUS_NO_ROOM. */
NODISCARD Status model_create(const char *origin, ModelSize size, Model **out);
NODISCARD Status model_allocate(Model *model, const char *origin);
void model_destroy(Model **model);

/* The tensor of a name, or NULL. */
ModelTensor *model_find(const Model *model, const char *name);

int64_t tensor_elements(const ModelTensor *tensor);

/* n elements of a dtype, at any alignment, as f32; and back, rounded to nearest, ties to even. f32,
 * f64, f16, bf16; only f32 and bf16 back. False for others. */
bool values_to_f32(const void *from, DType dtype, int64_t n, float *to);
bool values_from_f32(const float *from, DType dtype, int64_t n, void *to);

/* STATUS_DATA where one of n elements is NaN or infinite, naming file, tensor and place: [row,
 * column], or [i] where `columns` is 0. */
NODISCARD Status values_check_finite(const char *path, const char *tensor, const float *values,
                                     int64_t n, int64_t columns);

/* (rows, columns) -> (columns, rows). */
void values_transpose(const float *from, int64_t rows, int64_t columns, float *to);
