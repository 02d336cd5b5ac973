#include "data/loader.h"

#include <string.h>

Status loader_init(const TokenFile *file, uint64_t seed, int64_t T, Loader *out) {
    out->file = file;
    Status status = batch_order_init(seed, token_file_count(file), T, &out->order);
    if (!failed(status)) return OK;
    return ERROR(status.code, "%s: %s; prepare more text or set a smaller model.block_size",
                 token_file_path(file), status_message());
}

static Status window_read(const Loader *loader, int64_t start, int32_t *inputs, int32_t *targets) {
    int64_t T = loader->order.T;
    TRY(token_file_read(loader->file, start, T, inputs));
    memcpy(targets, inputs + 1, (size_t)(T - 1) * sizeof *inputs);
    return token_file_read(loader->file, start + T, 1, targets + T - 1);
}

Status loader_fill(const Loader *loader, int64_t first, int64_t B, int32_t *inputs,
                   int32_t *targets) {
    int64_t T = loader->order.T;
    for (int64_t b = 0; b < B; b++) {
        int64_t start = batch_order_start(&loader->order, first + b);
        TRY(window_read(loader, start, inputs + b * T, targets + b * T));
    }
    return OK;
}
