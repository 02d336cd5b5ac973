/* What was measured once and is kept on disk: text files in $HOURGLASS_CACHE, else in hourglass/
 * below $XDG_CACHE_HOME or ~/.cache. A line is `KEY = VALUE end`; the first line of a key that can
 * be read holds, so that ranks and later runs choose alike. Lines that were cut short or are no
 * lines at all are passed over. Where no file can be kept, nothing is found and nothing is added.
 * Not collective; processes exclude each other by the file's lock. */
#pragma once

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opens KIND-DEVICE-VERSION.txt and waits for its lock, for a minute at most, so that one process
 * measures and the others read; -1 where there is none, or where a link, a FIFO or a device has its
 * name. */
int cache_lock(const char *kind, const char *device, const char *version);
void cache_unlock(int cache);

/* Reads a value into `out`; false where the text is not one. */
typedef bool (*CacheParseFn)(const char *value, void *out);

/* Both may be given -1. A key holds no newline and no " = ". */
bool cache_find(int cache, const char *key, CacheParseFn parse, void *out);
void cache_add(int cache, const char *key, const char *value);

#ifdef __cplusplus
}
#endif
