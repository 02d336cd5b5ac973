/* Kinds of files that users name by mistake, by their first bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct KnownFile {
    const char *what;      /* "a zip archive" */
    const char *as_text;   /* what to do to get its text; NULL: nothing */
    const char *as_tokens; /* what to do to get its tokens; NULL: it may hold tokens */
} KnownFile;

/* The kind of a file that starts with these bytes; NULL if it is none of them. */
const KnownFile *known_file_find(const uint8_t *bytes, size_t size);
