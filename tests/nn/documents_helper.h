/* The op that finds documents, on any device. */
#pragma once

#include "core/device.h"

enum { DOCUMENTS_END = 3 }; /* the end-of-text token */

/* ranges (2, B, T) of tokens (B, T), both in host memory. */
NODISCARD Status documents_by(Device *device, int64_t B, int64_t T, const int32_t *tokens,
                              int32_t *ranges);

/* Random tokens; one in `rarity` is an end of text. */
void documents_random(int64_t count, uint32_t rarity, uint64_t seed, int32_t *tokens);
