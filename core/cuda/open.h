/* The GPU part of core/device.h; absent from a build without CUDA. */
#pragma once

#include "core/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* device_open_cuda and device_count_cuda. */
NODISCARD Status cuda_open(int index, Device **out);
int cuda_count(void);

#ifdef __cplusplus
}
#endif
