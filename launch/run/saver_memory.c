#include "launch/run/saver_memory.h"

size_t saver_state_bytes(const Parameters *parameters, int kind) {
    return (size_t)parameters_state_elements(parameters, kind) *
           dtype_size(parameters_state(parameters, kind)->dtype);
}

bool saver_is_copied(const Parameters *parameters, DeviceKind device, int kind) {
    return device != DEVICE_CPU || parameters_is_sharded(parameters, kind);
}

size_t saver_bytes(const Parameters *parameters, DeviceKind device, int files) {
    size_t bytes = 0;
    for (int kind = 0; kind < parameters_state_count(parameters); kind++) {
        size_t copies = (saver_is_copied(parameters, device, kind) ? 2 : 1) + (size_t)files;
        bytes += saver_state_bytes(parameters, kind) * copies;
    }
    return bytes;
}
