/* Fusion of quantization with the op that wrote its input: gelu, the gradient of a gelu, or
 * cross_entropy without a softcap. The fused kernel writes eight bits, so a 16-bit tensor is
 * neither written nor read nor kept. The values do not change: kernels round them to the dtype of
 * the tensor first.
 *
 * Only a tensor whose single reader is one quantization is left out; with a current scale, which
 * reads the tensor first, nothing is fused. */
#pragma once

#include "core/program.h"

/* Fuses in a complete program: call it after differentiation and before planning. */
void quantize_fuse(Program *p);
