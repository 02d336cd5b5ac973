/* The line that ./prepare refreshes on a terminal. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct PrepareProgress {
    bool is_terminal;
    double start, shown; /* seconds */
    int64_t bytes;       /* of all files; 0: unknown */
} PrepareProgress;

PrepareProgress progress_begin(void);

/* Shows the share of the bytes that are done, the rate and the time left, ten times a second at
 * most. */
void progress_show(PrepareProgress *progress, int64_t done);
void progress_clear(const PrepareProgress *progress);
