/* The processor that a program is compiled for (-march), and whether this one has its instructions.
 * Not collective. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An instruction set extension. Sources: its bit of CPUID: Intel 64 and IA-32 Architectures
 * Software Developer's Manual, volume 2A, CPUID, and AMD64 Architecture Programmer's Manual, volume
 * 3, appendix E; its state components in XCR0: the former, volume 1, section 13.1. */
typedef struct ProcessorFeature {
    const char *name;
    const char *in_use;               /* "1": the compiler may have used it */
    uint32_t leaf, subleaf, reg, bit; /* of CPUID; reg 0 to 3: eax, ebx, ecx, edx */
    uint64_t state;                   /* the operating system must enable these */
} ProcessorFeature;

/* What a processor reports. */
typedef struct Processor {
    /* out = eax, ebx, ecx, edx of CPUID; false if it has no such leaf */
    bool (*cpuid)(uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
    uint64_t state; /* XCR0 */
} Processor;

extern const char processor_march[]; /* the value of -march */
extern const ProcessorFeature processor_features[];
extern const size_t processor_feature_count;

/* Whether the processor lacks any of `count` features that are in use. Writes the names of the
 * missing ones to `missing`, separated by spaces, as many as fit. Compiled for any processor, and
 * stateless, so that it may run before libraries are initialized. */
bool processor_lacks(const Processor *processor, const ProcessorFeature *features, size_t count,
                     char *missing, size_t bytes);

/* The same of this processor and processor_features. */
bool processor_lacks_features(char *missing, size_t bytes);
