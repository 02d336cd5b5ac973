/* Parameters: a model's weights with all that training keeps beside them, in sections of one
 * layout.
 *
 * Matrices, which are decayed, come first, in the reverse of their declaration: backward finishes
 * them in that order. Vectors (biases, layernorms) follow, the same way. Weights, masters,
 * gradients and moments lie at equal element offsets, so AdamW, the norm and an all-reduce see long
 * vectors.
 *
 * The layout is cut into spans, which are what ranks reduce at a time: a span is closed once it
 * holds 25 MiB of gradient (the first 1 MiB, so that reducing starts early: Li et al. 2020,
 * arXiv:2006.15704, sections 3.2.3 and 4.2), and the tables, whose gradients the lookup completes
 * at the very end, have one of their own (but see nn/optim/embedding_gradients.h). Each span is
 * padded so that it divides into equal parts, and these evenly among the ranks.
 *
 * Where the optimizer is shared (ZeRO stage 1: Rajbhandari et al. 2020, arXiv:1910.02054, section
 * 5.1) moments and masters exist only for this rank's parts, its piece of each span, packed in the
 * spans' order in sections that are as much shorter. */
#pragma once

#include "core/device.h"
#include "core/element_range.h"
#include "core/store.h"

typedef enum ParameterInit { INIT_ZEROS, INIT_ONES, INIT_NORMAL } ParameterInit;

typedef struct Parameter {
    const char *name; /* as Hugging Face's GPT-2 names it, without `transformer.` */
    int n_dims;
    int64_t shape[2];
    ParameterInit init;
    double std;        /* of INIT_NORMAL */
    int64_t init_rows; /* rows that are initialized; the rest (vocabulary padding) stays zero */
    bool is_table;  /* looked up by the model's first op, whose gradient comes last in backward */
    Tensor *weight; /* in the dtype that computes */
    Tensor *master; /* f32 copy; NULL where the weight itself is f32 or f64 */
    Tensor *grad, *m, *v; /* NULL where the model does not train */
} Parameter;

/* Which rank this is, and whether it keeps only its share of the optimizer's state; master, m and v
 * of a Parameter are NULL then. */
typedef struct Sharing {
    int rank, ranks;
    bool is_shared;
} Sharing;

/* What a checkpoint holds of a parameter: its weight (the master where there is one) and its
 * moments. */
typedef enum StateKind { STATE_WEIGHTS, STATE_M, STATE_V, STATE_KINDS } StateKind;

typedef struct Parameters {
    Store *store;
    Sharing sharing;                            /* one rank, unless set before parameters_layout */
    Section *weights, *masters, *grads, *m, *v; /* NULL where there is none */
    Parameter **list;                           /* in the order of declaration */
    int count, room;
    int64_t n_decayed; /* elements of the matrices, which come first in every section */
    Span *spans;       /* (n_spans) that the layout consists of, each divisible by `parts` */
    int n_spans;
    int64_t parts; /* of each span, a multiple of the ranks: the same for every number of ranks that
                      divides 256 */
    Arena arena;
} Parameters;

/* `training`: with gradients and moments. `dtype` computes; masters, gradients and moments are f32
 * (f64 for f64). */
NODISCARD Status parameters_create(Store *store, DType dtype, bool training, Parameters **out);
void parameters_destroy(Parameters **parameters);

/* Declares one. The tensors come with parameters_layout. */
NODISCARD Status parameters_add(Parameters *parameters, Parameter description, Parameter **out);

/* Lays out the sections; nothing may be declared afterwards. */
NODISCARD Status parameters_layout(Parameters *parameters);

/* Weights and masters from (seed, index of the parameter, index of the element): the same on every
 * rank. */
NODISCARD Status parameters_initialize(const Parameters *parameters, Device *device, uint64_t seed);

/* This rank's piece of a span, and where it lies in a shared section. */
Span parameters_piece(const Parameters *parameters, int span);
int64_t parameters_piece_place(const Parameters *parameters, int span);

/* The section that holds a kind of state; NULL where there is none. */
Section *parameters_state(const Parameters *parameters, StateKind kind);

/* True where the section holds this rank's pieces alone. */
bool parameters_is_piecewise(const Parameters *parameters, const Section *section);

/* Sets a kind of state of parameter `index`, or as much of it as this rank holds, to values of f32
 * (f64 for f64). Weights are set and rounded along with their masters. Not collective. */
NODISCARD Status parameters_write(const Parameters *parameters, Device *device, StateKind kind,
                                  int index, const void *values);

/* Trainable scalars, vocabulary padding not counted. */
int64_t parameters_count(const Parameters *parameters);

/* The parameter whose gradient holds this element of the gradients' section; NULL before the
 * first. */
const char *parameters_name_at(const Parameters *parameters, int64_t element);
