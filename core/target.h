/* Target: the machine for which a program is recorded. It need not be present: planning needs no
 * device. */
#pragma once

typedef enum DeviceKind { DEVICE_CPU, DEVICE_CUDA } DeviceKind;

typedef struct Target {
    DeviceKind kind;
    int threads; /* CPU: OpenMP threads per rank */
    int sm;      /* CUDA: compute capability, 90 for 9.0 */
    int n_sms;   /* CUDA: number of multiprocessors */
} Target;
