#include "core/picker.h"

#include <stdio.h>
#include <string.h>

static const char *dtypes_needed(unsigned dtypes) {
    static const struct {
        unsigned dtypes;
        const char *text;
    } sets[] = {
        {DTYPES_F32_F64, "needs f32 or f64"},   {DTYPES_HALF, "needs f16 or bf16"},
        {DTYPES_CPU, "needs f32, f64 or bf16"}, {DTYPES_REAL, "needs f32, f16 or bf16"},
        {DTYPE_BIT(DTYPE_F32), "needs f32"},    {DTYPE_BIT(DTYPE_I32), "needs i32"},
        {DTYPES_F8, "needs f8e4m3 or f8e5m2"},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (sets[i].dtypes == dtypes) return sets[i].text;
    }
    return "needs another dtype";
}

const char *kernel_refusal(const Kernel *kernel, const Node *node, const Target *target) {
    if ((kernel->dtypes & DTYPE_BIT(node->dtype)) == 0) return dtypes_needed(kernel->dtypes);
    return kernel->refuses == NULL ? NULL : kernel->refuses(node, target);
}

static const char *device_word(DeviceKind device) { return device == DEVICE_CPU ? "CPU" : "GPU"; }

static bool is_named(const Kernel *kernel, const char *name) {
    return name == NULL || (kernel->name != NULL && strcmp(kernel->name, name) == 0);
}

/* name NULL: all rows of the device. */
static void verdicts_add(const Node *node, const Target *target, const char *name, double seconds,
                         KernelVerdict *verdicts, int *count) {
    for (const Kernel *const *row = node->op->kernels; *row != NULL; row++) {
        if (*count == KERNEL_MAX_CHOICES) return;
        if ((*row)->device != target->kind || !is_named(*row, name)) continue;
        verdicts[(*count)++] = (KernelVerdict){*row, kernel_refusal(*row, node, target), seconds};
    }
}

static Status none_here(const Target *target, const KernelChoice *choice) {
    char names[256] = "";
    size_t used = 0;
    if (choice == NULL || choice->count == 0)
        return ERROR(STATUS_CONFIG, "the %s has no kernel for it", device_word(target->kind));
    for (int i = 0; i < choice->count && used < sizeof names; i++) {
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                                 choice->names[i]);
    }
    return ERROR(STATUS_CONFIG, "the %s has no kernel named %s; choose another",
                 device_word(target->kind), names);
}

static Status all_refuse(const KernelVerdict *verdicts, int count) {
    char reasons[512] = "";
    size_t used = 0;
    for (int i = 0; i < count && used < sizeof reasons; i++) {
        const Kernel *kernel = verdicts[i].kernel;
        used += (size_t)snprintf(
            reasons + used, sizeof reasons - used, "%s%s: %s", i > 0 ? "; " : "",
            kernel->name == NULL ? device_word(kernel->device) : kernel->name, verdicts[i].refusal);
    }
    return ERROR(STATUS_CONFIG, "no kernel supports this call (%s)", reasons);
}

/* Whether to prefer an accepted kernel to the best so far. Rows with the same name share its time;
 * the first of them wins. */
static bool is_better(const KernelVerdict *verdict, const KernelVerdict *best) {
    if (best == NULL) return true;
    return verdict->seconds > 0 && (best->seconds == 0 || verdict->seconds < best->seconds);
}

Status kernel_pick(const Node *node, const Target *target, const KernelChoice *choice,
                   KernelVerdict *verdicts, int *n_verdicts, const Kernel **out) {
    const KernelVerdict *best = NULL;
    int n_names = choice == NULL ? 0 : choice->count;
    *n_verdicts = 0;
    if (n_names == 0) verdicts_add(node, target, NULL, 0, verdicts, n_verdicts);
    for (int i = 0; i < n_names; i++)
        verdicts_add(node, target, choice->names[i], choice->seconds[i], verdicts, n_verdicts);
    for (int i = 0; i < *n_verdicts; i++) {
        if (verdicts[i].refusal == NULL && is_better(&verdicts[i], best)) best = &verdicts[i];
    }
    if (best == NULL)
        return *n_verdicts == 0 ? none_here(target, choice) : all_refuse(verdicts, *n_verdicts);
    *out = best->kernel;
    return OK;
}
