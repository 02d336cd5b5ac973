#include "launch/run/saver_memory.h"

size_t saver_state_bytes(const Parameters *parameters, StateKind kind) {
    return (size_t)tensor_count(parameters->weights->flat) *
           dtype_size(parameters_state(parameters, kind)->dtype);
}

bool saver_is_copied(const Parameters *parameters, DeviceKind device, StateKind kind) {
    return device != DEVICE_CPU ||
           parameters_is_piecewise(parameters, parameters_state(parameters, kind));
}

size_t saver_bytes(const Parameters *parameters, DeviceKind device) {
    size_t bytes = 0;
    for (int kind = 0; kind < STATE_KINDS; kind++) {
        size_t copies = saver_is_copied(parameters, device, (StateKind)kind) ? 2 : 1;
        bytes += saver_state_bytes(parameters, (StateKind)kind) * copies;
    }
    return bytes;
}
