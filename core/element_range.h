/* Span: a range of elements of a long vector. */
#pragma once

#include <stdint.h>

typedef struct Span {
    int64_t first, count;
} Span;
