/* The list of model families, and lookups in it. One file per family; families.c lists them. */
#pragma once

#include "nn/models/family.h"

/* The family with this name, or NULL. */
const ModelFamily *model_family(const char *name);

/* Names of the presets of all families, after "none"; ends with NULL. */
extern const char *const model_preset_names[];

/* A preset of any family, and its family; NULL for "none" and unknown names. */
const ModelPreset *model_preset(const char *name, const ModelFamily **family);

/* The value that a preset gives to a key; NULL if it gives none. */
const char *model_preset_value(const char *preset, const char *key);

/* The tensors of Hugging Face that a parameter with `rows` rows consists of; sets the name and the
 * rows of each. Returns their number. */
typedef struct PartSpan {
    const char *name;
    int64_t rows;
} PartSpan;
int model_parameter_parts(const ParameterNames *names, const ModelConfig *config, int64_t rows,
                          PartSpan out[PARAMETER_PARTS_MAX]);

/* The names of a parameter, from its name in this project; *block is its block number, or -1. NULL
 * if the family has no such parameter. */
const ParameterNames *model_parameter_names(const ModelFamily *family, const char *name,
                                            int64_t *block);

/* Writes a name with the block's number in place of `#`. */
void model_name_expand(const char *name, int64_t block, char *out, size_t capacity);
