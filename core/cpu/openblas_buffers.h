/* OpenBLAS's buffers: it maps one for each core while it is loaded, and one for each call that multiplies at the same
 * moment. Where it cannot map one it tries for ever (memory.c of OpenBLAS 0.3), so that a limit on addresses has to be
 * looked at before: by this file's own code before any library's (.preinit_array, System V ABI, "Initialization and
 * Termination Functions"), which ends the program with one line and exit code 71, and by planning. */
#pragma once

#include <stddef.h>

/* A buffer and what surrounds it. */
enum { OPENBLAS_BUFFER_BYTES = 129 << 20 };

/* What products on `threads` threads are still to map, at most. */
size_t openblas_buffers(int threads);
