/* Safetensors: named tensors in Hugging Face's file format. An 8-byte little-endian length, that
 * many bytes of JSON {"NAME": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...},
 * then the data, without gaps.
 *
 * Files are untrusted. Lengths, shapes and offsets are checked against each other and the size of
 * the file before use, and every byte of data must belong to exactly one tensor. Not collective.
 * Source: github.com/huggingface/safetensors, "Format". */
#pragma once

#include "core/base/input_file.h"
#include "core/dtype.h"
#include "core/status.h"

#include <stdint.h>
#include <stdio.h>

enum { SAFETENSORS_MAX_DIMS = 8 };

typedef struct SafetensorsEntry {
    const char *name;
    DType dtype; /* DTYPE_COUNT: not supported for computation */
    int n_dims;
    int64_t shape[SAFETENSORS_MAX_DIMS];
    const InputFile *file; /* the file of the data, while it is open */
    uint64_t at;           /* offset of the data: row-major, little-endian, at any alignment */
    size_t bytes;
} SafetensorsEntry;

typedef struct Safetensors Safetensors;

/* Reads the header. Errors: STATUS_DATA, naming the file, the tensor and the fault; those of
 * input_open and input_read. */
NODISCARD Status safetensors_open(const char *path, Safetensors **out);
void safetensors_close(Safetensors **file);

/* The n entries, by offset of their data. Valid as long as the file. */
const SafetensorsEntry *safetensors_entries(const Safetensors *file, size_t *n);

/* Writes the header of n entries (f32, f16, bf16 or f64). The caller then writes their data,
 * `bytes` each, in the same order. `path` names the file in messages. Errors: STATUS_FAILURE. */
NODISCARD Status safetensors_write_header(FILE *file, const char *path,
                                          const SafetensorsEntry *entries, size_t n);
