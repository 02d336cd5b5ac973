/* The attention backends: the kernels of the ops `attention` and `attention_backward`.
 *
 * A backend is two rows (core/kernel.h), one for each direction, and one line of the table below.
 * To add a backend, write a file with its kernels, a file with its rows, and that line. */
#pragma once

#include "core/program.h"
#include "nn/attention/sdpa.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The backends' names in the order of preference, each with its rows in order of preference: one
 * per device or GPU generation. The config's attention.backends and the picker use this table. */
/* clang-format off */
#define ATTENTION_BACKENDS(NAME, ROW)                                                              \
    NAME(flash) ROW(flash_cpu) ROW(flash_sm90) ROW(flash_sm80)                                     \
    NAME(mem_efficient) ROW(mem_efficient_cpu) ROW(mem_efficient_cuda)                             \
    NAME(math) ROW(math_cpu) ROW(math_cuda)                                                        \
    NAME(baseline) ROW(baseline_cpu) ROW(baseline_cuda)
/* clang-format on */

typedef struct AttentionBackend {
    Kernel forward; /* first: see attention_backend_of */
    Kernel backward;
    /* The dtype of lse and stats. In f32, half a unit in the last place at 30 causes an error of
     * 1e-6 in every weight that backward computes from it: ten times the other errors on the
     * CPU. */
    DType lse;
    bool saves_weights; /* keeps the weights (B, NH, Tq, Tk) for backward, quadratic in T; otherwise
                           the rows' stats */
} AttentionBackend;

/* The names of a row: ATTENTION_FORWARD("flash"), for CPU_ROW and CUDA_ROW. */
#define ATTENTION_FORWARD(backend) .name = backend, .shown = "attention_" backend
#define ATTENTION_BACKWARD(backend) .name = backend, .shown = "attention_" backend "_backward"

/* The backend of a forward kernel; NULL for NULL. */
static inline const AttentionBackend *attention_backend_of(const Kernel *forward) {
    return (const AttentionBackend *)forward;
}

#define ATTENTION_ONE_MORE(name) +1
#define ATTENTION_NO_MORE(row)
enum { ATTENTION_NAMES = ATTENTION_BACKENDS(ATTENTION_ONE_MORE, ATTENTION_NO_MORE) };

extern const char *const attention_names[];                /* ATTENTION_NAMES, then NULL */
extern const AttentionBackend *const attention_backends[]; /* all rows, then NULL */
extern const Op attention_op, attention_backward_op;

typedef struct AttentionAttrs {
    AttentionCall call;
    int64_t q_offset, k_offset, v_offset; /* elements from the start of the tensor that holds it; 0
                                             if q, k and v are separate tensors */
} AttentionAttrs;

/* The call of a node of either op. */
static inline const AttentionCall *attention_call(const Node *node) {
    return &((const AttentionAttrs *)node->attrs)->call;
}

/* As kernel_pick for a call; the choice is the config's attention.backends, and errors name that
 * key. */
NODISCARD Status attention_pick(const AttentionCall *call, const Target *target,
                                const KernelChoice *choice, KernelVerdict *verdicts,
                                int *n_verdicts, const AttentionBackend **out);

/* The reason why a backend of the target's device refuses the call; NULL if it accepts. */
const char *attention_refusal(const AttentionBackend *backend, const AttentionCall *call,
                              const Target *target);

/* The first row of the target's device that has this name and accepts the call; NULL, with the
 * reason, if there is none. */
const AttentionBackend *attention_row(const char *name, const AttentionCall *call,
                                      const Target *target, const char **refusal);

/* The keys [*first, *end) that query i sees under the masks of the call itself: all except ranges
 * and bias. */
static inline void attention_visible(const AttentionCall *call, int64_t i, int64_t *first,
                                     int64_t *end) {
    int64_t last = call->causal == CAUSAL_NONE         ? call->Tk
                   : call->causal == CAUSAL_UPPER_LEFT ? i + 1
                                                       : i + 1 + call->Tk - call->Tq;
    *first = call->causal != CAUSAL_NONE && call->window > 0 && last > call->window
                 ? last - call->window
                 : 0;
    *end = last < 0 ? 0 : last > call->Tk ? call->Tk : last;
    if (*first > *end) *first = *end;
}

/* As above for query i of row b, narrowed by the ranges if the call has any. */
static inline void attention_visible_in(const AttentionCall *call, const AttentionArgs *args,
                                        int64_t b, int64_t i, int64_t *first, int64_t *end) {
    attention_visible(call, i, first, end);
    if (!call->ranges) return;
    int64_t low = args->key_ranges[b * call->Tq + i],
            high = args->key_ranges[(call->B + b) * call->Tq + i];
    *first = *first < low ? low : *first;
    *end = *end > high ? high : *end;
    if (*first > *end) *first = *end;
}

#ifdef __cplusplus
}
#endif
