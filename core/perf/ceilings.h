/* Ceilings: what a device reaches at its best, which times are compared with and predicted from. A
 * copy's bytes a second, read and written; a large product's FLOP/s in one dtype.
 *
 * A GPU's are measured once and kept in a file (core/perf/cache_file.h); where nothing has been
 * measured (a planning device, a run that must not wait) they are shares of the data sheet. Not
 * collective. */
#pragma once

#include "core/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Ceilings {
    double flops, bytes; /* per second; 0 where nothing is known */
    bool tf32;           /* f32 products in tf32 */
    bool measured;
} Ceilings;

/* For products of `dtype` (of f32 in tf32 where device->tf32). `may_measure`: takes up to 1 GiB of
 * the device for a moment and some 50 ms where the file has nothing; where there is no room, the
 * data sheet is what is left. */
Ceilings ceilings_find(Device *device, DType dtype, bool may_measure);

/* Measures FLOP/s of a large square product in `dtype` (1024 cubed on the CPU; on a GPU 4096 in
 * f32, 8192 otherwise), the fastest of several runs. Errors: STATUS_FAILURE, STATUS_NO_ROOM. */
NODISCARD Status ceilings_product(Device *device, DType dtype, double *flops_per_s);

/* The larger share of the two ceilings that an op with this cost reaches in `seconds`: what bounds
 * it. */
double ceilings_share(const Ceilings *ceilings, const Cost *cost, double seconds);

#ifdef __cplusplus
}
#endif
