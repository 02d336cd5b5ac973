/* delayed_scale: the scales of the next step, from the greatest elements of the last H steps.
 *
 *     history[t mod H][s] = max over ranks of observed[s][0]
 *     scale[s][0] = the scale of max(history[.][s]) in the format of s, by core/float8.h
 *     saturated = sum over ranks and s of observed[s][1] / elements
 *     observed = 0
 *
 *   observed (ranks, S, 2) i32: see core/ops/quantize.h
 *   history (H, S), scale (S, 4), saturated (1) f32
 *
 * t is the step of the StepState. S is three times the number of layers: layer k has x, w and dy at
 * 3k, 3k + 1 and 3k + 2; dy has the gradient format, the others the forward format. A largest
 * element that is not finite leaves its line of the history as it is, and a history of zeros its
 * scale. All ranks compute the same scales. A site's scale has 16 bytes, because cuBLASLt needs
 * that alignment; the last 12 stay as they are. Source: Micikevicius et al., arXiv:2209.05433,
 * section 3.1; the recipe DelayedScaling of NVIDIA's Transformer Engine. */
#pragma once

#include "core/program.h"

enum {
    DELAYED_SITES = 3, /* of a layer: x, w, dy */
    SCALE_STRIDE = 4   /* f32 from one site's scale to the next one's */
};

typedef struct DelayedScaleAttrs {
    DType forward, gradient;
    double elements; /* quantized in a step, on all ranks */
} DelayedScaleAttrs;

/* inputs step; outputs scale, history, saturated, observed (read, then 0). */
extern const Op delayed_scale_op;

void delayed_scale_record(Program *p, DelayedScaleAttrs attrs, Tensor *step, Tensor *observed,
                          Tensor *history, Tensor *scale, Tensor *saturated);
