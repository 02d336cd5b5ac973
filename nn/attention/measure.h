/* Times of the backends for a call, used by the picker's `measured` mode. They are measured once
 * per device, build and call, and cached on disk (core/perf/cache_file.h). Not collective: one rank
 * measures and sends the result to the others. */
#pragma once

#include "core/device.h"
#include "nn/attention/backend.h"

/* choice->seconds[i] = time of forward and backward, in seconds, of the first row of the device
 * that has name i and accepts the call. The time comes from the cache; if it is not cached and
 * `measures` is true, it is measured on the device in free memory, and cached. It stays 0 if no row
 * accepts the call, if the device's memory is too small for the trial, or if it is not cached and
 * `measures` is false. *missing = number of names that could run but have no time. choice->count
 * must not be 0. The call must come from attention_call_packed.
 *   Errors: STATUS_FAILURE if the device fails. */
NODISCARD Status attention_measure(Device *device, const AttentionCall *call, bool measures,
                                   KernelChoice *choice, int *missing);
