/* What OpenBLAS maps beside tensors: a buffer for each core while it is loaded, and one for each
 * thread that multiplies. Where it cannot map one it tries for ever (its memory.c, 0.3.21):
 * planning counts them, and launch/base/at_load.c checks them at load. */
#pragma once

/* A buffer and what surrounds it. */
enum { OPENBLAS_BUFFER_BYTES = 129 << 20 };
