/* The host half that the tiled CUDA kernels share: flash_sm80, flash_sm90 and mem_efficient. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of the workspace are padded to a multiple of this, so that tiles read them unchecked. */
enum { TILED_ROW_PAD = 128 };

int64_t tiled_padded(int64_t rows);

/* Bytes of backward's two numbers for each query: lse in base 2, and rowsum(dout * out). */
size_t tiled_rows_bytes(const AttentionCall *call);

/* Why no tiled kernel can serve the call; NULL where its sizes and masks allow it. */
const char *tiled_refuses(const AttentionCall *call);

/* The same for both families of flash, which take some head sizes and 16-byte loads alone. */
const char *flash_refuses(const AttentionCall *call);

/* The speed of both families of flash: Kernel.speed. */
#define FLASH_FORWARD_SPEED SPEED(9.0, 0.36, 0)
#define FLASH_BACKWARD_SPEED SPEED(22.0, 0.32, 0)

#ifdef __cplusplus
}
#endif
