/* A libFuzzer program for the target named by $FUZZ_TARGET; tests/fuzz/run builds it. */
#include "core/status.h"
#include "tests/fuzz/targets_helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const FuzzTarget *target = fuzz_targets;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *name = getenv("FUZZ_TARGET");
    while (name != NULL && target->name != NULL && strcmp(target->name, name) != 0) target++;
    if (name != NULL && target->name != NULL) return 0;
    fputs("libfuzzer: FUZZ_TARGET names no target\n", stderr);
    exit(64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    target->run(data, size);
    return 0;
}
