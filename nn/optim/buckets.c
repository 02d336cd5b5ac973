#include "nn/optim/buckets.h"

#include <string.h>

void bucket_nodes_sort(const Program *p, BucketNode *list, int count) {
    int sorted = 0;
    for (int n = 0; n < p->n_nodes; n++) {
        for (int i = sorted; i < count; i++) {
            if (list[i].node != p->nodes[n]) continue;
            BucketNode found = list[i];
            memmove(&list[sorted + 1], &list[sorted], (size_t)(i - sorted) * sizeof *list);
            list[sorted++] = found;
        }
    }
}

Tensor *bucket_view(Program *p, Section *section, ElementRange range) {
    size_t each = dtype_size(section->dtype);
    return program_view(p, &section->buffer, (size_t)range.first * each, section->dtype, 1,
                        &range.count);
}

bool bucket_holds(const Section *section, ElementRange range, const Tensor *t) {
    if (t == NULL || t->buffer != &section->buffer) return false;
    int64_t at = (int64_t)(t->offset / dtype_size(section->dtype));
    return at >= range.first && at < range.first + range.count;
}

bool bucket_has_embedding(const Parameters *parameters, int index) {
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *parameter = parameters->list[i];
        if (parameter->is_embedding && parameter->bucket == index) return true;
    }
    return false;
}
