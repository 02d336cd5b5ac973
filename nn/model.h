/* A model as training, generation, planning and conversion see it: a configuration, the weight of
 * its output layer, and the table of its family. Families lie in nn/models/. */
#pragma once

#include "nn/layers.h"

typedef struct Model Model;
typedef struct ModelFamily ModelFamily;

typedef struct ModelConfig {
    const ModelFamily *family;
    int64_t V, Vp; /* vocabulary, and padded to a multiple (model.pad_vocab) for faster products */
    int64_t T;     /* positions: model.block_size */
    int64_t L, NH, C;
    bool bias;
    double dropout;
} ModelConfig;

/* A parameter, or one of each block: `#` in a name stands for the block's number. */
typedef struct ParameterNames {
    const char *name;         /* here and in checkpoints: h.#.attn.c_attn.weight */
    const char *hugging_face; /* behind the family's prefix; NULL: the same */
    bool is_transposed;       /* Hugging Face stores the matrix as (K, N) */
    size_t sizes[2];          /* the field of ModelConfig that each dimension is, as its offset; 0:
                                 a product of several */
} ParameterNames;

struct ModelFamily {
    const char *name, *title; /* gpt2; GPT-2, in messages */

    /* Declares the parameters, and sets model->layers and model->head. */
    Status (*create)(Model *model, Parameters *parameters);
    void (*destroy)(Model *model);

    /* Records tokens (B, T) i32 -> the final norm's output (B, T, C). */
    Tensor *(*forward)(Program *p, const Model *model, Tensor *tokens,
                       const ForwardContext *context);

    /* Floating-point operations of forward and backward for one token. */
    double (*flops_per_token)(const Model *model, const Parameters *parameters);

    /* Of all its parameters with biases, in llm.c's order: each line is an array over the blocks.
     */
    const ParameterNames *parameters;
    int n_parameters;
    const char *hugging_face_prefix;         /* of all names; files may lack it */
    const char *const *hugging_face_ignored; /* ends of names that are no parameters; to a NULL */
};

struct Model {
    ModelConfig config;
    Parameter *head; /* (Vp, C): logits = x head^T */
    void *layers;    /* the family's */
};

/* Declares the model's parameters and lays them out. `out` is to be destroyed after a failure,
 * too. */
NODISCARD Status model_create(const ModelConfig *config, Parameters *parameters, Model **out);
void model_destroy(Model **model);

/* The family's functions. */
Tensor *model_forward(Program *p, const Model *model, Tensor *tokens,
                      const ForwardContext *context);
double model_flops_per_token(const Model *model, const Parameters *parameters);

/* The names of a parameter, given its name here; *block is its number, or -1. NULL: the family has
 * no such parameter. */
const ParameterNames *model_parameter_names(const ModelFamily *family, const char *name,
                                            int64_t *block);

/* Writes a name with the block's number in place of `#`. */
void model_name_expand(const char *name, int64_t block, char *out, size_t capacity);
