/* Eight-bit training: the products of linear layers read operands in f8e4m3 and f8e5m2
 * (core/ops/linear_f8.h). Weights, gradients of weights, the residual stream and everything else
 * keep the dtype of the computation. Programs that do not train compute no product in eight bits.
 *
 * The scale of an operand is a power of two. With delayed scaling it follows from the greatest
 * elements of the last steps on all ranks, so it does not depend on the number of ranks. Scales and
 * history are state: a checkpoint stores them. Before the first step the history is empty, and the
 * scales are those of typical greatest elements: 32 for x, 1 for w, and 64 / tokens of the global
 * batch for dy. With current scaling each tensor is read twice, nothing is state, and a scale
 * depends on the rank's own batch. */
#pragma once

#include "core/collectives.h"
#include "core/ops/linear_f8_gradient.h"
#include "nn/model.h"

typedef struct Float8Options {
    bool head;                        /* the logits' products, too */
    bool forward, dx, dw;             /* which products of a layer */
    DType gradient;                   /* of dy: f8e5m2 or f8e4m3; x and w have f8e4m3 */
    bool is_delayed;                  /* scaling: delayed or current */
    int64_t history;                  /* steps of the delayed scale */
    bool fast_forward, fast_gradient; /* fast accumulation */
    double tokens;                    /* of the global batch */
} Float8Options;

typedef struct Float8 {
    Float8Options options;
    int64_t sites;     /* three for each layer: core/ops/delayed_scale.h */
    Tensor *scale;     /* (sites) f32 */
    Tensor *history;   /* (history, sites) f32 */
    Tensor *observed;  /* (ranks, sites, 2) i32; zeros between steps */
    Tensor *saturated; /* (1) f32: the share of saturated elements in the last step */
} Float8;

/* Gives the matrices of the model a LinearF8, and declares the state. Call it after model_create;
 * `out` lives as long as the parameters. Not collective. */
NODISCARD Status float8_create(const Float8Options *options, const Model *model,
                               Parameters *parameters, Float8 **out);

/* Whether there is a state of delayed scales. `f8` may be NULL. */
bool float8_is_delayed(const Float8 *f8);

/* Sets the scales of the first step and empties the history. `f8` may be NULL. */
NODISCARD Status float8_initialize(const Float8 *f8, Device *device);

/* Records the exchange of observations between ranks; the update of a step waits for it. Then, at
 * the end of the step, the next scales. Both do nothing with current scaling or without `f8`. */
void float8_gather_record(Program *p, const Float8 *f8, const Collectives *collectives);
void float8_scales_record(Program *p, const Float8 *f8, int64_t accumulation, Tensor *step);
