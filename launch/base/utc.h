/* The system's date, for logs that people read. Durations come from core/base/clock.h. */
#pragma once

enum { UTC_BYTES = 32 };

/* Seconds since 1970, for files that other tools read. */
double utc_seconds(void);

/* "2026-11-29T20:15:00Z". */
void utc_now(char out[UTC_BYTES]);
