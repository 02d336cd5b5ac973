/* The value of --separator. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

enum { MOST_SEPARATOR_BYTES = 256 };

typedef struct Separator {
    uint8_t bytes[MOST_SEPARATOR_BYTES];
    size_t length; /* 0: none */
} Separator;

/* separator_parse: \n, \r, \t and \\ stand for their characters; NULL is no separator.
 *   Errors: STATUS_USAGE for another escape and for more than MOST_SEPARATOR_BYTES bytes. */
NODISCARD Status separator_parse(const char *text, Separator *out);
