/* Documents of packed rows, found where the tokens are: in the program, so that a captured graph
 * follows the batch. */
#pragma once

#include "core/program.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct DocumentsAttrs {
    int32_t end_of_text;
} DocumentsAttrs;

/* tokens (B, T) i32 -> ranges (2, B, T) i32: the first token of token t's document, and the one
 * behind its last. A document reaches up to and including its end-of-text token; a row begins and
 * ends one wherever it is cut. The relation is symmetric, so the same tensor is an attention call's
 * key_ranges and its query_ranges; with the causal mask a token sees its document up to itself. */
Tensor *documents_record(Program *p, Tensor *tokens, int32_t end_of_text);

#ifdef __cplusplus
}
#endif
