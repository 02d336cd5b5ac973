/* Reads the records of tests/golden/make_golden.py: a line `NAME DIM...`, then little-endian
 * f32. */
#pragma once

#include "core/status.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOLDEN_MAX = 256 };

typedef struct GoldenRecord {
    char name[96];
    int64_t count;
    float *values;
} GoldenRecord;

typedef struct Golden {
    GoldenRecord records[GOLDEN_MAX];
    int n_records;
} Golden;

static inline void golden_close(Golden *golden) {
    for (int i = 0; i < golden->n_records; i++) free(golden->records[i].values);
    golden->n_records = 0;
}

static inline Status golden_read(FILE *file, const char *line, GoldenRecord *record) {
    int used = 0;
    if (sscanf(line, "%95s%n", record->name, &used) != 1)
        return ERROR(STATUS_DATA, "a record without a name");
    record->count = 1;
    const char *rest = line + used;
    int64_t dim;
    for (int n; sscanf(rest, "%ld%n", &dim, &n) == 1; rest += n) record->count *= dim;
    record->values = malloc((size_t)record->count * sizeof(float));
    if (record->values == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    size_t got = fread(record->values, sizeof(float), (size_t)record->count, file);
    if (got == (size_t)record->count) return OK;
    free(record->values);
    return ERROR(STATUS_DATA, "%s ends early", record->name);
}

static inline Status golden_open(const char *path, Golden *golden) {
    char line[256];
    Status status = OK;
    golden->n_records = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL) return ERROR(STATUS_DATA, "%s: tests run from the repository's root", path);
    while (!failed(status) && golden->n_records < GOLDEN_MAX &&
           fgets(line, sizeof line, file) != NULL) {
        status = golden_read(file, line, &golden->records[golden->n_records]);
        golden->n_records += !failed(status);
    }
    fclose(file);
    return status;
}

/* The record of that name; NULL where there is none. */
static inline const GoldenRecord *golden_find(const Golden *golden, const char *name) {
    for (int i = 0; i < golden->n_records; i++) {
        if (strcmp(golden->records[i].name, name) == 0) return &golden->records[i];
    }
    return NULL;
}
