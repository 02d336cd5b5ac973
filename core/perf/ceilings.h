/* Ceilings: the peak rates that a device reaches in practice, the basis of comparisons and
 * predictions. Bytes per second of a copy, read and written; FLOP/s of a large product in one
 * dtype.
 *
 * A GPU's ceilings are measured once and kept in a file (core/perf/cache_file.h). Without a
 * measurement (a planning device, a run that must not wait) they are fractions of the data sheet.
 * Not collective. */
#pragma once

#include "core/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Ceilings {
    double flops, bytes; /* per second; 0 if unknown */
    bool tf32;           /* f32 products in tf32 */
    bool measured;
} Ceilings;

/* For products of `dtype` (f32 uses tf32 if device->tf32). With `may_measure`, a missing entry is
 * measured: some 50 ms and up to 1 GiB of device memory. If the memory is not available, uses the
 * data sheet. */
Ceilings ceilings_find(Device *device, DType dtype, bool may_measure);

/* Measures FLOP/s of a large square product in `dtype` (1024 cubed on the CPU; 4096 cubed in f32
 * and 8192 cubed otherwise on a GPU), the fastest of several runs. Errors: STATUS_FAILURE,
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status ceilings_product(Device *device, DType dtype, double *flops_per_s);

/* The fraction of its limiting ceiling (the larger of the two) that an op with this cost reaches in
 * `seconds`. */
double ceilings_share(const Ceilings *ceilings, const Cost *cost, double seconds);

#ifdef __cplusplus
}
#endif
