/* The workspace per thread of the two quadratic CPU backends in elements: (Tq, Tk), and scaled
 * copies of q and k; in bf16 also a second (Tq, Tk) and copies in f32 of the rows read and
 * written. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

static inline size_t quadratic_sums(const AttentionCall *call) {
    return (size_t)(call->Tq * call->Tk + (call->Tq + call->Tk) * call->HS);
}

static inline size_t quadratic_scratch(const AttentionCall *call) {
    int64_t copies = call->Tq * call->Tk + (3 * call->Tq + 4 * call->Tk) * call->HS;
    return quadratic_sums(call) + (call->dtype == DTYPE_BF16 ? (size_t)copies : 0);
}
