/* ShardWriter: writes tokens as one file, DIR/NAME.SUFFIX, or as shards of equal size,
 * DIR/NAME_000000.SUFFIX and so on. Shards are cut anywhere, also within a document. Not
 * collective. */
#pragma once

#include "data/token_writer.h"

typedef struct ShardWriter ShardWriter;

typedef struct ShardOptions {
    const char *directory, *suffix; /* borrowed */
    TokenFormat format;
    int64_t shard_tokens; /* 0: one file */
} ShardOptions;

enum { MOST_SHARDS = 400 }; /* each is open until all are complete */

/* shard_writer_create: begins the first file. `tokenizer` is borrowed.
 *   Errors: those of token_writer_create; STATUS_USAGE for a path that is too long. */
NODISCARD Status shard_writer_create(const ShardOptions *options, const char *name,
                                     const Tokenizer *tokenizer, ShardWriter **out);

/* Removes unpublished files. */
void shard_writer_destroy(ShardWriter **writer);

/* Errors: STATUS_USAGE for more than MOST_SHARDS shards; those of the TokenWriter. */
NODISCARD Status shard_writer_append(ShardWriter *writer, const TokenBuffer *tokens);
int64_t shard_writer_count(const ShardWriter *writer);

/* The path of the file, or the pattern of the shards: DIR/NAME_*.SUFFIX. */
const char *shard_writer_path(const ShardWriter *writer);

/* Errors: those of token_writer_finish; STATUS_DATA if older shards beyond the last one are in the
 * directory, since the pattern would take them too. */
NODISCARD Status shard_writer_finish(ShardWriter *writer);

/* token_writers_publish for all files of `n` writers, NULL allowed. */
NODISCARD Status shard_writers_publish(ShardWriter *const *writers, size_t n);

/* STATUS_DATA if the file or a shard of this name exists, which a new train file would not match.
 */
NODISCARD Status shards_refuse_old(const ShardOptions *options, const char *name);
