#include "launch/base/crc32c.h"

/* Bit by bit: a run writes a few hundred bytes at a time. */
uint32_t crc32c(const void *bytes, size_t n) {
    const uint32_t polynomial = 0x82f63b78;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= ((const unsigned char *)bytes)[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (polynomial & -(crc & 1));
    }
    return ~crc;
}
