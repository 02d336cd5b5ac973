/* The formats of weights, each read into and written from a ModelWeights. Not collective. Existing
 * files are never replaced, and files are written completely or not at all. Errors: STATUS_DATA
 * naming file and tensor, STATUS_FAILURE if the disk is full, STATUS_OUT_OF_MEMORY. */
#pragma once

#include "core/base/input_file.h"
#include "launch/base/output.h"
#include "launch/config/config.h"
#include "launch/convert/model_weights.h"

typedef enum Format { FORMAT_RUN, FORMAT_HUGGING_FACE, FORMAT_LLM_C, FORMAT_CHECKPOINT } Format;

/* The format of an output file by its name: *.safetensors, *.bin, *.h5 (a single checkpoint file),
 * otherwise a run directory. */
Format format_of_target(const char *path);

/* Resolves `path`: the file to read in a Hugging Face directory, otherwise the path itself; in the
 * arena. Errors: STATUS_DATA for PyTorch's files and other unsupported formats, with the fix. */
NODISCARD Status format_of_source(const char *path, Arena *arena, Format *format,
                                  const char **file);

/* How a model is read. */
typedef struct ModelReading {
    const char *program; /* named in warnings; NULL: no warnings */
    int64_t heads;       /* of a GPT-2 without config.json, or one of: */
} ModelReading;
enum {
    HEADS_GUESSED = 0,  /* channels / 64, with a warning */
    HEADS_REQUIRED = -1 /* a missing config.json is an error */
};

/* Prints a warning of reading->program. */
void model_warn(const ModelReading *reading, const char *text);

/* Reads the file that format_of_source has found. */
NODISCARD Status model_read(Format format, const char *file, const ModelReading *reading,
                            ModelWeights **out);

/* A model of Hugging Face (architectures.h) as safetensors or the index of its shards: names with
 * or without the family's prefix. The config.json in the same directory says what it is; without it
 * the file is a GPT-2 of reading->heads heads. A field of config.json that this project does not
 * compute is refused by name. The writer makes shards of at most
 * `shard_bytes` with an index if one file would be larger, and writes config.json,
 * generation_config.json and the tokenizer's files unless they are there. An existing config.json
 * must describe this model; otherwise nothing is written: STATUS_DATA. */
NODISCARD Status hugging_face_read(const char *path, const ModelReading *reading,
                                   ModelWeights **out);
NODISCARD Status hugging_face_write(const ModelWeights *model, const char *path, DType dtype,
                                    int64_t shard_bytes);

/* llm.c's model_*.bin: 256 int32 (magic 20240326, version 3 for f32 or 5 for bf16, T, V, L, NH, C,
 * padded V), then 16 arrays, each of all blocks. Source: github.com/karpathy/llm.c, train_gpt2.py,
 * write_model. Only GPT-2 with its defaults has this format. */
NODISCARD Status llm_c_read(const char *path, ModelWeights **out);
NODISCARD Status llm_c_write(const ModelWeights *model, const char *path, DType dtype);

/* The newest checkpoint of a run directory, or a checkpoint file. The writer creates a run at step
 * 0, without moments, which ./train continues: under `config`, whose model must be this one, or
 * under the defaults with this model if that is NULL. */
NODISCARD Status run_import(const char *path, const ModelReading *reading, ModelWeights **out);
NODISCARD Status run_export(const ModelWeights *model, const char *path, const char *config);

/* The defaults with this model. `path`: of the weights, for messages. Errors: STATUS_DATA for a
 * model that no config expresses. */
NODISCARD Status run_config_of(const char *path, const ModelConfig *model, Config **out);

/* Writes the newest checkpoint of a run, or a checkpoint, that is a directory of shards as one
 * file. Errors: STATUS_DATA if it is one file already. */
NODISCARD Status checkpoint_merge(const char *from, const char *to);

/* n elements of a dtype (f64, f32, f16 or bf16) as f32; false for another dtype. */
bool values_to_f32(const void *from, DType dtype, int64_t n, float *to);

/* n values of a dtype from byte `at` of a file, as f32. Errors: those of input_read; STATUS_DATA
 * naming the tensor if the dtype is not a floating-point type. */
NODISCARD Status input_values(const InputFile *file, const char *tensor, uint64_t at, DType dtype,
                              int64_t n, float *out);

/* The path of a file in the directory of `path`, for free(); NULL if memory is out. */
char *file_beside(const char *path, const char *name);

/* As output_create, for a file that must not be there: output_check_new. */
NODISCARD Status output_open_new(const char *path, Output *out);
/* Writes n values as dtype. Errors: STATUS_DATA if one exceeds its range. */
NODISCARD Status output_values(Output *output, const float *values, int64_t n, DType dtype);
