/* Writes a token file of unknown length: beside PATH, whose name it takes when it is complete and
 * on the disk (core/base/replacement.h). */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

typedef struct TokenWriter TokenWriter;

/* token_writer_create: begins a file of the tokenizer's tokens, in TOKENS_HDF5 or TOKENS_NANOGPT.
 *   Errors: STATUS_DATA where PATH is there and is no token file of that format (it is not
 *   replaced); STATUS_USAGE
 * where the vocabulary does not fit the format; STATUS_FAILURE of the disk. Not collective. */
NODISCARD Status token_writer_create(const char *path, TokenFormat format,
                                     const Tokenizer *tokenizer, TokenWriter **out);

/* Nothing stays of what was not published. */
void token_writer_destroy(TokenWriter **writer);

NODISCARD Status token_writer_append(TokenWriter *writer, const TokenBuffer *tokens);
int64_t token_writer_count(const TokenWriter *writer);

/* token_writer_finish: completes the file. Errors: STATUS_DATA without any token; STATUS_FAILURE of
 * the disk. */
NODISCARD Status token_writer_finish(TokenWriter *writer);

/* token_writers_publish: after finish, of one or two files that belong together: syncs them and
 * gives them their names, replacing older files; where one cannot have its name, the older ones are
 * back. Errors: STATUS_FAILURE of the disk; STATUS_DATA where somebody has put a file there
 * meanwhile. */
NODISCARD Status token_writers_publish(TokenWriter *const *writers, size_t n);
