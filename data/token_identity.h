/* What a token file holds, wherever it lies: the number of its tokens, and XXH3-128 of them as
 * 32-bit little-endian integers. So the same tokens in another format, or at another width, are the
 * same data.
 *
 * A file of 10 GB takes seconds to hash. It is done on a thread that the system runs where nothing
 * else wants the core, and the result is kept in $HOURGLASS_CACHE by the file's device, inode, size
 * and times of change (ns), so that the next start knows it at once. Not collective; the functions
 * below belong to one thread.
 * Source: github.com/Cyan4973/xxHash. */
#pragma once

#include "data/token_file.h"

#include <stdbool.h>

enum { IDENTITY_HASH_BYTES = 33 };

typedef struct TokenIdentity {
    int64_t count;                  /* 0: not known */
    char hash[IDENTITY_HASH_BYTES]; /* 32 hexadecimal digits; "" where it is not known yet */
} TokenIdentity;

typedef struct IdentityJob IdentityJob;

/* identity_start: finds the hash in the cache, or starts the thread that computes it. `file` is
 * borrowed and stays open until identity_destroy.
 *   Errors: STATUS_NO_ROOM; STATUS_FAILURE where no thread can be started. */
NODISCARD Status identity_start(const TokenFile *file, IdentityJob **out);
void identity_destroy(IdentityJob **job);

/* Whether identity_finish will answer at once. */
bool identity_is_known(const IdentityJob *job);

/* Called every few milliseconds while identity_finish computes. */
typedef void (*IdentityProgressFn)(void *context);

/* identity_finish: computes here what the thread has left to do. Called again, it looks whether the
 * file has changed since, and if so hashes it again.
 *   Errors: those of token_file_read; STATUS_DATA where the tokens are others than before, or
 *   change all the time. */
NODISCARD Status identity_finish(IdentityJob *job, IdentityProgressFn progress, void *context,
                                 TokenIdentity *out);

/* Whether both counts, and both hashes where both are known, are equal. */
bool identity_agrees(const TokenIdentity *a, const TokenIdentity *b);

/* "48212 tokens (xxh3 1a2b3c4d...)", the hash where it is known. */
enum { IDENTITY_TEXT_BYTES = 64 };
const char *identity_text(const TokenIdentity *identity, char text[IDENTITY_TEXT_BYTES]);
