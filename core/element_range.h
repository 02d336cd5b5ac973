/* ElementRange: a range of elements of a long vector. */
#pragma once

#include <stdint.h>

typedef struct ElementRange {
    int64_t first, count;
} ElementRange;
