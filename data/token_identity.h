/* The identity of a set of tokens: their number, and the XXH3-128 hash of the tokens as 32-bit
 * little-endian integers. The same tokens in another format or width, or cut into other files, have
 * the same identity. Of a set with weights the hash also covers the size and weight of each part.
 *
 * Hashing a file of 10 GB takes seconds. A background thread of idle priority does it and caches
 * the result in $HOURGLASS_CACHE by the files' devices, inodes, sizes and times of change (ns), so
 * the next start finds it at once. Not collective; all functions belong to one thread. Source:
 * github.com/Cyan4973/xxHash. */
#pragma once

#include "data/token_set.h"

#include <stdbool.h>

enum { IDENTITY_HASH_BYTES = 33 };

typedef struct TokenIdentity {
    int64_t count;                  /* 0: unknown */
    char hash[IDENTITY_HASH_BYTES]; /* 32 hexadecimal digits; "" if not yet known */
} TokenIdentity;

typedef struct IdentityJob IdentityJob;

/* identity_start: finds the hash in the cache, or starts the thread that computes it. `tokens` is
 * borrowed and must stay open until identity_destroy.
 *   Errors: STATUS_OUT_OF_MEMORY; STATUS_FAILURE if no thread can be started. */
NODISCARD Status identity_start(const TokenSet *tokens, IdentityJob **out);
void identity_destroy(IdentityJob **job);

/* Whether identity_finish will return at once. */
bool identity_is_known(const IdentityJob *job);

/* Called every few milliseconds while identity_finish computes. */
typedef void (*IdentityProgressFn)(void *context);

/* identity_finish: computes the remaining part of the hash on the calling thread. A later call
 * checks whether a file has changed, and if so hashes them again.
 *   Errors: those of token_set_read; STATUS_DATA if the tokens differ from before, or keep
 *   changing. */
NODISCARD Status identity_finish(IdentityJob *job, IdentityProgressFn progress, void *context,
                                 TokenIdentity *out);

/* Whether the counts are equal and the hashes, if both are known, are equal. */
bool identity_agrees(const TokenIdentity *a, const TokenIdentity *b);

/* "48212 tokens (xxh3 1a2b3c4d...)"; the hash only if known. */
enum { IDENTITY_TEXT_BYTES = 64 };
const char *identity_text(const TokenIdentity *identity, char text[IDENTITY_TEXT_BYTES]);
