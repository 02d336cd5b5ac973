/* Peak rates of GPUs from their data sheets: the denominators of MFU, and the basis of
 * predictions. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Peak {
    double half;   /* FLOP/s, dense, in bf16 and f16 with f32 sums */
    double single; /* in true f32 */
    double bytes;  /* per second, read and written */
} Peak;

/* The rates of the GPU called `name`; zeros for an unknown model. */
Peak peak_find(const char *name);

/* The most likely GPU for compute capability `sm` and this number of bytes of memory; "" if
 * unknown. */
const char *peak_model(int sm, double bytes);

#ifdef __cplusplus
}
#endif
