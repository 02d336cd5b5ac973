/* Token files: what ./prepare, nanoGPT and llm.c write, told apart by their content, never by their
 * name.
 *
 *   HDF5      a 1-D dataset `tokens`, uint16 or uint32, contiguous and unfiltered, with the
 *             attributes `tokenizer`, `tokenizer_hash`, `vocab_size`, `end_of_text` (hdf5_tokens.h)
 *   llm.c     256 int32 of header (magic, version, count), then uint16 (magic 20240520, version 1)
 *             or uint32 (magic 20240801, version 7)
 *   nanoGPT   nothing but uint16; so whatever has an even size and is not known to be something
 *             else
 *
 * A window is read when it is wanted, so that a file larger than memory can be read, and one that
 * is cut short or lies on a failing disk is an error in one line (core/base/input_file.h). */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct TokenFile TokenFile;

typedef enum TokenFormat { TOKENS_NANOGPT, TOKENS_LLMC, TOKENS_HDF5 } TokenFormat;

/* token_file_open: opens a token file and checks its header and its size; where it names its
 * vocabulary, tokens too, as token_file_require_vocab does.
 *   Errors: STATUS_DATA: not there (the message names the ./prepare command that makes it), a
 *   directory, not readable, empty, truncated, a known other kind of file, an unknown version, an
 *   odd number of bytes, HDF5 with links, filters, external or chunked storage, a token outside the
 *   vocabulary. Not collective. */
NODISCARD Status token_file_open(const char *path, TokenFile **out);
void token_file_destroy(TokenFile **file);

const char *token_file_path(const TokenFile *file);
TokenFormat token_file_format(const TokenFile *file);
int64_t token_file_count(const TokenFile *file);
int token_file_descriptor(const TokenFile *file);

/* What the file says of its tokenizer: 0, "", 0 and -1 where it does not say. */
int64_t token_file_vocab(const TokenFile *file);
const char *token_file_tokenizer(const TokenFile *file);
uint64_t token_file_tokenizer_hash(const TokenFile *file);
int64_t token_file_end_of_text(const TokenFile *file);

/* token_file_require_vocab: from here on every token must be below vocab_size, a model's. Looks
 * through the whole file up to 256 MiB, and through 256 MiB spread over a larger one;
 * token_file_read checks what it reads in any case.
 *   Errors: STATUS_DATA where the file's own vocabulary is larger, or for a token that is not
 *   below. Not collective. */
NODISCARD Status token_file_require_vocab(TokenFile *file, int64_t vocab_size);

/* token_file_read: out[0..n) = tokens [start, start + n). Safe from several threads.
 *   Errors: STATUS_DATA for a token outside the vocabulary, and where the file has become shorter;
 *   STATUS_FAILURE for a range outside the file, and where the disk cannot be read. */
NODISCARD Status token_file_read(const TokenFile *file, int64_t start, int64_t n, int32_t *out);
