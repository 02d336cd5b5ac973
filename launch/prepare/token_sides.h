/* TokenSides: the token files of the two sides of a split, and what comes before them: an end of
 * text between documents, and the shuffle. Not collective. */
#pragma once

#include "data/document_shuffle.h"
#include "data/shard_writer.h"

#include <stdbool.h>

enum { SIDE_TRAIN, SIDE_VAL, SIDES };

typedef struct TokenSides {
    ShardWriter *writers[SIDES]; /* val: NULL if it has no file */
    int64_t documents[SIDES];
    DocumentShuffle *shuffle; /* NULL: documents stay in order */
    int32_t end_of_text;
    int side; /* of the current document */
} TokenSides;

/* Begins the files in options->directory. Errors: those of shard_writer_create and
 * shards_refuse_old. */
NODISCARD Status token_sides_create(const ShardOptions *options, const Tokenizer *tokenizer,
                                    bool has_val, TokenSides *out);

/* From now on documents are kept in `directory` until token_sides_finish, which shuffles them.
 * Errors: those of document_shuffle_create. */
NODISCARD Status token_sides_shuffle(TokenSides *sides, const char *directory, uint64_t seed);
void token_sides_destroy(TokenSides *sides);

/* Begins a document, and adds tokens to it. */
NODISCARD Status token_sides_begin(TokenSides *sides, int side);
NODISCARD Status token_sides_append(TokenSides *sides, const TokenBuffer *tokens);

/* Shuffles the documents if requested, and completes the files. */
NODISCARD Status token_sides_finish(TokenSides *sides);

/* Gives the files their names. */
NODISCARD Status token_sides_publish(TokenSides *sides);
