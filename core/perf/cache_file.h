/* Measurements kept on disk: text files in $HOURGLASS_CACHE, else in hourglass/ below
 * $XDG_CACHE_HOME or ~/.cache. A line has the form `KEY = VALUE end`; the first readable line of a
 * key counts, so ranks and later runs use the same value. Truncated or malformed lines are skipped.
 * Without a usable file, lookups find nothing and additions do nothing. Not collective; the file's
 * lock serializes processes. */
#pragma once

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens KIND-DEVICE-VERSION.txt and waits up to a minute for its lock, so one process measures and
 * the others read. -1 if there is no file, or if the path is a link, a FIFO or a device. */
int cache_lock(const char *kind, const char *device, const char *version);
void cache_unlock(int cache);

/* Parses a value into `out`; false if the text is malformed. */
typedef bool (*CacheParseFn)(const char *value, void *out);

/* Both accept -1. A key contains no newline and no " = ". */
bool cache_find(int cache, const char *key, CacheParseFn parse, void *out);
void cache_add(int cache, const char *key, const char *value);

#ifdef __cplusplus
}
#endif
