#include "launch/run/run_measure.h"

#include "core/base/clock.h"
#include "core/convert.h"

#include <math.h>

/* ---- energy ---------------------------------------------------------------------------------- */

/* Whether the device of this rank has no counter on a lower rank of this host. */
static bool counts_device(const Experiment *e) {
    int local = world_local_rank(e->world);
    if (e->device->target.kind == DEVICE_CPU) return local == 0;
    return !e->gpu_is_shared || local < device_count_cuda();
}

Status run_energy_open(Run *run) {
    run->counts_energy = counts_device(&run->e);
    run->energy_polled = clock_seconds();
    return run->counts_energy ? energy_open(run->e.device, &run->energy) : OK;
}

Status run_energy_read(Run *run) {
    double joules = run->counts_energy ? energy_read(run->energy) : 0;
    run->energy_polled = clock_seconds();
    TRY(world_sum_f64(run->e.world, &joules, 1));
    run->progress.joules += joules - run->energy_read;
    run->energy_read = joules;
    return OK;
}

void run_energy_poll(Run *run) {
    if (run->energy == NULL || clock_seconds() - run->energy_polled < ENERGY_POLL_SECONDS) return;
    run->energy_polled = clock_seconds();
    (void)energy_read(run->energy);
}

/* ---- noise scale ----------------------------------------------------------------------------- */

bool run_noise_is_due(const Run *run) {
    int64_t interval = run->e.config->noise_scale.interval;
    return run->e.recorded.training->noise[run->e.phase].units > 0 &&
           (run->progress.step + 1) % interval == 0;
}

Status run_noise_start(Run *run) {
    run->noise_is_pending = true;
    run->noise_sample = run->e.recorded.training->noise[run->e.phase];
    return device_fetch_start(run->e.device, &run->noise_fetch, run->e.recorded.step.noise);
}

Status run_noise_take(Run *run, bool is_finite) {
    const DType dtype = run->e.recorded.step.noise->dtype;
    double norms[2] = {0, 0}; /* or floats */
    if (!run->noise_is_pending) return OK;
    run->noise_is_pending = false;
    TRY(device_fetch_finish(run->e.device, &run->noise_fetch, norms));
    NoiseSample sample = run->noise_sample;
    sample.unit_norm = real_load(norms, dtype, 0) / run->progress.loss_scale.scale;
    sample.norm = real_load(norms, dtype, 1) / run->progress.loss_scale.scale;
    if (is_finite) noise_scale_add(&run->progress.noise, &sample);
    return OK;
}

double run_noise_tokens(const Run *run) {
    return noise_scale_sequences(&run->progress.noise) * (double)run->e.T;
}
