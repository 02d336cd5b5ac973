/* Follows metrics.jsonl of a run, which may be writing it: each call reads what is new. Not
 * collective. */
#pragma once

#include "launch/run/run_files.h"

#include <sys/types.h>

typedef struct Follower {
    RunRecords records;
    size_t capacity, offset; /* of the records; bytes of the file that have been read */
    ino_t inode;
} Follower;

/* Appends the complete new lines to `records`. Starts again if the file has been replaced, as a
 * resumed run does, or is shorter. Errors: STATUS_FAILURE, STATUS_OUT_OF_MEMORY. */
NODISCARD Status follower_read(Follower *follower, const char *directory);
void follower_free(Follower *follower);
