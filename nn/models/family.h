/* A model family: a set of config values, with the names that other formats give to its
 * parameters. */
#pragma once

#include "nn/model_config.h"

#include <stddef.h>

/* The value of a key of the config, as text. */
typedef struct PresetValue {
    const char *key, *value;
} PresetValue;

/* A size of a family. Values end with a NULL key. */
typedef struct ModelPreset {
    const char *name;
    const PresetValue *sizes;
} ModelPreset;

/* A parameter, or one of each block: `#` in a name stands for the block's number. */
typedef struct ParameterNames {
    const char *name;         /* here and in checkpoints: h.#.attn.c_attn.weight */
    const char *hugging_face; /* after the family's prefix; NULL: the same */
    bool is_transposed;       /* Hugging Face stores the matrix as (K, N) */
    size_t sizes[2]; /* offset of the ModelConfig field that gives each dimension; 0: a product of
                        several fields */
} ParameterNames;

typedef struct ModelFamily {
    const char *name, *title; /* gpt2; in messages GPT-2 */

    const PresetValue *layers;  /* the choices of all presets; end with a NULL key */
    const ModelPreset *presets; /* end with a NULL name */

    /* All parameters of a model with biases, in llm.c's order; each row is an array over the
     * blocks. */
    const ParameterNames *parameters;
    int n_parameters;
    const char *hugging_face_prefix; /* of all names; a file may omit it */
    const char *const
        *hugging_face_ignored; /* suffixes of names that are not parameters; NULL-terminated */
} ModelFamily;
