/* The gradient of the token and position tables over several ranks.
 *
 * wte is the lm_head too. That part of its gradient is dense, and complete when backward begins;
 * what the lookup adds is complete when backward ends, and only then could the whole table be
 * summed, with nothing left to hide it. But the lookup's part is no more than the rows of dx: so
 * the table is summed without it while backward runs, and at the end ranks gather each other's rows
 * and tokens, and each adds all of them, in the order of the ranks. For GPT-2 124M at B=12 in bf16
 * on two ranks that is 19 MB from the other rank at the end, in place of 79.
 *
 * The sum is another one in its last bits than that of whole tables, so this is for GPUs: CPUs
 * promise the same bits for every number of ranks. */
#pragma once

#include "core/collectives.h"
#include "nn/parameters.h"

typedef struct Tables {
    Node *lookup;          /* the embedding; its gradient is recorded by tables_add */
    Tensor *tokens, *rows; /* of all ranks: (ranks B, T), (ranks B, T, C) */
    Tensor *order;         /* of the tokens; may be NULL */
    const Collectives *ranks;
} Tables;

/* After forward has been recorded and before backward is: true where rows are no more than half the
 * tables' bytes; then the lookup's gradient is left out of backward. */
bool tables_take(Program *p, const Parameters *parameters, const Collectives *ranks, Tables *out);

/* Once backward is complete: puts a gather of all tokens into it. */
void tables_gather_tokens(Program *p, Tables *tables);

/* Starts to gather all rows. */
void tables_gather_rows(Program *p, Tables *tables);

/* Once the tokens have come, while the rows travel: what can be done without these. */
void tables_order(Program *p, Tables *tables);

/* Once the tables have been summed and the rows have come: adds them. */
void tables_add(Program *p, const Tables *tables);
