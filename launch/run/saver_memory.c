#include "launch/run/saver_memory.h"

size_t saver_state_bytes(const Parameters *parameters, int kind) {
    return (size_t)parameters_state_elements(parameters, kind) *
           dtype_size(parameters_state(parameters, kind)->dtype);
}

bool saver_is_copied(const Parameters *parameters, DeviceKind device, int kind) {
    return device != DEVICE_CPU || parameters_is_sharded(parameters, kind);
}

int saver_memory_files(const Config *config) {
    const ConfigInterval *interval = &config->checkpoint.memory_interval;
    return interval->steps > 0 || interval->seconds > 0 ? 2 : 0;
}

size_t saver_memory_bytes(const Config *config, const Parameters *parameters) {
    size_t bytes = 0;
    for (int kind = 0; kind < parameters_state_count(parameters); kind++)
        bytes += saver_state_bytes(parameters, kind);
    return bytes * (size_t)saver_memory_files(config);
}

/* The image of this rank's shard and, from a GPU, a copy of it. */
static size_t shard_bytes(const Parameters *parameters, DeviceKind device, int kind) {
    size_t copies = device != DEVICE_CPU ? 2 : 1;
    return saver_state_bytes(parameters, kind) / (size_t)parameters->sharding.ranks * copies;
}

size_t saver_shard_bytes(const Config *config, const Parameters *parameters, DeviceKind device) {
    size_t bytes = 0;
    if (!config->checkpoint.sharded) return 0;
    for (int kind = 0; kind < parameters_state_count(parameters); kind++)
        bytes += shard_bytes(parameters, device, kind);
    return bytes;
}

size_t saver_bytes(const Config *config, const Parameters *parameters, DeviceKind device) {
    size_t bytes = saver_shard_bytes(config, parameters, device);
    if (config->checkpoint.sharded && saver_memory_files(config) == 0) return bytes;
    for (int kind = 0; kind < parameters_state_count(parameters); kind++) {
        size_t copies = saver_is_copied(parameters, device, kind) ? 2 : 1;
        bytes += saver_state_bytes(parameters, kind) * copies;
    }
    return bytes;
}
