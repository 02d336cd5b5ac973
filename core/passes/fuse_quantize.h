/* Fusion of quantization with the op that wrote its input: gelu or relu2, the gradient of one, a
 * norm, or cross_entropy without a softcap. The fused kernel writes eight bits, so a 16-bit tensor
 * is neither written nor read nor kept. The values do not change: kernels round them to the dtype
 * of the tensor first. The gradient of relu2 alone is more precise, because it reads x in the place
 * of the rounded relu2(x).
 *
 * Only a tensor whose single reader is one quantization is left out, but for relu2, whose forward
 * and gradient are fused together; with a current scale, which reads the tensor first, nothing is
 * fused. */
#pragma once

#include "core/program.h"

/* Fuses in a complete program: call it after differentiation and before planning. */
void quantize_fuse(Program *p);
