/* Finds the documents of packed rows. This is an op of the program, because a captured graph must
 * follow the batch. */
#pragma once

#include "core/program.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct DocumentsAttrs {
    int32_t end_of_text;
} DocumentsAttrs;

/* tokens (B, T) i32 -> ranges (2, B, T) i32: the first token of token t's document, and the
 * position after its last token. A document includes its end-of-text token; the start and the end
 * of a row also delimit documents. The relation is symmetric, so the same tensor serves as
 * key_ranges and as query_ranges of an attention call. With the causal mask a token sees its
 * document up to itself. */
Tensor *documents_record(Program *p, Tensor *tokens, int32_t end_of_text);

#ifdef __cplusplus
}
#endif
