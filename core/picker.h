/* Picker: selects the kernel that runs a node. Without a choice, the first row of the target's
 * device that accepts the node. */
#pragma once

#include "core/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The permitted kernels of an op by name, in order of preference. count 0: all, in the op's order.
 * A measured kernel precedes the order, the fastest first; 0 seconds: not measured. */
enum { KERNEL_MAX_CHOICES = 16 };
typedef struct KernelChoice {
    int count;
    const char *names[KERNEL_MAX_CHOICES];
    double seconds[KERNEL_MAX_CHOICES];
} KernelChoice;

/* The result for one row, for --plan and for the log. */
typedef struct KernelVerdict {
    const Kernel *kernel;
    const char *refusal; /* NULL: accepted */
    double seconds;      /* from the choice, for this name; 0: not measured */
} KernelVerdict;

/* The reason why a kernel of the target's device does not accept the node: an unsupported dtype, or
 * its own refusal. NULL if it accepts. Reads node->attrs, node->dtype, and the tensors that the
 * row's `refuses` reads. */
const char *kernel_refusal(const Kernel *kernel, const Node *node, const Target *target);

/* kernel_pick: *out = the kernel of node->op that runs the node: the fastest measured one, else the
 * first that accepts. A pure function of its arguments. `choice` may be NULL: any kernel.
 * `verdicts` (capacity KERNEL_MAX_CHOICES) receives every row of the target's device that the
 * choice names, in order of preference; *n_verdicts is their number.
 *   Errors: STATUS_CONFIG if the device has no such kernel, or if all refuse, with each reason. */
NODISCARD Status kernel_pick(const Node *node, const Target *target, const KernelChoice *choice,
                             KernelVerdict *verdicts, int *n_verdicts, const Kernel **out);

#ifdef __cplusplus
}
#endif
