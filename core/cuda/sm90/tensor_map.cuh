/* Tensor maps, from which Hopper's copy engine computes addresses. */
#pragma once

#include "core/status.h"

#include <cuda.h>

/* The description of a tensor map: dims[0] is the fastest; strides, in bytes, are those of the
 * others. */
struct TensorMapShape {
    CUtensorMapDataType type;
    cuuint32_t dims;
    cuuint64_t extents[4], strides[3];
    cuuint32_t box[4];
    CUtensorMapSwizzle swizzle;
    CUtensorMapL2promotion promotion;
};

/* A map of the tensor at `pointer`, a multiple of 16 bytes as the strides are. Takes about a
 * microsecond. */
Status tensor_map_encode(CUtensorMap *map, const void *pointer, const TensorMapShape &shape);
