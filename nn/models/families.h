/* The list of model families. */
#pragma once

#include "nn/model.h"

/* The family with this name, or NULL. */
const ModelFamily *model_family(const char *name);
