/* The options of ./prepare. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum PrepareSplit { SPLIT_AUTO, SPLIT_END, SPLIT_DOCUMENTS } PrepareSplit;
typedef enum PrepareFormat { PREPARE_H5, PREPARE_BIN, PREPARE_LLMC } PrepareFormat;
typedef enum PrepareInput { INPUT_AUTO, INPUT_TEXT } PrepareInput;

typedef struct PrepareOptions {
    const char *out, *tokenizer;
    const char *field, *separator; /* NULL: none */
    const char *include, *files_from;
    int input; /* PrepareInput */
    bool special_tokens;
    double val_fraction;
    int split; /* PrepareSplit */
    bool shuffle;
    int64_t seed;
    int format; /* PrepareFormat */
    int64_t shard_tokens;
} PrepareOptions;
