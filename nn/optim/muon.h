/* Muon and NorMuon for groups of matrices: states "momentum" and, with NorMuon, "row_moments", and
 * one op for all buckets that are updated together. The formula is in core/ops/muon.h. The matrices
 * in Parameter.splits are updated each by itself.
 *
 * The group must have SHARD_TENSORS. GroupUpdate.clip is not used: the update does not depend on
 * the length of the gradient. */
#pragma once

#include "nn/optim/optimizer.h"

extern const Optimizer muon_optimizer, normuon_optimizer;
