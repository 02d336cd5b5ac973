/* Assigns the points of a study to directories. A study may grow and shrink between two starts, so
 * the settings of a point identify it, not its position in the sweep. */
#pragma once

#include "launch/config/sweep_points.h"
#include "launch/study/study.h"

/* Gives each point from `first` on its directory; those before it have theirs. It is the one of the
 * point's name if that was created with these settings; otherwise one whose run has the same
 * settings under another name; otherwise a new one with a free name. Sets study->former to the
 * directories that belong to no point. Errors: STATUS_CONFIG for a config.yaml that cannot be read.
 */
NODISCARD Status study_match(Study *study, int first);
