/* ModelSource: a trained model to evaluate or to generate from: the newest checkpoint of a run, a
 * checkpoint, or weights in another format (formats.h). Not collective. */
#pragma once

#include "checkpoints/checkpoint.h"
#include "data/token_text.h"
#include "launch/convert/model_weights.h"
#include "launch/run/experiment.h"

/* Zero-initialized: closed. */
typedef struct ModelSource {
    const char *path;      /* of the checkpoint, or of the weights or their index */
    CheckpointFile *file;  /* NULL: no checkpoint */
    ModelWeights *weights; /* NULL: a checkpoint; otherwise complete in memory, as f32 */
    Arena arena;
} ModelSource;

/* Opens a run directory, a checkpoint, a directory or a file of Hugging Face, or a model of llm.c.
 * `path` outlives the source; `program` is named in warnings, NULL: no warnings. Weights of Hugging
 * Face need their config.json. Errors: STATUS_DATA naming file, tensor or field. */
NODISCARD Status model_source_open(const char *path, const char *program, ModelSource *out);
void model_source_close(ModelSource *source);

/* The completed steps; 0 if the format has no step. */
int64_t model_source_step(const ModelSource *source);

/* The config of the run, or the defaults with this model and a batch of 8 sequences, with
 * overrides. Of a run, keys other than the sizes may differ: `note` then names one of them, "" if
 * none does. Errors: those of config_load_text; STATUS_CONFIG if a key contradicts the weights. */
NODISCARD Status model_source_config(ModelSource *source, int n_overrides, char **overrides,
                                     Config **out, char *note, size_t bytes);

/* The tokenizer; its name is "" or TOKENIZER_UNKNOWN (data/tokenizer.h) if nothing names it. */
NODISCARD Status model_source_tokenizer(ModelSource *source, TokenizerId *out);

/* Loads the weights into the parameters of an experiment of this model, on its device. Padding rows
 * of the vocabulary are 0. Errors: STATUS_DATA naming the tensor; STATUS_OUT_OF_MEMORY. */
NODISCARD Status model_source_load(ModelSource *source, const Experiment *e);
