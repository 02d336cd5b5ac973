/* The GPU collectives of a build without CUDA. No caller reaches them, because the device is
 * refused earlier. */
#include "dist/gpu_collectives.h"

static Status absent(GpuCollectives **out) {
    *out = NULL;
    return ERROR(STATUS_CONFIG, "this program was built without CUDA; set device: cpu");
}

Status staged_collectives_create(World *world, Watchdog *watchdog, GpuCollectives **out) {
    (void)world, (void)watchdog;
    return absent(out);
}

Collectives gpu_collectives_table(GpuCollectives *collectives) {
    (void)collectives;
    return (Collectives){0};
}

const char *gpu_collectives_note(const GpuCollectives *collectives) {
    (void)collectives;
    return "";
}

void gpu_collectives_release(GpuCollectives *collectives) { (void)collectives; }

void gpu_collectives_destroy(GpuCollectives **collectives) { (void)collectives; }
