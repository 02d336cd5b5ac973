/* Which point of a study is which directory on the disk. A study may grow and shrink between two
 * starts: a point is known by what it sets, not by its position in the sweep. */
#pragma once

#include "launch/config/sweep_points.h"
#include "launch/study/study.h"

/* Gives each point its directory: the one of its name where that was made for these settings;
 * otherwise one whose run has the same settings under another name; otherwise a new one of a free
 * name. Directories that belong to no point become study->former. Errors: STATUS_CONFIG for a
 * config.yaml that cannot be read. */
NODISCARD Status study_match(Study *study, const SweepPoints *sweep);
