/* The page of ./watch: charts and a table of runs in one file, as in the report of a study. Not
 * collective. */
#pragma once

#include "launch/watch/watched_run.h"

/* Replaces `path`, if it is a page. While a run goes on, browsers reload the page every `reload_s`
 * seconds. Without gnuplot it has no charts, and says so. Errors: STATUS_DATA for another file;
 * STATUS_FAILURE. */
NODISCARD Status run_page_write(const WatchedRun *runs, int n, int reload_s, const char *path);
