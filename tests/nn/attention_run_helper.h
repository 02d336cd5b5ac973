/* Runs one attention call on any backend, on the CPU or a GPU, in poisoned memory. */
#pragma once

#include "core/device.h"
#include "tests/nn/attention_helper.h"

/* Computes the outputs with a backend of the device. Outputs and scratch memory are NaN before. */
NODISCARD Status attention_by(const AttentionBackend *backend, const AttentionCall *call,
                              Device *device, const StepState *step, AttentionData *data);

/* The CPU backend with this name. */
const AttentionBackend *attention_backend(const char *name);
