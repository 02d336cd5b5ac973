#include "data/token_file.h"

#include "core/base/checked.h"
#include "core/base/utf8.h"
#include "data/hdf5_tokens.h"
#include "data/known_files.h"
#include "data/llmc_tokens.h"
#include "data/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    HEAD_BYTES = 4096, /* bytes read to detect the format */
    SCAN_BLOCK_BYTES = 1 << 20,
    SCAN_BLOCKS = 256,
    CHECKED_AT_ONCE = 8192,
};

struct TokenFile {
    char *path;
    InputFile input;
    TokenFormat format;
    TokenHeader header;
    uint32_t bound; /* every token is less; UINT32_MAX: unknown */
};

/* ---- which kind of file it is ---------------------------------------------------------------- */

typedef struct FileHead {
    uint8_t bytes[HEAD_BYTES];
    size_t size;
} FileHead;

/* In UTF-8; the end of the head may cut a character. */
static bool is_text(const FileHead *head) {
    size_t size = utf8_cut(head->bytes, head->size);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = head->bytes[i];
        bool is_control = byte < ' ' && byte != '\n' && byte != '\r' && byte != '\t';
        if (is_control || byte == 0x7f) return false;
    }
    bool is_whole = utf8_valid_prefix(head->bytes, size) == size;
    return is_whole && head->size >= 16; /* shorter matches could be tokens */
}

/* In UTF-16, the high byte first and without a mark: letters are multiples of 256 here, which few
 * tokens are. With the low byte first they cannot be told from the tokens of single bytes that
 * ./prepare --format=bin writes. */
static bool is_utf16(const FileHead *head) {
    size_t pairs = head->size / 2, letters = 0;
    for (size_t i = 0; i < pairs; i++) {
        uint8_t high = head->bytes[2 * i], low = head->bytes[2 * i + 1];
        letters += high == 0 && low >= ' ' && low != 0x7f;
    }
    return pairs >= 16 && 4 * letters >= 3 * pairs;
}

/* The high half of a float32 from 2^-20 to 2^18. */
static bool is_exponent(uint16_t half) {
    uint16_t magnitude = half & 0x7fff;
    return magnitude >= 0x3580 && magnitude <= 0x4880;
}

/* Wider elements than uint16, by their high halves at the odd places: those of ids are all 0 beside
 * low halves of which a quarter is not, or small beside large ones; those of floating-point numbers
 * are exponents, and the low ones are not. Tokens are like that at no 16, 256 or 64 odd places on
 * end. NULL: not known to be. */
static const char *wide_elements(const FileHead *head) {
    size_t pairs = head->size / 4, low_sum = 0, low_exponents = 0, exponents = 0, zeros = 0,
           low_others = 0;
    uint16_t high_most = 0;
    for (size_t i = 0; i < pairs; i++) {
        uint16_t pair[2];
        memcpy(pair, head->bytes + 4 * i, sizeof pair);
        low_sum += pair[0];
        low_others += pair[0] != 0;
        low_exponents += is_exponent(pair[0]);
        exponents += is_exponent(pair[1]);
        zeros += pair[1] == 0;
        high_most = pair[1] > high_most ? pair[1] : high_most;
    }
    bool are_small = pairs >= 16 && high_most == 0 && 4 * low_others >= pairs,
         are_large = pairs >= 256 && high_most < 4 && low_sum >= 1024 * pairs,
         are_real = pairs >= 64 && exponents + zeros == pairs && 4 * exponents >= pairs &&
                    2 * low_exponents < pairs;
    if (are_small || are_large) return "integers of 32 or 64 bits";
    return are_real ? "floating-point numbers" : NULL;
}

static Status nanogpt_read(TokenFile *file, const FileHead *head) {
    /* A headerless token file could start with the same bytes, but is unlikely to. */
    const KnownFile *known = known_file_find(head->bytes, head->size);
    if (known != NULL && known->as_tokens != NULL) {
        return ERROR(STATUS_DATA, "%s: not a token file: it is %s; %s", file->path, known->what,
                     known->as_tokens);
    }
    if (is_text(head)) {
        return ERROR(STATUS_DATA,
                     "%s: is text, not a token file; make token files with ./prepare %s --out=DIR",
                     file->path, file->path);
    }
    if (is_utf16(head)) {
        return ERROR(STATUS_DATA,
                     "%s: not a token file: it is text in UTF-16; convert it with iconv -f "
                     "UTF-16BE -t UTF-8 and use ./prepare",
                     file->path);
    }
    const char *wide = wide_elements(head);
    if (wide != NULL) {
        return ERROR(STATUS_DATA,
                     "%s: not a token file: its elements are %s; write them as uint16, or in "
                     "llm.c's format",
                     file->path, wide);
    }
    if (file->input.bytes % 2 != 0) {
        return ERROR(STATUS_DATA,
                     "%s: neither HDF5 nor llm.c's format, and %llu bytes are not a whole number "
                     "of uint16 tokens: "
                     "truncated or another kind of file; make it again with ./prepare",
                     file->path, (unsigned long long)file->input.bytes);
    }
    file->header =
        (TokenHeader){.end_of_text = -1, .width = 2, .count = (int64_t)(file->input.bytes / 2)};
    return OK;
}

static int llmc_kind(const FileHead *head) {
    int32_t magic;
    if (head->size < sizeof magic) return -1;
    memcpy(&magic, head->bytes, sizeof magic);
    for (int i = 0; i < LLMC_KINDS; i++) {
        if (llmc_kinds[i].magic == magic) return i;
    }
    return -1;
}

/* Detects an llm.c file of an unknown year: the magic number is a date, and the rest of the header
 * is zero. */
static bool is_other_llmc(const FileHead *head) {
    int32_t header[LLMC_HEADER_BYTES / 4];
    if (head->size < sizeof header) return false;
    memcpy(header, head->bytes, sizeof header);
    for (size_t i = 3; i < LLMC_HEADER_BYTES / 4; i++) {
        if (header[i] != 0) return false;
    }
    return header[0] >= 20200101 && header[0] <= 20991231;
}

static Status llmc_read(TokenFile *file, const FileHead *head) {
    int32_t header[3];
    int kind = llmc_kind(head), width = llmc_kinds[kind].width;
    if (file->input.bytes < LLMC_HEADER_BYTES) {
        return ERROR(
            STATUS_DATA,
            "%s: truncated: llm.c's header alone is %d bytes, the file is %zu; make it again",
            file->path, LLMC_HEADER_BYTES, head->size);
    }
    memcpy(header, head->bytes, sizeof header);
    if (header[1] != llmc_kinds[kind].version) {
        return ERROR(
            STATUS_DATA,
            "%s: llm.c's magic number %d with the unknown version %d (known: %d); convert the file",
            file->path, header[0], header[1], llmc_kinds[kind].version);
    }
    size_t tokens = (size_t)file->input.bytes - LLMC_HEADER_BYTES, there = tokens / (size_t)width;
    bool is_whole = tokens % (size_t)width == 0;
    if (header[2] <= 0 || !is_whole || there != (size_t)header[2]) {
        return ERROR(STATUS_DATA,
                     "%s: its header says %d tokens, the file holds %zu: truncated or damaged; "
                     "make it again",
                     file->path, header[2], there);
    }
    file->header = (TokenHeader){
        .end_of_text = -1, .width = width, .count = header[2], .offset = LLMC_HEADER_BYTES};
    if (width == 4) strcpy(file->header.tokenizer, TOKENIZER_UNKNOWN); /* llm.c's GPT-2: uint16 */
    return OK;
}

static Status header_read(TokenFile *file) {
    FileHead head = {.size =
                         file->input.bytes < HEAD_BYTES ? (size_t)file->input.bytes : HEAD_BYTES};
    bool is_hdf5;
    TRY(input_read(&file->input, head.bytes, head.size, 0));
    TRY(hdf5_tokens_are(&file->input, &is_hdf5));
    if (is_hdf5) {
        file->format = TOKENS_HDF5;
        return hdf5_tokens_read(&file->input, &file->header);
    }
    file->format = llmc_kind(&head) >= 0 ? TOKENS_LLMC : TOKENS_NANOGPT;
    if (file->format == TOKENS_LLMC) return llmc_read(file, &head);
    if (!is_other_llmc(&head)) return nanogpt_read(file, &head);
    return ERROR(
        STATUS_DATA,
        "%s: wrong magic number: llm.c's token files have 20240520 or 20240801; convert the file",
        file->path);
}

/* ---- opening --------------------------------------------------------------------------------- */

static Status missing(const char *path) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    int length = slash == NULL ? 1 : (int)(slash - path);
    const char *format = dot != NULL && strcmp(dot, ".bin") == 0 ? " --format=bin" : "";
    return ERROR(STATUS_DATA, "%s: no such file; make it with ./prepare INPUT... --out=%.*s%s",
                 path, length, slash == NULL ? "." : path, format);
}

/* Handles the cases whose fix differs from that of other input files. */
static Status path_check(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return errno == ENOENT || errno == ENOTDIR ? missing(path) : OK;
    if (!S_ISDIR(info.st_mode)) return OK;
    int length = (int)strlen(path);
    while (length > 0 && path[length - 1] == '/') length--;
    return ERROR(STATUS_DATA, "%s: is a directory; name a token file in it, such as %.*s/train.h5",
                 path, length, path);
}

static Status file_open(TokenFile *file, int mib) {
    TRY(path_check(file->path));
    TRY(input_open(file->path, &file->input));
    if (file->input.bytes == 0)
        return ERROR(STATUS_DATA, "%s: is empty; make it again with ./prepare", file->path);
    TRY(header_read(file));
    if (file->header.vocab_size == 0) return OK;
    return token_file_require_vocab_in(file, file->header.vocab_size, mib);
}

Status token_file_open(const char *path, TokenFile **out) {
    return token_file_open_part(path, SCAN_BLOCKS, out);
}

Status token_file_open_part(const char *path, int mib, TokenFile **out) {
    *out = NULL;
    TokenFile *file = calloc(1, sizeof *file);
    if (file == NULL || (file->path = strdup(path)) == NULL) {
        free(file);
        return OUT_OF_MEMORY("%s", path);
    }
    file->input.fd = -1;
    file->bound = UINT32_MAX;
    Status status = file_open(file, mib);
    if (failed(status)) token_file_destroy(&file);
    *out = file;
    return status;
}

void token_file_destroy(TokenFile **file) {
    if (file == NULL || *file == NULL) return;
    input_close(&(*file)->input);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

const char *token_file_path(const TokenFile *file) { return file->path; }
TokenFormat token_file_format(const TokenFile *file) { return file->format; }
int64_t token_file_count(const TokenFile *file) { return file->header.count; }
int token_file_descriptor(const TokenFile *file) { return file->input.fd; }
int64_t token_file_vocab(const TokenFile *file) { return file->header.vocab_size; }
const char *token_file_tokenizer(const TokenFile *file) { return file->header.tokenizer; }
uint64_t token_file_tokenizer_hash(const TokenFile *file) { return file->header.tokenizer_hash; }
int64_t token_file_end_of_text(const TokenFile *file) { return file->header.end_of_text; }

/* ---- reading --------------------------------------------------------------------------------- */

/* Tokens of two bytes are read into the second half of `out` and widened in place, from the
 * front. */
static Status load(const TokenFile *file, int64_t start, int64_t n, uint32_t *out) {
    size_t width = (size_t)file->header.width, bytes = (size_t)n * width;
    uint8_t *raw = (uint8_t *)out + ((size_t)n * sizeof *out - bytes);
    TRY(input_read(&file->input, raw, bytes, file->header.offset + (size_t)start * width));
    for (int64_t i = 0; width == 2 && i < n; i++) {
        uint16_t token;
        memcpy(&token, raw + 2 * i, sizeof token);
        out[i] = token;
    }
    return OK;
}

static Status outside_vocab(const TokenFile *file, int64_t start, const uint32_t *tokens) {
    int64_t at = 0;
    while (tokens[at] < file->bound) at++;
    return ERROR(
        STATUS_DATA,
        "%s: token %u at position %lld is not below the vocabulary size %u: damaged, another kind "
        "of file, or "
        "made with another tokenizer; make it again with ./prepare or set model.vocab_size",
        file->path, tokens[at], (long long)(start + at), file->bound);
}

static Status tokens_check(const TokenFile *file, int64_t start, const uint32_t *tokens,
                           int64_t n) {
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) largest = tokens[i] > largest ? tokens[i] : largest;
    return largest < file->bound ? OK : outside_vocab(file, start, tokens);
}

static Status scan(const TokenFile *file, int64_t start, int64_t n) {
    uint32_t tokens[CHECKED_AT_ONCE];
    for (int64_t at = 0; at < n; at += CHECKED_AT_ONCE) {
        int64_t some = n - at < CHECKED_AT_ONCE ? n - at : CHECKED_AT_ONCE;
        TRY(load(file, start + at, some, tokens));
        TRY(tokens_check(file, start + at, tokens, some));
    }
    return OK;
}

Status token_file_require_vocab(TokenFile *file, int64_t vocab_size) {
    return token_file_require_vocab_in(file, vocab_size, SCAN_BLOCKS);
}

Status token_file_require_vocab_in(TokenFile *file, int64_t vocab_size, int mib) {
    if (vocab_size < file->header.vocab_size) {
        return ERROR(STATUS_DATA,
                     "%s: made with a vocabulary of %lld tokens, more than the model's %lld; set "
                     "model.vocab_size to at "
                     "least %lld or make the file again with ./prepare",
                     file->path, (long long)file->header.vocab_size, (long long)vocab_size,
                     (long long)file->header.vocab_size);
    }
    if (vocab_size < (int64_t)file->bound) file->bound = (uint32_t)vocab_size;
    if (file->header.width == 2 && file->bound > UINT16_MAX) return OK; /* every token is valid */
    int64_t count = file->header.count, block = SCAN_BLOCK_BYTES / file->header.width;
    if (count <= mib * block) return scan(file, 0, count);
    for (int64_t i = 0; i < mib; i++) TRY(scan(file, (count - block) / (mib - 1) * i, block));
    return OK;
}

Status token_file_read(const TokenFile *file, int64_t start, int64_t n, int32_t *out) {
    if (start < 0 || n < 0 || start > file->header.count - n) {
        return ERROR(STATUS_FAILURE, "%s: tokens %lld to %lld are outside the file's %lld",
                     file->path, (long long)start, (long long)(start + n),
                     (long long)file->header.count);
    }
    uint32_t *tokens = (uint32_t *)out;
    TRY(load(file, start, n, tokens));
    return tokens_check(file, start, tokens, n);
}
