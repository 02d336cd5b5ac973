/* The layers of the recipe: RMSNorm without weights, rotary positions on half of the channels,
 * norms of q and k, ReLU squared, zero-initialized projections, an untied head with capped logits,
 * scalars on the residual and its embedding.
 *
 * Source: github.com/KellerJordan/modded-nanogpt and github.com/karpathy/nanochat, which measured
 * each; formulas in docs/models.md. */
#pragma once

#include "nn/models/family.h"

extern const ModelFamily modern_family;
