/* Normalization of text to NFC (Unicode Standard Annex 15), with the source of each byte of the
 * result. Not collective. */
#pragma once

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of the text that normalization has changed: bytes[begin..end) of the result. The following
 * bytes come from the source at source_end, one to one, up to the next change. */
typedef struct NfcChange {
    size_t begin, end, source_end;
} NfcChange;

/* Initialize it with {0}; it can be used for many texts. */
typedef struct NfcText {
    uint8_t *bytes;
    size_t length, capacity;
    NfcChange *changes;
    size_t n_changes, changes_capacity;
} NfcText;

/* Whether this build has libutf8proc. */
bool nfc_is_available(void);

/* False if the text is certainly in NFC: it has no character from U+0300 on. */
bool nfc_may_change(const uint8_t *text, size_t bytes);

/* The number of bytes whose normal form does not depend on the text after them. text must be valid
 * UTF-8. */
size_t nfc_settled(const uint8_t *text, size_t bytes);

/* nfc_compose: *out = the NFC of text, which must be valid UTF-8.
 *   Errors: STATUS_OUT_OF_MEMORY; STATUS_FAILURE of the library. */
NODISCARD Status nfc_compose(const uint8_t *text, size_t bytes, NfcText *out);
void nfc_text_free(NfcText *text);

/* The NFC of one text; the caller frees *out. Needs nfc_is_available. */
NODISCARD Status nfc_library_compose(const uint8_t *text, size_t bytes, uint8_t **out,
                                     size_t *length);
