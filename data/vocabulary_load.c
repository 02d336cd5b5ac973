/* Reads the file formats of vocabularies. */
#include "data/vocabulary.h"

#include "core/base/input_file.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE_BYTES = 64 << 20, MAX_PIECE_BYTES = 1 << 16 };

typedef struct FileText {
    char *bytes; /* followed by a zero byte that `size` does not count */
    size_t size;
} FileText;

static Status text_read(const char *path, FileText *out) {
    return input_read_whole(path, MAX_FILE_BYTES, &out->bytes, &out->size);
}

/* ---- a rank file ----------------------------------------------------------------------------- */

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
    uint8_t bytes[MAX_PIECE_BYTES];
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

static Status ranks_load(const char *path, Vocabulary **out) {
    FileText text = {0};
    Status status;
    TRY_ELSE(status, text_read(path, &text), done);
    if (strlen(text.bytes) != text.size) {
        status =
            ERROR(STATUS_DATA, "%s: neither a rank file nor JSON: it contains a zero byte", path);
        goto done;
    }
    TRY_ELSE(status, vocabulary_create(count_lines(text.bytes), out), done);
    TRY_ELSE(status, ranks_add(*out, path, text.bytes), done);
    status = vocabulary_finish(*out);
    if (!failed(status)) status = vocabulary_merge_by_rank(*out);
    if (failed(status)) status = ERROR(status.code, "%s: %s", path, status_message());
done:
    free(text.bytes);
    return status;
}

/* ---- JSON and merges ------------------------------------------------------------------------- */

/* GPT-2 writes a byte as a printable character: itself if printable in Latin-1, otherwise the next
 * character from U+0100 on. Source: bytes_to_unicode in openai/gpt-2's encoder.py. */
static bool is_printable(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
           (byte >= 0xAE && byte <= 0xFF);
}

enum { LETTERS = 0x180, NO_BYTE = -1 };

static void letters_fill(int16_t byte_of[LETTERS]) {
    int next = 0x100;
    for (int i = 0; i < LETTERS; i++) byte_of[i] = NO_BYTE;
    for (int byte = 0; byte < 256; byte++)
        byte_of[is_printable(byte) ? byte : next++] = (int16_t)byte;
}

/* Decodes a word of such characters to bytes. Returns 0 if a character stands for no byte. All
 * characters are below U+0180, so each has one or two bytes in UTF-8. */
static size_t word_decode(const char *word, size_t length, uint8_t *out) {
    int16_t byte_of[LETTERS];
    size_t n = 0;
    letters_fill(byte_of);
    for (size_t i = 0; i < length && n < MAX_PIECE_BYTES; n++) {
        unsigned letter = (uint8_t)word[i++];
        if (letter >= 0x80) {
            if ((letter & 0xE0) != 0xC0 || i == length) return 0;
            letter = (letter & 0x1F) << 6 | ((unsigned)(uint8_t)word[i++] & 0x3F);
        }
        if (letter >= LETTERS || byte_of[letter] == NO_BYTE) return 0;
        out[n] = (uint8_t)byte_of[letter];
    }
    return n;
}

static Status encoder_add(Vocabulary *v, const char *path, json_t *encoder) {
    uint8_t bytes[MAX_PIECE_BYTES];
    const char *word;
    json_t *id;
    json_object_foreach(encoder, word, id) {
        size_t length = word_decode(word, strlen(word), bytes);
        if (length == 0 || !json_is_integer(id)) {
            return ERROR(STATUS_DATA,
                         "%s: '%.40s' is not a token of a byte-level vocabulary with an id", path,
                         word);
        }
        Status status = vocabulary_add(v, json_integer_value(id), bytes, length);
        if (failed(status)) return ERROR(status.code, "%s: %s", path, status_message());
    }
    return OK;
}

static Status encoder_load(const char *path, Vocabulary **out) {
    FileText text = {0};
    json_error_t error;
    json_t *encoder = NULL;
    Status status;
    TRY_ELSE(status, text_read(path, &text), done);
    encoder = json_loadb(text.bytes, text.size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(encoder)) {
        status =
            ERROR(STATUS_DATA, "%s:%d: not a JSON object of tokens and ids: %s", path,
                  encoder == NULL ? error.line : 1, encoder == NULL ? error.text : "another type");
        goto done;
    }
    TRY_ELSE(status, vocabulary_create((int64_t)json_object_size(encoder), out), done);
    TRY_ELSE(status, encoder_add(*out, path, encoder), done);
    status = vocabulary_finish(*out);
    if (failed(status)) status = ERROR(status.code, "%s: %s", path, status_message());
done:
    json_decref(encoder);
    free(text.bytes);
    return status;
}

/* Adds one line `left right`: both are tokens, and so is their concatenation. */
static Status merge_line_add(Vocabulary *v, const char *line, uint32_t rank) {
    static _Thread_local uint8_t bytes[2 * MAX_PIECE_BYTES];
    const char *space = strchr(line, ' ');
    if (space == NULL)
        return ERROR(STATUS_DATA, "a merge must be two tokens with a space between them");
    size_t n_left = word_decode(line, (size_t)(space - line), bytes);
    size_t n_right = word_decode(space + 1, strcspn(space + 1, "\r"), bytes + n_left);
    if (n_left == 0 || n_right == 0)
        return ERROR(STATUS_DATA, "not two tokens of a byte-level vocabulary");
    int32_t left = vocabulary_find(v, bytes, n_left),
            right = vocabulary_find(v, bytes + n_left, n_right);
    int32_t merged = vocabulary_find(v, bytes, n_left + n_right);
    if (left == NO_TOKEN || right == NO_TOKEN || merged == NO_TOKEN) {
        return ERROR(STATUS_DATA,
                     "the two tokens or their concatenation are not in the vocabulary beside it");
    }
    return vocabulary_add_merge(v, left, right, (Merge){rank, merged});
}

static Status merges_add(Vocabulary *v, const char *path, char *text) {
    uint32_t rank = 0;
    int number = 1;
    for (char *line = text, *next; line != NULL; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (*line == '\0' || (number == 1 && strncmp(line, "#version", 8) == 0)) continue;
        Status status = merge_line_add(v, line, rank++);
        if (failed(status)) return ERROR(status.code, "%s:%d: %s", path, number, status_message());
    }
    if (rank == 0) return ERROR(STATUS_DATA, "%s: contains no merges", path);
    return OK;
}

static Status merges_load(Vocabulary *v, const char *path) {
    FileText text = {0};
    Status status = text_read(path, &text);
    if (!failed(status)) status = merges_add(v, path, text.bytes);
    free(text.bytes);
    return status;
}

/* ---- which form it is ------------------------------------------------------------------------ */

typedef struct Form {
    const char *tokens; /* the JSON file or the rank file */
    const char *merges; /* NULL for a rank file */
} Form;

static const Form forms[] = {
    {"encoder.json", "vocab.bpe"},
    {"vocab.json", "merges.txt"},
    {"gpt2.tiktoken", NULL},
    {"r50k_base.tiktoken", NULL},
};

static bool join(char *out, const char *directory, int length, const char *name) {
    return snprintf(out, PATH_MAX, "%.*s%s%s", length, directory, length == 0 ? "" : "/", name) <
           PATH_MAX;
}

static bool is_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* Finds the first form whose files are all in a directory. `must`: a file that the form must
 * contain, or NULL. */
static bool form_find(const char *directory, int length, const char *must, char *tokens,
                      char *merges) {
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const Form *form = &forms[i];
        bool is_wanted = must == NULL || strcmp(must, form->tokens) == 0 ||
                         (form->merges != NULL && strcmp(must, form->merges) == 0);
        merges[0] = '\0';
        if (!is_wanted || !join(tokens, directory, length, form->tokens) || !is_file(tokens))
            continue;
        if (form->merges == NULL) return true;
        if (join(merges, directory, length, form->merges) && is_file(merges)) return true;
    }
    return false;
}

static Status form_of_directory(const char *path, char *tokens, char *merges) {
    if (form_find(path, (int)strlen(path), NULL, tokens, merges)) return OK;
    return ERROR(STATUS_DATA,
                 "%s: no vocabulary in this directory; it needs encoder.json and vocab.bpe, "
                 "vocab.json and merges.txt, "
                 "gpt2.tiktoken or r50k_base.tiktoken",
                 path);
}

/* Finds the sibling of a .json file or of a merge list. Any other file counts as a rank file. */
static Status form_of_file(const char *path, char *tokens, char *merges) {
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    int length = slash == NULL ? 0 : (int)(slash - path);
    bool is_part = false;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const Form *form = &forms[i];
        if (form->merges == NULL) continue;
        is_part = is_part || strcmp(name, form->tokens) == 0 || strcmp(name, form->merges) == 0;
    }
    merges[0] = '\0';
    if (is_part && form_find(path, length, name, tokens, merges)) return OK;
    if (is_part)
        return ERROR(STATUS_DATA, "%s: the matching file of the pair is not beside it", path);
    if (snprintf(tokens, PATH_MAX, "%s", path) < PATH_MAX) return OK;
    return ERROR(STATUS_DATA, "%s: the path is too long", path);
}

static Status forms_load(const char *tokens, const char *merges, Vocabulary **out) {
    if (merges[0] == '\0') return ranks_load(tokens, out);
    TRY(encoder_load(tokens, out));
    return merges_load(*out, merges);
}

Status vocabulary_load(const char *path, Vocabulary **out) {
    char tokens[PATH_MAX], merges[PATH_MAX];
    struct stat info;
    *out = NULL;
    if (stat(path, &info) != 0) {
        return ERROR(STATUS_DATA,
                     "%s: cannot open the vocabulary: %s; name byte, gpt2, or a vocabulary's file",
                     path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        TRY(form_of_directory(path, tokens, merges));
    } else {
        TRY(form_of_file(path, tokens, merges));
    }
    Status status = forms_load(tokens, merges, out);
    if (failed(status)) vocabulary_destroy(out);
    return status;
}
