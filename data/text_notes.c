#include "data/text_notes.h"

#include "core/base/utf8.h"

#include <string.h>

enum { NOT_UTF8, BYTE_ORDER_MARK, CR_LF };

static const char *const texts[TEXT_NOTE_KINDS] = {
    [NOT_UTF8] = "is not UTF-8 and stays as it is; to convert text: iconv -f LATIN1 -t UTF-8",
    [BYTE_ORDER_MARK] = "a byte order mark, which becomes tokens; to remove it: sed -i "
                        "'1s/^\\xEF\\xBB\\xBF//'",
    [CR_LF] = "a line that ends with CR LF, of which both become tokens; to remove CR: dos2unix",
};

static void found(TextNotes *notes, int kind, int64_t at) {
    if (notes->is_found[kind]) return;
    notes->is_found[kind] = true;
    if (notes->kinds[kind].files++ > 0) return;
    notes->kinds[kind].at = at;
    snprintf(notes->kinds[kind].path, PATH_MAX, "%s", notes->path);
}

void text_notes_begin(TextNotes *notes, const char *path) {
    notes->path = path;
    notes->at = 0;
    notes->n_pending = 0;
    notes->ends_with_cr = false;
    memset(notes->is_found, 0, sizeof notes->is_found);
}

/* Completes the character that the last part began; returns the number of bytes that it takes. */
static size_t pending_complete(TextNotes *notes, const uint8_t *text, size_t bytes) {
    size_t taken = 0;
    while (notes->n_pending > 0 && taken < bytes) {
        notes->pending[notes->n_pending++] = text[taken++];
        bool is_whole = utf8_character(notes->pending, notes->n_pending) > 0;
        if (!is_whole && notes->n_pending == sizeof notes->pending)
            found(notes, NOT_UTF8, notes->at + (int64_t)taken - (int64_t)sizeof notes->pending);
        if (is_whole || notes->n_pending == sizeof notes->pending) notes->n_pending = 0;
    }
    return taken;
}

static void characters_check(TextNotes *notes, const uint8_t *text, size_t bytes) {
    size_t at = pending_complete(notes, text, bytes);
    if (notes->is_found[NOT_UTF8] || at == bytes) return;
    size_t cut = at + utf8_cut(text + at, bytes - at);
    size_t valid = at + utf8_valid_prefix(text + at, cut - at);
    if (valid < cut) {
        found(notes, NOT_UTF8, notes->at + (int64_t)valid);
        return;
    }
    notes->n_pending = bytes - cut;
    memcpy(notes->pending, text + cut, notes->n_pending);
}

static void line_ends_check(TextNotes *notes, const uint8_t *text, size_t bytes) {
    if (notes->is_found[CR_LF]) return;
    if (notes->ends_with_cr && text[0] == '\n') found(notes, CR_LF, notes->at - 1);
    const uint8_t *pair = memmem(text, bytes, "\r\n", 2);
    if (pair != NULL) found(notes, CR_LF, notes->at + (pair - text));
    notes->ends_with_cr = text[bytes - 1] == '\r';
}

void text_notes_part(TextNotes *notes, const uint8_t *text, size_t bytes) {
    if (bytes == 0) return;
    if (notes->at == 0 && utf8_mark(text, bytes) > 0) found(notes, BYTE_ORDER_MARK, 0);
    if (!notes->is_found[NOT_UTF8]) characters_check(notes, text, bytes);
    line_ends_check(notes, text, bytes);
    notes->at += (int64_t)bytes;
}

void text_notes_end(TextNotes *notes) {
    if (notes->n_pending > 0) found(notes, NOT_UTF8, notes->at - (int64_t)notes->n_pending);
}

bool text_notes_write(const TextNotes *notes, int kind, char *out, size_t capacity) {
    int64_t files = notes->kinds[kind].files, others = files - 1;
    if (files == 0) return false;
    int n = snprintf(out, capacity, "%s: byte %lld: %s", notes->kinds[kind].path,
                     (long long)notes->kinds[kind].at, texts[kind]);
    bool has_room = n >= 0 && (size_t)n < capacity;
    if (others > 0 && has_room) {
        snprintf(out + n, capacity - (size_t)n, " (also in %lld other file%s)", (long long)others,
                 others == 1 ? "" : "s");
    }
    return true;
}
