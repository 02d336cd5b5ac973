/* The standard streams of a program. A failed write to standard output is reported with its reason.
 * Standard descriptors that are closed at the start are reserved, so that no file gets their
 * number. Main thread. */
#pragma once

#include "core/status.h"

/* Call first in main. From now on stdout retries after EINTR and records the reason of a failed
 * write; later output is dropped. */
void streams_open(void);

/* Flushes stdout. Returns `status` if it is a failure; otherwise STATUS_FAILURE with the reason if
 * any output since streams_open was lost. */
NODISCARD Status streams_flush(Status status);

/* Call last in main. Calls streams_flush, warns if a directory could not be synced
 * (core/base/file.h), calls status_report, and returns the exit code. */
int streams_report(const char *program, Status status);
