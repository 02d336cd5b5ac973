/* The published encodings whose files do not hold their pattern: rank files of tiktoken, Llama 3
 * and Qwen. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { MAX_ENCODING_SPECIALS = 6 };

typedef struct EncodingSpecial {
    int32_t token;
    const char *text; /* NULL: the end of the list */
} EncodingSpecial;

typedef struct KnownEncoding {
    const char *name;
    const char *pattern; /* in the dialect of fancy-regex */
    bool has_nfc;        /* text is normalized to NFC */
    int64_t ranks;       /* tokens in the rank file */
    int64_t vocab_size;  /* with special tokens and unused ids */
    EncodingSpecial specials[MAX_ENCODING_SPECIALS];
} KnownEncoding;

/* "gpt2, r50k_base, ...", for messages. */
extern const char encoding_names[];

/* GPT-2's; also that of vocabularies without a named pattern. */
extern const KnownEncoding *const encoding_gpt2;

/* The encoding of a name; NULL if there is none. */
const KnownEncoding *encoding_named(const char *name);

/* The encoding whose rank file has this many tokens; NULL if there is none. */
const KnownEncoding *encoding_of_ranks(int64_t ranks);
