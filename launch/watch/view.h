/* The view of ./watch: the panels of several runs, beside each other where they fit. All have the
 * same axes. Not collective. */
#pragma once

#include "launch/watch/watched_run.h"

typedef struct ViewSize {
    int columns, rows; /* rows 0: as many as it takes */
    bool unicode;
} ViewSize;

/* The view as text, for free(): no line is wider than size->columns. Curves run over steps, or over
 * tokens if the runs differ in the tokens of a step. Errors: STATUS_OUT_OF_MEMORY. */
NODISCARD Status view_text(const WatchedRun *runs, int n, const ViewSize *size, char **text);

/* Whether the environment names a UTF-8 locale. */
bool view_has_unicode(void);
