/* DocumentSplit: which documents are for validation, a random choice that the seed determines.
 *
 * Of fraction f, documents are numbered from 0 and cut into runs of 1 / f, from ceil(k / f) up to
 * ceil((k + 1) / f) for k = 0, 1, ...; one document of each run, drawn by Philox (core/rng.h) of
 * the seed and k, is for validation. The number of documents need not be known, and any part of the
 * set gives its share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Whether document `index` is for validation; 0 <= fraction < 1. */
bool document_split_is_val(uint64_t seed, double fraction, int64_t index);
