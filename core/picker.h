/* Which kernel of an op runs a node: the first row of the target's device that takes it, or what a
 * choice prefers. */
#pragma once

#include "core/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which of an op's named kernels may be used, in which order. count 0: all, in the op's order.
 * Where seconds were measured, the fastest goes before the order; 0: not measured. */
enum { KERNEL_MAX_CHOICES = 16 };
typedef struct KernelChoice {
    int count;
    const char *names[KERNEL_MAX_CHOICES];
    double seconds[KERNEL_MAX_CHOICES];
} KernelChoice;

/* What the picker thinks of one row, for --plan and for the log. */
typedef struct KernelVerdict {
    const Kernel *kernel;
    const char *refusal; /* NULL: accepted */
    double seconds;      /* the choice's, of this name; 0: not measured */
} KernelVerdict;

/* Why a kernel of the target's device does not take the node: another dtype, or its own refusal;
 * NULL where it does. It reads node->attrs and node->dtype, and the tensors where a row's `refuses`
 * does. */
const char *kernel_refusal(const Kernel *kernel, const Node *node, const Target *target);

/* *out = the kernel of node->op that takes the node: the fastest of those that were measured, else
 * the first. A pure function of its arguments. `choice` may be NULL: any kernel. `verdicts` (room
 * for KERNEL_MAX_CHOICES) receives every row of the target's device that the choice names, in the
 * order of preference; *n_verdicts counts them.
 *   Errors: STATUS_CONFIG: the device has no such kernel, or all refuse, with each one's reason. */
NODISCARD Status kernel_pick(const Node *node, const Target *target, const KernelChoice *choice,
                             KernelVerdict *verdicts, int *n_verdicts, const Kernel **out);

#ifdef __cplusplus
}
#endif
