/* Writes a token file of unknown length beside PATH. The file gets that name when it is complete
 * and on the disk (core/base/replacement.h). */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

typedef struct TokenWriter TokenWriter;

/* token_writer_create: begins a file of the tokenizer's tokens, in any format.
 *   Errors: STATUS_DATA if PATH exists and is not a token file of that format (it is not
 *   replaced); STATUS_USAGE if the vocabulary does not fit the format; STATUS_FAILURE of the disk.
 *   Not collective. */
NODISCARD Status token_writer_create(const char *path, TokenFormat format,
                                     const Tokenizer *tokenizer, TokenWriter **out);

/* Removes an unpublished file. */
void token_writer_destroy(TokenWriter **writer);

NODISCARD Status token_writer_append(TokenWriter *writer, const TokenBuffer *tokens);
int64_t token_writer_count(const TokenWriter *writer);

/* token_writer_finish: completes the file, to which nothing can be appended any more.
 *   Errors: STATUS_DATA if it has no tokens; STATUS_USAGE if it has more than llm.c's format can
 *   count; STATUS_FAILURE of the disk. */
NODISCARD Status token_writer_finish(TokenWriter *writer);

/* token_writers_publish: after finish, syncs n files that belong together and gives them their
 * names, replacing older files. If one cannot get its name, the older files are restored.
 * Errors: STATUS_FAILURE of the disk; STATUS_DATA if another file has appeared at the name. */
NODISCARD Status token_writers_publish(TokenWriter *const *writers, size_t n);
