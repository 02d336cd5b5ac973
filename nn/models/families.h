/* The list of model families. */
#pragma once

#include "nn/model.h"

/* The family of a name; NULL: there is none. */
const ModelFamily *model_family(const char *name);
