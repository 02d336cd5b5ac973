#include "data/evaluation_set.h"

#include "data/batch_order.h"

#include <string.h>

enum {
    ORDER_SEED = 1
}; /* the key of the permutation; a change would make old and new losses incomparable */

static int64_t windows_of(int64_t targets, int64_t T) { return targets / T + (targets % T > 0); }

Status evaluation_set_init(const TokenSet *from, int64_t T, int64_t tokens, EvaluationSet *out) {
    int64_t targets = token_set_count(from) - 1, whole = targets / T,
            wanted = windows_of(tokens, T);
    if (targets < 1) {
        return ERROR(
            STATUS_DATA,
            "%s: an evaluation needs at least 2 tokens, but the file has %lld; prepare more text",
            token_set_path(from), (long long)token_set_count(from));
    }
    *out = (EvaluationSet){.tokens = from,
                           .T = T,
                           .count = wanted,
                           .targets = wanted * T,
                           .among = whole,
                           .stride = T};
    if (tokens != EVALUATION_ALL && wanted <= whole) return OK;
    *out = (EvaluationSet){
        .tokens = from, .T = T, .count = windows_of(targets, T), .targets = targets, .stride = T};
    return OK;
}

void evaluation_set_slide(EvaluationSet *set, int64_t stride) {
    int64_t targets = token_set_count(set->tokens) - 1, rest = targets - set->T;
    set->stride = stride;
    set->targets = targets;
    set->among = 0;
    set->count = 1 + (rest > 0 ? windows_of(rest, stride) : 0);
}

EvaluationWindow evaluation_set_window(const EvaluationSet *set, int64_t i) {
    int64_t window = set->among == 0 ? i : batch_order_permute(ORDER_SEED, 0, set->among, i);
    int64_t start = window * set->stride, left = token_set_count(set->tokens) - 1 - start;
    int64_t skipped = i == 0 ? 0 : set->T - set->stride;
    return (EvaluationWindow){start, left < set->T ? left : set->T, skipped};
}

static Status row_fill(const EvaluationSet *set, EvaluationWindow window, int32_t *inputs,
                       int32_t *targets) {
    size_t rest = (size_t)(set->T - window.length) * sizeof *inputs;
    memset(inputs + window.length, 0, rest);
    memset(targets + window.length, 0, rest);
    TRY(token_set_read(set->tokens, window.start, window.length, inputs));
    return token_set_read(set->tokens, window.start + 1, window.length, targets);
}

Status evaluation_set_fill(const EvaluationSet *set, int64_t first, int64_t B, int32_t *inputs,
                           int32_t *targets) {
    for (int64_t b = 0; b < B; b++) {
        EvaluationWindow window = {0};
        if (first + b < set->count) window = evaluation_set_window(set, first + b);
        TRY(row_fill(set, window, inputs + b * set->T, targets + b * set->T));
    }
    return OK;
}
