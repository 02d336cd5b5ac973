/* Compiled for any processor of the architecture. */
#include "launch/base/processor.h"

#include <string.h>

static bool has(const Processor *processor, const ProcessorFeature *feature) {
    uint32_t registers[4];
    return (processor->state & feature->state) == feature->state &&
           processor->cpuid(feature->leaf, feature->subleaf, registers) &&
           (registers[feature->reg] >> feature->bit & 1) != 0;
}

bool processor_lacks(const Processor *processor, const ProcessorFeature *features, size_t count,
                     char *missing, size_t bytes) {
    bool lacks = false;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(features[i].in_use, "1") != 0 || has(processor, &features[i])) continue;
        size_t length = strlen(features[i].name);
        lacks = true;
        if (used + length + 2 > bytes) continue;
        if (used > 0) missing[used++] = ' ';
        memcpy(missing + used, features[i].name, length);
        used += length;
    }
    missing[used] = '\0';
    return lacks;
}
