/* Host code shared by the tiled CUDA kernels: flash_sm80, flash_sm90 and mem_efficient. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of the workspace are padded to a multiple of this, so that tiles need no bounds checks. */
enum { TILED_ROW_PAD = 128 };

int64_t tiled_padded(int64_t rows);

/* Bytes of the two numbers per query in backward: lse in base 2, and rowsum(dout * out). */
size_t tiled_rows_bytes(const AttentionCall *call);

/* The reason why no tiled kernel supports the call; NULL if its sizes and masks are supported. */
const char *tiled_refuses(const AttentionCall *call);

/* The same for both flash families, which need 16-byte loads. */
const char *flash_refuses(const AttentionCall *call);

/* The columns of both flash families' tiles in shared memory for a head size: 32, 64, 96, 128 or
 * 256. Columns from HS on are zeros. */
int64_t flash_width(int64_t HS);

/* The speed of both flash families: Kernel.speed. Kernel.simple_speed: forward at a head size of
 * 128, where a product has half as many exponentials as at 64; the fused backward pass, of which
 * 0.37 was measured at T=1024 and 0.57 from 4096 on. */
#define FLASH_FORWARD_SPEED SPEED(9.0, 0.36, 0)
#define FLASH_FORWARD_SPEED_128 SPEED(9.0, 0.41, 0)
#define FLASH_BACKWARD_SPEED SPEED(22.0, 0.32, 0)
#define FLASH_BACKWARD_SPEED_FUSED SPEED(22.0, 0.48, 0)

#ifdef __cplusplus
}
#endif
