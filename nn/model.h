/* A model as training, generation, planning and conversion see it: a configuration, the weight of
 * its output layer, and the functions and names of its family. Families are in nn/models/. */
#pragma once

#include "nn/layers.h"

typedef struct Model Model;
typedef struct ModelFamily ModelFamily;

typedef struct ModelConfig {
    const ModelFamily *family;
    int64_t V, Vp; /* vocabulary, unpadded and padded to a multiple (model.pad_vocab) for faster
                      products */
    int64_t T;     /* positions: model.block_size */
    int64_t L, NH, C;
    bool bias;
    double dropout;
} ModelConfig;

/* A parameter, or one of each block: `#` in a name stands for the block's number. */
typedef struct ParameterNames {
    const char *name;         /* here and in checkpoints: h.#.attn.c_attn.weight */
    const char *hugging_face; /* after the family's prefix; NULL: the same */
    bool is_transposed;       /* Hugging Face stores the matrix as (K, N) */
    size_t sizes[2]; /* offset of the ModelConfig field that gives each dimension; 0: a product of
                        several fields */
} ParameterNames;

struct ModelFamily {
    const char *name, *title; /* gpt2; in messages GPT-2 */

    /* Declares the parameters and sets model->layers and model->head. */
    Status (*create)(Model *model, Parameters *parameters);
    void (*destroy)(Model *model);

    /* Records the forward pass from tokens (B, T) i32 to the output of the final norm (B, T, C). */
    Tensor *(*forward)(Program *p, const Model *model, Tensor *tokens,
                       const ForwardContext *context);

    /* Floating-point operations of forward and backward per token. */
    double (*flops_per_token)(const Model *model, const Parameters *parameters);

    /* All parameters of a model with biases, in llm.c's order; each row is an array over the
     * blocks. */
    const ParameterNames *parameters;
    int n_parameters;
    const char *hugging_face_prefix; /* of all names; a file may omit it */
    const char *const
        *hugging_face_ignored; /* suffixes of names that are not parameters; NULL-terminated */
};

struct Model {
    ModelConfig config;
    Parameter *head; /* (Vp, C): logits = x head^T */
    void *layers;    /* the family's */
};

/* Declares the model's parameters and lays them out. Destroy `out` after a failure, too. */
NODISCARD Status model_create(const ModelConfig *config, Parameters *parameters, Model **out);
void model_destroy(Model **model);

/* These call the family's functions. */
Tensor *model_forward(Program *p, const Model *model, Tensor *tokens,
                      const ForwardContext *context);
double model_flops_per_token(const Model *model, const Parameters *parameters);

/* The names of a parameter, from its name in this project; *block is its block number, or -1. NULL
 * if the family has no such parameter. */
const ParameterNames *model_parameter_names(const ModelFamily *family, const char *name,
                                            int64_t *block);

/* Writes a name with the block's number in place of `#`. */
void model_name_expand(const char *name, int64_t block, char *out, size_t capacity);
