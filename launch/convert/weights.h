/* Weights: the tensors of a safetensors file, or of the shards in an index, as one set.
 *
 * An index (model.safetensors.index.json) is {"weight_map": {"TENSOR": "FILE", ...}}. Its files are
 * in the same directory. The index must list each of their tensors under that file, and each file
 * must contain its names in the index. Not collective. Source:
 * github.com/huggingface/huggingface_hub, serialization/_torch.py. */
#pragma once

#include "checkpoints/safetensors.h"

typedef struct Weights Weights;

/* Opens *.safetensors, or the index *.json. Errors: STATUS_DATA, naming the file and the tensor. */
NODISCARD Status weights_open(const char *path, Weights **out);
void weights_close(Weights **weights);

/* The tensor with this name, or NULL; and all n tensors. They live as long as the set. */
const SafetensorsEntry *weights_find(const Weights *weights, const char *name);
const SafetensorsEntry *const *weights_entries(const Weights *weights, size_t *n);

/* Reads all elements as f32, in the order of the file. Errors: STATUS_DATA naming the tensor if its
 * type is not a floating-point type, or an element that is NaN or infinite. */
NODISCARD Status weights_read(const Weights *weights, const SafetensorsEntry *entry, float *out);
