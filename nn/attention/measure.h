/* What the picker's `measured` mode goes by: how long each backend takes for a call, measured once
 * for a device, a build and a call, and kept on disk (core/perf/cache_file.h). Not collective: one
 * rank measures and tells the others. */
#pragma once

#include "core/device.h"
#include "nn/attention/backend.h"

/* choice->seconds[i] = forward and backward of the row that name i stands for (the first of the
 * device that takes the call), in seconds: from the cache, else, where `measures`, measured on the
 * device with memory that is free, and cached. It stays 0 where no row takes the call, where the
 * device's memory is too small for the trial, or where nothing is cached and `measures` is false.
 * *missing = names that could run but have no time. choice->count is not 0. The call is one of
 * attention_call_packed.
 *   Errors: STATUS_FAILURE where the device fails. */
NODISCARD Status attention_measure(Device *device, const AttentionCall *call, bool measures,
                                   KernelChoice *choice, int *missing);
