/* Fusion of quantization with the op that wrote its input: gelu or relu2, the gradient of one, a
 * norm, or cross_entropy. The fused kernel writes eight bits, so a 16-bit tensor is neither written
 * nor read nor kept. The values do not change: kernels round them to the dtype of the tensor first.
 * More precise are the gradient of relu2, which reads x in the place of the rounded relu2(x), and
 * that of cross_entropy on a GPU, which is rounded once.
 *
 * Only a tensor whose single reader is one quantization is left out, but for relu2, whose forward
 * and gradient are fused together; with a current scale, which reads the tensor first, nothing is
 * fused. */
#pragma once

#include "core/program.h"

/* Fuses in a complete program: call it after differentiation and before planning. */
void quantize_fuse(Program *p);
