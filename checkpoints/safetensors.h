/* Safetensors: named tensors in Hugging Face's file format. An 8-byte little-endian length, that
 * many bytes of JSON {"NAME": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...},
 * then the data, without gaps.
 *
 * Files come from strangers: lengths, shapes and offsets are checked against each other and the
 * file's size before any of them is used, and every byte of data must belong to exactly one tensor.
 * Not collective.
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
    DType dtype; /* DTYPE_COUNT: one that this project does not compute with */
    int n_dims;
    int64_t shape[SAFETENSORS_MAX_DIMS];
    const InputFile *file; /* that holds its data, while it is open */
    uint64_t at; /* where the data begins in it: row-major, little-endian, at any alignment */
    size_t bytes;
} SafetensorsEntry;

typedef struct Safetensors Safetensors;

/* Reads the header. Errors: STATUS_DATA, naming the file, the tensor and what is wrong with it;
 * those of input_open and input_read. */
NODISCARD Status safetensors_open(const char *path, Safetensors **out);
void safetensors_close(Safetensors **file);

/* The entries, n of them, by where their data lies. They live as long as the file. */
const SafetensorsEntry *safetensors_entries(const Safetensors *file, size_t *n);

/* Writes the header of n entries (f32, f16, bf16 or f64), whose data, `bytes` each, the caller then
 * writes behind it in the same order. `path` names the file in messages. Errors: STATUS_FAILURE. */
NODISCARD Status safetensors_write_header(FILE *file, const char *path,
                                          const SafetensorsEntry *entries, size_t n);
