/* What the two quadratic CPU backends need a thread: (Tq, Tk), and room for scaled copies of q and
 * k. In elements. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

static inline size_t quadratic_scratch(const AttentionCall *call) {
    return (size_t)(call->Tq * call->Tk + (call->Tq + call->Tk) * call->HS);
}
