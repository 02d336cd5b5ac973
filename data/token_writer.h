/* Writes a token file of unknown length: to PATH.part, which takes PATH's name when it is complete and on the disk. */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

typedef struct TokenWriter TokenWriter;

/* token_writer_create: opens PATH.part for the tokenizer's tokens, in TOKENS_HDF5 or TOKENS_NANOGPT.
 *   Errors: STATUS_DATA where PATH is there and is no token file of that format (it is not replaced), or where another
 *   process writes it; STATUS_USAGE where the vocabulary does not fit the format; STATUS_FAILURE of the disk.
 *   Not collective. */
NODISCARD Status token_writer_create(const char *path, TokenFormat format, const Tokenizer *tokenizer,
                                     TokenWriter **out);

/* Removes PATH.part where it was not published. */
void token_writer_destroy(TokenWriter **writer);

NODISCARD Status token_writer_append(TokenWriter *writer, const TokenBuffer *tokens);
int64_t token_writer_count(const TokenWriter *writer);

/* token_writer_finish: completes PATH.part and waits until it is on the disk. Errors: STATUS_DATA without any token. */
NODISCARD Status token_writer_finish(TokenWriter *writer);

/* token_writer_publish: after finish: gives it its name, replacing an older file, and syncs the directory. */
NODISCARD Status token_writer_publish(TokenWriter *writer);
