/* Token files of ./prepare, nanoGPT and llm.c. The content determines the format, never the file
 * name.
 *
 *   HDF5      a 1-D dataset `tokens`, uint16 or uint32, contiguous and unfiltered, with the
 *             attributes `tokenizer`, `tokenizer_hash`, `vocab_size`, `end_of_text` (hdf5_tokens.h)
 *   llm.c     256 int32 of header (magic, version, count), then uint16 (magic 20240520, version 1)
 *             or uint32 (magic 20240801, version 7)
 *   nanoGPT   uint16 without a header: any file of even size that is not recognized as another
 *             format
 *
 * Windows are read on demand, so the file may be larger than memory. A truncated file or a failing
 * disk gives a one-line error (core/base/input_file.h). */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct TokenFile TokenFile;

typedef enum TokenFormat { TOKENS_NANOGPT, TOKENS_LLMC, TOKENS_HDF5 } TokenFormat;

/* token_file_open: opens a token file and checks its header and its size. If the file names its
 * vocabulary, also checks tokens, as token_file_require_vocab does.
 *   Errors: STATUS_DATA if it does not exist (the message names the ./prepare command that makes
 *   it), is a directory, not readable, empty, truncated, a known other kind of file, of unknown
 *   version or odd size, HDF5 with links, filters, external or chunked storage, or has a token
 *   outside the vocabulary. Not collective. */
NODISCARD Status token_file_open(const char *path, TokenFile **out);

/* The same, but scans at most `mib` MiB of tokens. */
NODISCARD Status token_file_open_part(const char *path, int mib, TokenFile **out);
void token_file_destroy(TokenFile **file);

const char *token_file_path(const TokenFile *file);
TokenFormat token_file_format(const TokenFile *file);
int64_t token_file_count(const TokenFile *file);
int token_file_descriptor(const TokenFile *file);

/* The file's tokenizer; 0, "" or TOKENIZER_UNKNOWN (tokenizer.h), 0 and -1 if it names none. */
int64_t token_file_vocab(const TokenFile *file);
const char *token_file_tokenizer(const TokenFile *file);
uint64_t token_file_tokenizer_hash(const TokenFile *file);
int64_t token_file_end_of_text(const TokenFile *file);

/* token_file_require_vocab: requires every token to be less than vocab_size, that of a model. Scans
 * the whole file up to 256 MiB, and 256 MiB spread over a larger file; token_file_read checks all
 * tokens that it reads.
 *   Errors: STATUS_DATA if the file's vocabulary is larger, or for a token that is not less.
 *   Not collective. */
NODISCARD Status token_file_require_vocab(TokenFile *file, int64_t vocab_size);

/* The same, but scans at most `mib` MiB, 2 or more. */
NODISCARD Status token_file_require_vocab_in(TokenFile *file, int64_t vocab_size, int mib);

/* token_file_read: out[0..n) = tokens [start, start + n). Thread-safe.
 *   Errors: STATUS_DATA for a token outside the vocabulary, and if the file has become shorter;
 *   STATUS_FAILURE for a range outside the file, and if the disk cannot be read. */
NODISCARD Status token_file_read(const TokenFile *file, int64_t start, int64_t n, int32_t *out);
