/* CRC-32C (Castagnoli), as iSCSI and TFRecord files use it. Not collective.
 *   Source: RFC 3720, section 12.1: polynomial 0x1EDC6F41, reflected. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t n);
