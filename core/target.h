/* Target: what a program is recorded for. It may be a machine that is not here: a plan needs no
 * device. */
#pragma once

typedef enum DeviceKind { DEVICE_CPU, DEVICE_CUDA } DeviceKind;

typedef struct Target {
    DeviceKind kind;
    int threads; /* CPU: OpenMP threads of this rank */
    int sm;      /* CUDA: compute capability, 90 for 9.0 */
    int n_sms;   /* CUDA: multiprocessors */
} Target;
