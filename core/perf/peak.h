/* What GPUs can do at best, by their data sheets: the denominators of MFU, and where predictions
 * start from. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Peak {
    double half;   /* FLOP/s, dense, in bf16 and f16 with f32 sums */
    double single; /* in true f32 */
    double bytes;  /* a second, from and to memory */
} Peak;

/* Of the GPU that calls itself `name`; zeros where the model is not known. */
Peak peak_find(const char *name);

/* The GPU that a target of compute capability `sm` with so many bytes of memory is most likely to
 * be; "" where that is not known. */
const char *peak_model(int sm, double bytes);

#ifdef __cplusplus
}
#endif
