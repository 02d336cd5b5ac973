/* The workspace per thread of the two quadratic CPU backends in elements: (Tq, Tk), and scaled
 * copies of q and k. */
#pragma once

#include "nn/attention/sdpa.h"

#include <stddef.h>

static inline size_t quadratic_scratch(const AttentionCall *call) {
    return (size_t)(call->Tq * call->Tk + (call->Tq + call->Tk) * call->HS);
}
