/* The Newton-Schulz iteration of core/cuda/muon.cu: products alone. */
#pragma once

#include "core/op.h"
#include "core/ops/muon.h"

#include <cuda_runtime.h>

struct MuonBatchMemory {
    char *workspace;
    MuonPlaces places;
};

/* A batch: `n` matrices x (r, k) at their place in the workspace. */
struct MuonIterate {
    MuonIteration iteration;
    DType dtype;
    int64_t n, r, k;
    MuonBatchMemory memory;
};

/* Returns the address of the result, one of the places x and y, in *x. */
Status muon_iterate(const MuonIterate &batch, void **x, cudaStream_t stream);
