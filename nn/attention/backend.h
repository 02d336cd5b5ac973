/* The attention backends: one row each in a table whose order is the preference.
 *
 * A backend says why it refuses a call, what it needs, and which two ops run it. Adding one is one
 * new file with its row's content and one line in nn/attention/picker.c. */
#pragma once

#include "core/program.h"
#include "nn/attention/sdpa.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct AttentionBackend {
    const char *name;
    DeviceKind device;

    /* Why this call cannot run on this target ("needs f16 or bf16, got f32"); NULL where it can. */
    const char *(*refuses)(const AttentionCall *call, const Target *target);

    /* Bytes of scratch in each direction. */
    size_t (*forward_workspace)(const AttentionCall *call, const Target *target);
    size_t (*backward_workspace)(const AttentionCall *call, const Target *target);

    bool saves_weights; /* keeps softmax's (B, NH, Tq, Tk) for backward, quadratic in T; else the
                           rows' stats */

    const Op *forward, *backward;
} AttentionBackend;

/* All of them, in the order of preference; NULL ends the list. A name may have several rows: one a
 * device, or one a GPU generation. */
extern const AttentionBackend *const attention_backends[];

/* Which backends may be used, in which order: the config's attention.backends. count 0: all, in the
 * table's order. Where seconds were measured (nn/attention/measure.h), the fastest goes before the
 * order; 0: not measured. */
enum { ATTENTION_MAX_BACKENDS = 16 };
typedef struct AttentionChoice {
    int count;
    const char *names[ATTENTION_MAX_BACKENDS];
    double seconds[ATTENTION_MAX_BACKENDS];
} AttentionChoice;

/* What the picker thinks of one backend, for --plan and for the log. */
typedef struct AttentionVerdict {
    const AttentionBackend *backend;
    const char *refusal; /* NULL: accepted */
    double seconds;      /* the choice's, of this name; 0: not measured */
} AttentionVerdict;

/* The backend of the choice that takes the call: the fastest of those that were measured, else the
 * first. A pure function of its arguments. `verdicts` (room for ATTENTION_MAX_BACKENDS) receives
 * every row of the target's device that the choice names, in the order of preference; *n_verdicts
 * says how many. STATUS_CONFIG naming each one's reason where all refuse. */
NODISCARD Status attention_pick(const AttentionCall *call, const Target *target,
                                const AttentionChoice *choice, AttentionVerdict *verdicts,
                                int *n_verdicts, const AttentionBackend **out);

/* The row of the target's device that takes the call under a name, the first of several; NULL, and
 * why, where none does. */
const AttentionBackend *attention_row(const char *name, const AttentionCall *call,
                                      const Target *target, const char **refusal);

/* What a device keeps the log-sum-exp in. Half a unit in the last place of an f32 at 30 is an error
 * of 1e-6 in every weight that backward computes from it: ten times that of the rest on the CPU. */
static inline DType attention_lse_dtype(DeviceKind device) {
    return device == DEVICE_CPU ? DTYPE_F64 : DTYPE_F32;
}

/* The keys that query i sees, [*first, *end), by the masks that the call itself tells: all but
 * ranges and bias. */
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

/* The same for query i of row b where the call has ranges, which narrow it. */
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
