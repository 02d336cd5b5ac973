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

/* A tensor of Hugging Face: this many rows of a parameter. */
typedef enum PartRows {
    ROWS_ALL,
    ROWS_QUERIES, /* NH HS */
    ROWS_KEYS,    /* NH_kv HS */
    ROWS_HIDDEN   /* F */
} PartRows;
typedef struct ParameterPart {
    const char *name; /* after the family's prefix */
    PartRows rows;
} ParameterPart;

/* A parameter, or one of each block: `#` in a name stands for the block's number. */
enum { PARAMETER_PARTS_MAX = 3 };
typedef struct ParameterNames {
    const char *name; /* here and in checkpoints: h.#.attn.c_attn.weight */
    /* Of Hugging Face, joined along the rows; none: one tensor with the same name. */
    ParameterPart parts[PARAMETER_PARTS_MAX];
    bool is_transposed; /* Hugging Face stores the matrix as (K, N) */
    bool has_no_prefix; /* its name there is without the family's prefix */
    size_t sizes[2];    /* offset of the ModelConfig member that is each dimension of Hugging
                           Face's tensor; 0: several members */
} ParameterNames;

typedef struct ModelFamily {
    const char *name, *title; /* gpt2; in messages GPT-2 */

    const PresetValue *layers;  /* the choices of all presets; end with a NULL key */
    const ModelPreset *presets; /* end with a NULL name */

    /* All parameters that a model of the family may have; end with a NULL name. NULL: other formats
     * have no such models. */
    const ParameterNames *parameters;
    const char *hugging_face_prefix; /* of all names; a file may omit it */
    const char *const
        *hugging_face_ignored; /* suffixes of names that are not parameters; NULL-terminated */
} ModelFamily;
