/* One attention call by any backend, on the CPU or a GPU, in poisoned memory. */
#pragma once

#include "core/device.h"
#include "tests/nn/attention_helper.h"

/* Fills the outputs by a backend of the device. What it writes, and all scratch, is NaN before.
 */
NODISCARD Status attention_by(const AttentionBackend *backend, const AttentionCall *call,
                              Device *device, const StepState *step, AttentionData *data);

/* The CPU's backend of a name. */
const AttentionBackend *attention_backend(const char *name);
