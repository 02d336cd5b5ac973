#include "data/rank_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PIECE_BYTES = 1 << 16 };

static int base64_value(char c) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c == '\0' ? NULL : strchr(alphabet, c);
    return found == NULL ? -1 : (int)(found - alphabet);
}

/* Decodes `length` characters of base64 (RFC 4648, section 4). Returns the number of bytes, or 0 if
 * they are not base64. */
static size_t base64_decode(const char *text, size_t length, uint8_t *out) {
    size_t n = 0;
    uint32_t bits = 0;
    if (length == 0 || length % 4 != 0) return 0;
    while (length > 0 && text[length - 1] == '=') length--;
    for (size_t i = 0; i < length; i++) {
        int value = base64_value(text[i]);
        if (value < 0) return 0;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return n;
}

static Status rank_line_add(Vocabulary *v, char *line, uint8_t *bytes) {
    char *space = strchr(line, ' '), *end = NULL;
    if (space == NULL || (size_t)(space - line) > MAX_PIECE_BYTES) {
        return ERROR(STATUS_DATA, "a line of a rank file must be base64, a space and a rank");
    }
    size_t length = base64_decode(line, (size_t)(space - line), bytes);
    errno = 0;
    long long rank = strtoll(space + 1, &end, 10);
    if (length == 0)
        return ERROR(
            STATUS_DATA,
            "the token is not base64; a line of a rank file must be base64, a space and a rank");
    if (end == space + 1 || (*end != '\0' && *end != '\r') || errno != 0) {
        return ERROR(STATUS_DATA, "'%.20s' is not a rank", space + 1);
    }
    return vocabulary_add(v, rank, bytes, length);
}

static Status ranks_add(Vocabulary *v, const char *path, char *text) {
    static _Thread_local uint8_t bytes[MAX_PIECE_BYTES];
    int number = 1;
    for (char *line = text, *next; line != NULL; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (*line == '\0') continue;
        Status status = rank_line_add(v, line, bytes);
        if (failed(status)) return ERROR(status.code, "%s:%d: %s", path, number, status_message());
    }
    return OK;
}

static int64_t count_lines(const char *text) {
    int64_t lines = 0;
    for (const char *line = text; *line != '\0'; line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        lines += length > 0;
        line += length;
    }
    return lines;
}

static Status definition_read(const char *path, char *text, const KnownEncoding *encoding,
                              BpeDefinition *out) {
    Status status = bpe_definition_begin(out, encoding, count_lines(text));
    if (failed(status)) return status_prefixed(status, "%s", path);
    TRY(ranks_add(out->vocabulary, path, text));
    status = bpe_definition_finish(out);
    if (!failed(status)) status = vocabulary_merge_by_rank(out->vocabulary);
    return failed(status) ? status_prefixed(status, "%s", path) : OK;
}

Status rank_file_read(const char *path, char *text, size_t size, const KnownEncoding *encoding,
                      BpeDefinition *out) {
    if (strlen(text) == size) return definition_read(path, text, encoding, out);
    return ERROR(STATUS_DATA, "%s: neither a rank file nor JSON: it contains a zero byte", path);
}
