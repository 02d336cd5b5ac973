/* The NCCL collectives of a build without NCCL. */
#include "dist/gpu_collectives.h"

Status nccl_collectives_create(World *world, Watchdog *watchdog, double deadline,
                               GpuCollectives **out) {
    (void)world, (void)watchdog, (void)deadline;
    *out = NULL;
    return ERROR(
        STATUS_CONFIG,
        "this program was built without NCCL, which several GPUs require; install libnccl-dev and "
        "run scons again, or run one rank");
}
