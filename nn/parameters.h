/* Parameters: a model's weights with all that training keeps beside them, in sections of one layout.
 *
 * Matrices, which are decayed, come first, in the reverse of their declaration: backward finishes them in that order,
 * so a bucket of gradients is one contiguous range. Vectors (biases, layernorms) follow, the same way. Weights,
 * masters, gradients and moments lie at equal element offsets, so AdamW, the norm and an all-reduce see long vectors.
 */
#pragma once

#include "core/device.h"
#include "core/store.h"

typedef enum ParameterInit { INIT_ZEROS, INIT_ONES, INIT_NORMAL } ParameterInit;

typedef struct Parameter {
    const char *name; /* as Hugging Face's GPT-2 names it, without `transformer.` */
    int n_dims;
    int64_t shape[2];
    ParameterInit init;
    double std;           /* of INIT_NORMAL */
    int64_t init_rows;    /* rows that are initialized; the rest (vocabulary padding) stays zero */
    Tensor *weight;       /* in the dtype that computes */
    Tensor *master;       /* f32 copy; NULL where the weight itself is f32 or f64 */
    Tensor *grad, *m, *v; /* NULL where the model does not train */
} Parameter;

typedef struct Parameters {
    Store *store;
    Section *weights, *masters, *grads, *m, *v; /* NULL where there is none */
    Parameter **list;                           /* in the order of declaration */
    int count, room;
    int64_t n_decayed; /* elements of the matrices, which come first in every section */
    Arena arena;
} Parameters;

/* `training`: with gradients and moments. `dtype` computes; masters, gradients and moments are f32 (f64 for f64). */
NODISCARD Status parameters_create(Store *store, DType dtype, bool training, Parameters **out);
void parameters_destroy(Parameters **parameters);

/* Declares one. The tensors come with parameters_layout. */
NODISCARD Status parameters_add(Parameters *parameters, Parameter description, Parameter **out);

/* Lays out the sections; nothing may be declared afterwards. */
NODISCARD Status parameters_layout(Parameters *parameters);

/* Weights and masters from (seed, index of the parameter, index of the element): the same on every rank. */
NODISCARD Status parameters_initialize(const Parameters *parameters, Device *device, uint64_t seed);

/* Weights = masters, rounded: after masters were written from outside. Nothing where there are no masters. */
NODISCARD Status parameters_round_masters(const Parameters *parameters, Device *device);

/* Trainable scalars, vocabulary padding not counted. */
int64_t parameters_count(const Parameters *parameters);

/* The gradient whose bytes are not all finite, by name; NULL where all are. Reads the device. */
NODISCARD Status parameters_find_nonfinite(const Parameters *parameters, Device *device, const char **name);
