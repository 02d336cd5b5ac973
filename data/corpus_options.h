/* How the files of a corpus become documents. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct CorpusOptions {
    const char *field;        /* of JSON lines and tables; NULL: the files are plain text */
    const uint8_t *separator; /* of the documents in plain text */
    size_t separator_bytes;   /* 0: a file is one document */
    bool takes_anything;      /* plain text is not checked to be text */
    const volatile sig_atomic_t *interrupted; /* ends the reading: text_stream_open */
} CorpusOptions;
