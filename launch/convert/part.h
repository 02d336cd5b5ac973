/* Parts: the tensors of Hugging Face that a tensor of a model consists of. Not collective. */
#pragma once

#include "checkpoints/safetensors.h"
#include "launch/convert/model_weights.h"
#include "nn/models/families.h"

enum { PART_NAME_CAPACITY = 256 };

typedef struct Part {
    char name[PART_NAME_CAPACITY];
    int n_dims;
    int64_t shape[2]; /* as stored */
    bool is_transposed;
    int64_t first_row; /* in the model's tensor */
} Part;

/* The parts of a tensor of a model of this family, their names behind `prefix`; returns their
 * number, 0 if the family has no such tensor. */
int parts_of(const ModelFamily *family, const char *prefix, const ModelConfig *config,
             const ModelTensor *tensor, Part out[PARAMETER_PARTS_MAX]);

int64_t part_elements(const Part *part);

/* The elements of the part in its tensor. */
float *part_data(const Part *part, const ModelTensor *tensor);
