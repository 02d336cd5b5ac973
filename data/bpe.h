/* Byte-pair encoding of one piece of text. Starts from single bytes and repeatedly merges the pair
 * of the smallest rank, leftmost first, until no pair merges. Source: Sennrich et al.,
 * arXiv:1508.07909, section 3.2. */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"
#include "data/vocabulary.h"

/* bpe_encode: appends the tokens of piece[0..length). O(length^2) for a word; O(length log length)
 * from a few dozen bytes on, so that a megabyte without a space costs no more than other text.
 *   Errors: STATUS_OUT_OF_MEMORY. Not collective. */
NODISCARD Status bpe_encode(const Vocabulary *vocabulary, const uint8_t *piece, size_t length,
                            TokenBuffer *out);
