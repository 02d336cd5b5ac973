#include "nn/attention/backend.h"

#include <stdio.h>
#include <string.h>

extern const AttentionBackend attention_flash_cpu, attention_mem_efficient_cpu, attention_math_cpu,
    attention_baseline_cpu;
extern const AttentionBackend attention_flash_sm90, attention_flash_sm80,
    attention_mem_efficient_cuda, attention_math_cuda, attention_baseline_cuda;

const AttentionBackend *const attention_backends[] = {
    &attention_flash_cpu,          &attention_mem_efficient_cpu,
    &attention_math_cpu,           &attention_baseline_cpu,
    &attention_flash_sm90,         &attention_flash_sm80,
    &attention_mem_efficient_cuda, &attention_math_cuda,
    &attention_baseline_cuda,      NULL,
};

const AttentionBackend *attention_row(const char *name, const AttentionCall *call,
                                      const Target *target, const char **refusal) {
    *refusal = "this device has none";
    for (int i = 0; attention_backends[i] != NULL; i++) {
        const AttentionBackend *row = attention_backends[i];
        if (row->device != target->kind || strcmp(row->name, name) != 0) continue;
        *refusal = row->refuses(call, target);
        if (*refusal == NULL) return row;
    }
    return NULL;
}

static void verdicts_add(const AttentionCall *call, const Target *target, const char *name,
                         double seconds, AttentionVerdict *verdicts, int *count) {
    for (int i = 0; attention_backends[i] != NULL && *count < ATTENTION_MAX_BACKENDS; i++) {
        const AttentionBackend *backend = attention_backends[i];
        if (backend->device != target->kind || (name != NULL && strcmp(backend->name, name) != 0))
            continue;
        verdicts[(*count)++] = (AttentionVerdict){backend, backend->refuses(call, target), seconds};
    }
}

/* The names asked for, where no row of the device has one of them. */
static Status none_here(const AttentionChoice *choice) {
    char names[256] = "";
    size_t used = 0;
    for (int i = 0; i < choice->count && used < sizeof names; i++) {
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                                 choice->names[i]);
    }
    return ERROR(STATUS_CONFIG, "attention.backends: this device has no %s; name another backend",
                 names);
}

static Status all_refuse(const AttentionVerdict *verdicts, int count) {
    char reasons[512] = "";
    size_t used = 0;
    for (int i = 0; i < count && used < sizeof reasons; i++) {
        used += (size_t)snprintf(reasons + used, sizeof reasons - used, "%s%s: %s",
                                 i > 0 ? "; " : "", verdicts[i].backend->name, verdicts[i].refusal);
    }
    return ERROR(STATUS_CONFIG, "attention.backends: no backend takes this call (%s)", reasons);
}

/* Whether an accepted backend goes before the one that was found so far: rows of one name share its
 * time, and there the first one stays. */
static bool is_better(const AttentionVerdict *verdict, const AttentionVerdict *best) {
    if (best == NULL) return true;
    return verdict->seconds > 0 && (best->seconds == 0 || verdict->seconds < best->seconds);
}

Status attention_pick(const AttentionCall *call, const Target *target,
                      const AttentionChoice *choice, AttentionVerdict *verdicts, int *n_verdicts,
                      const AttentionBackend **out) {
    const AttentionVerdict *best = NULL;
    *n_verdicts = 0;
    if (choice->count == 0) verdicts_add(call, target, NULL, 0, verdicts, n_verdicts);
    for (int i = 0; i < choice->count; i++) {
        verdicts_add(call, target, choice->names[i], choice->seconds[i], verdicts, n_verdicts);
    }
    for (int i = 0; i < *n_verdicts; i++) {
        if (verdicts[i].refusal == NULL && is_better(&verdicts[i], best)) best = &verdicts[i];
    }
    if (best == NULL)
        return *n_verdicts == 0 ? none_here(choice) : all_refuse(verdicts, *n_verdicts);
    *out = best->backend;
    return OK;
}
