/* Memory that OpenBLAS maps beside tensors: one buffer per core at load time, and one per thread
 * that multiplies. If a mapping fails, OpenBLAS retries forever (its memory.c, 0.3.21), so planning
 * includes these buffers, and launch/base/at_load.c checks them at load time. */
#pragma once

/* A buffer and its overhead. */
enum { OPENBLAS_BUFFER_BYTES = 129 << 20 };
