/* Keys that are set and have no effect. */
#pragma once

#include "launch/config/config.h"

/* A warning that names the keys of an optimizer that is not in use and differ from their defaults,
 * such as optimizer.muon.lr without muon; "" if there are none. Presets may set them on purpose, so
 * they are no error. Errors: STATUS_OUT_OF_MEMORY. *text is for free(), also after a failure. */
NODISCARD Status config_unused(const Config *config, char **text);
