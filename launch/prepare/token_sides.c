#include "launch/prepare/token_sides.h"

Status token_sides_create(const ShardOptions *options, const Tokenizer *tokenizer, bool has_val,
                          TokenSides *out) {
    *out = (TokenSides){.end_of_text = tokenizer_end_of_text(tokenizer)};
    TRY(shard_writer_create(options, "train", tokenizer, &out->writers[SIDE_TRAIN]));
    if (!has_val) return shards_refuse_old(options, "val");
    return shard_writer_create(options, "val", tokenizer, &out->writers[SIDE_VAL]);
}

Status token_sides_shuffle(TokenSides *sides, const char *directory, uint64_t seed) {
    return document_shuffle_create(directory, seed, &sides->shuffle);
}

void token_sides_destroy(TokenSides *sides) {
    for (int side = 0; side < SIDES; side++) shard_writer_destroy(&sides->writers[side]);
    document_shuffle_destroy(&sides->shuffle);
}

static Status document_begin(void *context, int side) {
    TokenSides *sides = context;
    ShardWriter *writer = sides->writers[sides->side = side];
    TokenBuffer end_of_text = {.tokens = &sides->end_of_text, .count = 1};
    return shard_writer_count(writer) > 0 ? shard_writer_append(writer, &end_of_text) : OK;
}

static Status document_append(void *context, const TokenBuffer *tokens) {
    TokenSides *sides = context;
    return shard_writer_append(sides->writers[sides->side], tokens);
}

Status token_sides_begin(TokenSides *sides, int side) {
    sides->documents[side]++;
    if (sides->shuffle == NULL) return document_begin(sides, side);
    document_shuffle_begin(sides->shuffle, side);
    return OK;
}

Status token_sides_append(TokenSides *sides, const TokenBuffer *tokens) {
    if (sides->shuffle == NULL) return document_append(sides, tokens);
    return document_shuffle_append(sides->shuffle, tokens);
}

Status token_sides_finish(TokenSides *sides) {
    ShuffledSink sink = {sides, document_begin, document_append};
    if (sides->shuffle != NULL) TRY(document_shuffle_drain(sides->shuffle, &sink));
    TRY(shard_writer_finish(sides->writers[SIDE_TRAIN]));
    return sides->writers[SIDE_VAL] == NULL ? OK : shard_writer_finish(sides->writers[SIDE_VAL]);
}

Status token_sides_publish(TokenSides *sides) {
    return shard_writers_publish(sides->writers, SIDES);
}
