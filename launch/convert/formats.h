/* The formats that ./convert knows, each read into and written from a Model. Not collective. Files
 * that are there are never replaced, and a file is whole or not there. Errors: STATUS_DATA naming
 * file and tensor, STATUS_FAILURE where the disk or memory is full. */
#pragma once

#include "core/base/input_file.h"
#include "launch/base/output.h"
#include "launch/convert/model_weights.h"

typedef enum Format { FORMAT_RUN, FORMAT_HUGGING_FACE, FORMAT_LLM_C } Format;

/* The format of a file that shall be written, by its name: *.safetensors, *.bin, or else a run
 * directory. */
Format format_of_target(const char *path);

/* What `path` leads to: the file to read of a Hugging Face directory, or else the path itself; in
 * the arena. Errors: STATUS_DATA for PyTorch's files and others that no format here has, with what
 * to do. */
NODISCARD Status format_of_source(const char *path, Arena *arena, Format *format,
                                  const char **file);

/* Hugging Face's GPT-2 as safetensors or the index of its shards: names with or without
 * `transformer.`, linear layers as Conv1D (K, N). A separate lm_head must equal wte. `heads` 0:
 * from the config.json beside the file, or else channels / 64, which is said. A config.json that
 * asks for another model is refused by the field.
 * Written is also the config.json that from_pretrained wants; one that is there must describe this
 * model, or else nothing is written: STATUS_DATA. */
NODISCARD Status hugging_face_read(const char *path, int64_t heads, ModelWeights **out);
NODISCARD Status hugging_face_write(const ModelWeights *model, const char *path, DType dtype);

/* llm.c's model_*.bin: 256 int32 (magic 20240326, version 3 for f32 or 5 for bf16, T, V, L, NH, C,
 * padded V), then 16 arrays, each of all blocks. Source: github.com/karpathy/llm.c, train_gpt2.py,
 * write_model. */
NODISCARD Status llm_c_read(const char *path, ModelWeights **out);
NODISCARD Status llm_c_write(const ModelWeights *model, const char *path, DType dtype);

/* A run directory's newest checkpoint, or a checkpoint file. Written is a run at step 0, without
 * moments, which ./train goes on from: under `config`, whose model must be this one, or under
 * defaults where that is NULL. */
NODISCARD Status run_import(const char *path, ModelWeights **out);
NODISCARD Status run_export(const ModelWeights *model, const char *path, const char *config);

/* n elements of a dtype (f64, f32, f16 or bf16) as f32; false for another dtype. */
bool values_to_f32(const void *from, DType dtype, int64_t n, float *to);

/* n values of a dtype from byte `at` of a file, as f32. Errors: those of input_read; STATUS_DATA
 * for a dtype that is no floating-point one, naming the tensor. */
NODISCARD Status input_values(const InputFile *file, const char *tensor, uint64_t at, DType dtype,
                              int64_t n, float *out);

/* output_create; makes the directories above it. */
NODISCARD Status output_open_new(const char *path, Output *out);
/* n values as dtype. Errors: STATUS_DATA where one is beyond it. */
NODISCARD Status output_values(Output *output, const float *values, int64_t n, DType dtype);
