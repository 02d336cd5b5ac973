/* Attributes that several ops share. */
#pragma once

#include <stdbool.h>

/* Whether the op adds to its first output instead of setting it. */
typedef struct AccumulateAttrs {
    bool accumulate;
} AccumulateAttrs;
