/* The first bytes of a zstd frame, which are recognized with and without libzstd. Source:
 * RFC 8878, section 3.1.1. */
#pragma once

#include <stdint.h>

static const uint8_t zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
