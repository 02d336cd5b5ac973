#include "launch/bench/bench.h"

#include <string.h>

Status bench_open_device(const BenchOptions *options, Device **out) {
    bool takes_gpu = options->device == BENCH_DEVICE_CUDA ||
                     (options->device == BENCH_DEVICE_AUTO && device_count_cuda() > 0);
    if (world_size(options->world) > 1) {
        return ERROR(STATUS_USAGE, "this benchmark measures one device: start it without mpirun");
    }
    TRY(takes_gpu ? device_open_cuda(0, out) : device_open_cpu(0, out));
    (*out)->autotune = true;
    (*out)->tf32 = options->dtype == BENCH_DTYPE_TF32;
    return OK;
}

/* Finds the next word of a comma-separated list; returns its length, 0 after the last. */
static size_t word_at(const char *list, int index, const char **word) {
    for (; index > 0 && *list != '\0'; index--) {
        list += strcspn(list, ",");
        list += *list == ',';
    }
    *word = list;
    return strcspn(list, ",");
}

const char *bench_backend_name(const BenchOptions *options, int index) {
    const char *word;
    if (options->backends == NULL) return index < ATTENTION_NAMES ? attention_names[index] : NULL;
    size_t length = word_at(options->backends, index, &word);
    for (int i = 0; i < ATTENTION_NAMES && length > 0; i++) {
        if (strlen(attention_names[i]) == length && strncmp(attention_names[i], word, length) == 0)
            return attention_names[i];
    }
    return NULL;
}

Status bench_check_backends(const BenchOptions *options) {
    const char *word;
    int count = 1;
    for (const char *c = options->backends; c != NULL && *c != '\0'; c++) count += *c == ',';
    for (int i = 0; options->backends != NULL && i < count; i++) {
        size_t length = word_at(options->backends, i, &word);
        if (bench_backend_name(options, i) != NULL) continue;
        return ERROR(STATUS_USAGE, "--backends: '%.*s' is none of %s, %s, %s, %s", (int)length,
                     word, attention_names[0], attention_names[1], attention_names[2],
                     attention_names[3]);
    }
    return OK;
}
