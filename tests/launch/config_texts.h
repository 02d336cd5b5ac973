/* What the config tests share: a config from a text, and files in the test's directory. */
#pragma once

#include "launch/config/config_load.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The least that a config needs. */
#define LEAST "data: {train: t.bin}\ntraining: {stop: {steps: 5}}\n"

/* Loads a text with overrides that end in NULL; NULL (and a failed check) if that fails. */
static inline Config *load_text(const char *text, char **overrides) {
    Config *config = NULL;
    int count = 0;
    while (overrides != NULL && overrides[count] != NULL) count++;
    CHECK_OK(config_load_text(text, "test.yaml", count, overrides, &config));
    return config;
}

#define LOAD(text, ...) load_text((text), (char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* One directory for all the tests of a program. */
static inline const char *test_directory(void) {
    static const char *directory;
    if (directory == NULL) directory = harness_directory();
    return directory;
}

/* Writes a file below the test's directory; its path, valid until the next call with the same slot
 * (0 to 3). */
static inline const char *put_file(int slot, const char *name, const char *text) {
    static char paths[4][512];
    snprintf(paths[slot], sizeof paths[slot], "%s/%s", test_directory(), name);
    FILE *file = fopen(paths[slot], "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    return paths[slot];
}
