/* Text is normalized in segments. A segment starts with an inert character, which composes with
 * nothing before it and keeps its place: the NFC of the text is that of its segments, one after
 * another. */
#include "data/nfc.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_LEAD = 0xCC, RESERVE = 1 << 12 }; /* U+0300 is CC 80 in UTF-8 */

static bool is_lead(uint8_t byte) { return (byte & 0xC0) != 0x80; }

/* Whether an inert character starts here: one below U+0300 or in U+4000..U+9FFF (Chinese). All of
 * them have the combining class 0, are not changed by NFC, and are never the second one of a
 * composition. */
static bool is_inert(uint8_t byte) {
    return is_lead(byte) && (byte < FIRST_LEAD || (byte >= 0xE4 && byte <= 0xE9));
}

bool nfc_may_change(const uint8_t *text, size_t bytes) {
    uint8_t largest = 0;
    for (size_t i = 0; i < bytes; i++) largest = text[i] > largest ? text[i] : largest;
    return largest >= FIRST_LEAD;
}

size_t nfc_settled(const uint8_t *text, size_t bytes) {
    size_t at = bytes;
    while (at > 0 && !is_inert(text[at - 1])) at--;
    return at > 0 ? at - 1 : 0;
}

static Status reserve(NfcText *out, size_t more) {
    if (out->length + more > out->capacity) {
        size_t capacity = 2 * (out->length + more) + RESERVE;
        uint8_t *bytes = realloc(out->bytes, capacity);
        if (bytes == NULL) return OUT_OF_MEMORY("normalized text");
        out->bytes = bytes;
        out->capacity = capacity;
    }
    if (out->n_changes < out->changes_capacity) return OK;
    size_t capacity = 2 * out->changes_capacity + RESERVE;
    NfcChange *changes = realloc(out->changes, capacity * sizeof *changes);
    if (changes == NULL) return OUT_OF_MEMORY("normalized text");
    out->changes = changes;
    out->changes_capacity = capacity;
    return OK;
}

static Status append(NfcText *out, const uint8_t *bytes, size_t length) {
    TRY(reserve(out, length));
    if (length > 0) memcpy(out->bytes + out->length, bytes, length);
    out->length += length;
    return OK;
}

/* Normalizes text[begin..end), a segment that may change. */
static Status segment_compose(const uint8_t *text, size_t begin, size_t end, NfcText *out) {
    uint8_t *composed = NULL;
    size_t length, start = out->length;
    TRY(nfc_library_compose(text + begin, end - begin, &composed, &length));
    bool is_same = length == end - begin && memcmp(composed, text + begin, length) == 0;
    Status status = append(out, composed, length);
    free(composed);
    if (!failed(status) && !is_same)
        out->changes[out->n_changes++] = (NfcChange){start, out->length, end};
    return status;
}

Status nfc_compose(const uint8_t *text, size_t bytes, NfcText *out) {
    out->length = out->n_changes = 0;
    for (size_t begin = 0, end; begin < bytes; begin = end) {
        size_t start = begin; /* of the last inert character before another one */
        for (end = begin; end < bytes && (is_inert(text[end]) || !is_lead(text[end])); end++)
            start = is_lead(text[end]) ? end : start;
        if (end == bytes) return append(out, text + begin, bytes - begin);
        TRY(append(out, text + begin, start - begin));
        while (end < bytes && !is_inert(text[end])) end++;
        TRY(segment_compose(text, start, end, out));
    }
    return OK;
}

void nfc_text_free(NfcText *text) {
    free(text->bytes);
    free(text->changes);
    *text = (NfcText){0};
}
