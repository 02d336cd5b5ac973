/* TextNotes: what is unusual about text that is used as it is: bytes that are not UTF-8, byte order
 * marks, and lines that end with CR LF. */
#pragma once

#include "core/status.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TEXT_NOTE_KINDS = 3 };

/* Initialize it with {0}. */
typedef struct TextNotes {
    struct {
        int64_t files, at; /* number of files; the place in the first one: a byte, from 0 */
        char path[PATH_MAX];
    } kinds[TEXT_NOTE_KINDS];
    const char *path; /* of the current file; borrowed */
    int64_t at;       /* bytes of it so far */
    bool is_found[TEXT_NOTE_KINDS];
    uint8_t pending[4]; /* the start of a character that the next part continues */
    size_t n_pending;
    bool ends_with_cr;
} TextNotes;

void text_notes_begin(TextNotes *notes, const char *path);
void text_notes_part(TextNotes *notes, const uint8_t *text, size_t bytes);
void text_notes_end(TextNotes *notes);

/* Writes one note, a line without a newline: the first file, the place and the way out. False if
 * there is none of this kind, 0 <= kind < TEXT_NOTE_KINDS. */
bool text_notes_write(const TextNotes *notes, int kind, char *out, size_t capacity);
