/* Compiled for any x86 processor. */
#include "launch/base/processor.h"

#include <cpuid.h>

enum { OSXSAVE = 1 << 27 }; /* leaf 1, ecx: XGETBV exists */

static bool cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    return __get_cpuid_count(leaf, subleaf, &out[0], &out[1], &out[2], &out[3]) != 0;
}

static uint64_t enabled_state(void) {
    uint32_t registers[4], low, high;
    if (!cpuid(1, 0, registers) || (registers[2] & OSXSAVE) == 0) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

bool processor_lacks_features(char *missing, size_t bytes) {
    Processor processor = {cpuid, enabled_state()};
    return processor_lacks(&processor, processor_features, processor_feature_count, missing, bytes);
}
