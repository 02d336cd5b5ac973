/* What GPUs can do at best, by their data sheets: the denominators of MFU. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* FLOP/s, dense, of the GPU that calls itself `name`: in bf16 and f16 with f32 sums, and in true f32. 0 where the model
 * is not known. */
void peak_find(const char *name, double *half, double *single);

#ifdef __cplusplus
}
#endif
