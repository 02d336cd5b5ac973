/* The lines that show a step of a run: a log line and the progress bar. Both leave out their least
 * important fields until they fit. Not collective. */
#pragma once

#include "launch/run/metric_record.h"
#include "launch/run/phases.h"

enum { STEP_LINE_BYTES = 256 };

/* `step 120/600 | loss 3.2817 | norm 0.41 | lr 6.0e-04 | 29.1 ms | 421 K tok/s | MFU 41.2% |
 * 9.1 GiB`, without MFU on a CPU. `last`: steps of the run, 0 if unknown. `columns`: at most so
 * wide; 0: no limit. */
void step_line(const Metric *metric, int64_t last, int columns, char text[STEP_LINE_BYTES]);

/* `######............  36% of 1 m 55 s | step 40 | loss 5.1234 | 1 m 14 s left`, at most `columns`
 * wide and never wider than 80: what ends the run, and how far it is. */
void bar_line(const Metric *metric, const RunEnd *end, int columns, char text[STEP_LINE_BYTES]);
