/* Weights: the tensors of a safetensors file, or of the shards that an index names, as one set.
 *
 * An index (model.safetensors.index.json) is {"weight_map": {"TENSOR": "FILE", ...}}. Its files lie
 * beside it; each of their tensors must be in the index under that file, and each name of the index
 * in its file. Not collective. Source: github.com/huggingface/huggingface_hub,
 * serialization/_torch.py. */
#pragma once

#include "checkpoints/safetensors.h"

typedef struct Weights Weights;

/* Opens *.safetensors, or the index *.json. Errors: STATUS_DATA, naming the file and the tensor. */
NODISCARD Status weights_open(const char *path, Weights **out);
void weights_close(Weights **weights);

/* The tensor of a name, or NULL; and all of them, n. They live as long as the set. */
const SafetensorsEntry *weights_find(const Weights *weights, const char *name);
const SafetensorsEntry *const *weights_entries(const Weights *weights, size_t *n);

/* All elements as f32, as they lie. Errors: STATUS_DATA where the type is no floating-point one, or
 * where an element is NaN or infinite, naming it. */
NODISCARD Status weights_read(const Weights *weights, const SafetensorsEntry *entry, float *out);
