/* The standard streams of a program. What cannot be written to the standard output is a failure
 * with its reason, not a silence; a stream that is closed from the start is kept from becoming some
 * other file. Main thread. */
#pragma once

#include "core/status.h"

/* First in main. From here on stdout goes on after EINTR, and remembers why a write failed; what
 * comes after that failure is dropped. */
void streams_open(void);

/* Writes out what stdout holds. `status` where it is a failure already; or STATUS_FAILURE with the
 * reason why something that was printed since streams_open is lost. */
NODISCARD Status streams_flush(Status status);

/* Last in main: streams_flush, then a warning where a directory could not be synced
 * (core/base/file.h), then status_report; the exit code. */
int streams_report(const char *program, Status status);
