/* Documents of random lengths packed into rows: what a document-masked batch looks like. */
#pragma once

#include "core/status.h"

#include <stdint.h>

/* ranges (2, B, T): first and end of the document that a token belongs to, which serves as AttentionArgs.key_ranges and
 * query_ranges alike. Lengths are exponentially distributed with the mean; the last document of a row is cut.
 * *pairs = query and key pairs that a causal call then sees, over all rows. */
void documents_draw(int64_t B, int64_t T, int64_t mean, uint64_t seed, int32_t *ranges, double *pairs);
