/* The formats that ./convert knows, each read into and written from a Model. Not collective.
 * Existing files are never replaced, and files are written completely or not at all. Errors:
 * STATUS_DATA naming file and tensor, STATUS_FAILURE if the disk or memory is full. */
#pragma once

#include "core/base/input_file.h"
#include "launch/base/output.h"
#include "launch/convert/model_weights.h"

typedef enum Format { FORMAT_RUN, FORMAT_HUGGING_FACE, FORMAT_LLM_C } Format;

/* The format of an output file by its name: *.safetensors, *.bin, otherwise a run directory. */
Format format_of_target(const char *path);

/* Resolves `path`: the file to read in a Hugging Face directory, otherwise the path itself; in the
 * arena. Errors: STATUS_DATA for PyTorch's files and other unsupported formats, with the fix. */
NODISCARD Status format_of_source(const char *path, Arena *arena, Format *format,
                                  const char **file);

/* Hugging Face's GPT-2 as safetensors or the index of its shards: names with or without
 * `transformer.`, linear layers as Conv1D (K, N). A separate lm_head must equal wte. `heads` 0:
 * from the config.json in the same directory, or else channels / 64, with a message. A config.json
 * of another model is refused with the name of the field. The writer also writes the config.json
 * that from_pretrained needs. An existing one must describe this model; otherwise nothing is
 * written: STATUS_DATA. */
NODISCARD Status hugging_face_read(const char *path, int64_t heads, ModelWeights **out);
NODISCARD Status hugging_face_write(const ModelWeights *model, const char *path, DType dtype);

/* llm.c's model_*.bin: 256 int32 (magic 20240326, version 3 for f32 or 5 for bf16, T, V, L, NH, C,
 * padded V), then 16 arrays, each of all blocks. Source: github.com/karpathy/llm.c, train_gpt2.py,
 * write_model. */
NODISCARD Status llm_c_read(const char *path, ModelWeights **out);
NODISCARD Status llm_c_write(const ModelWeights *model, const char *path, DType dtype);

/* The newest checkpoint of a run directory, or a checkpoint file. The writer creates a run at step
 * 0, without moments, which ./train continues: under `config`, whose model must be this one, or
 * under the defaults if that is NULL. */
NODISCARD Status run_import(const char *path, ModelWeights **out);
NODISCARD Status run_export(const ModelWeights *model, const char *path, const char *config);

/* n elements of a dtype (f64, f32, f16 or bf16) as f32; false for another dtype. */
bool values_to_f32(const void *from, DType dtype, int64_t n, float *to);

/* n values of a dtype from byte `at` of a file, as f32. Errors: those of input_read; STATUS_DATA
 * naming the tensor if the dtype is not a floating-point type. */
NODISCARD Status input_values(const InputFile *file, const char *tensor, uint64_t at, DType dtype,
                              int64_t n, float *out);

/* As output_create; also creates the parent directories. */
NODISCARD Status output_open_new(const char *path, Output *out);
/* Writes n values as dtype. Errors: STATUS_DATA if one exceeds its range. */
NODISCARD Status output_values(Output *output, const float *values, int64_t n, DType dtype);
