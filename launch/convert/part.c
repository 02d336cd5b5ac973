#include "launch/convert/part.h"

#include <stdio.h>

int parts_of(const ModelFamily *family, const char *prefix, const ModelConfig *config,
             const ModelTensor *tensor, Part out[PARAMETER_PARTS_MAX]) {
    int64_t block, row = 0, columns = tensor->shape[1];
    PartSpan spans[PARAMETER_PARTS_MAX];
    const ParameterNames *names = model_parameter_names(family, tensor->name, &block);
    if (names == NULL) return 0;
    int n = model_parameter_parts(names, config, tensor->shape[0], spans);
    for (int i = 0; i < n; i++) {
        Part *part = &out[i];
        int64_t rows = spans[i].rows;
        *part = (Part){
            .n_dims = tensor->n_dims,
            .shape = {names->is_transposed ? columns : rows, names->is_transposed ? rows : columns},
            .is_transposed = names->is_transposed,
            .first_row = row};
        size_t length = (size_t)snprintf(part->name, sizeof part->name, "%s",
                                         names->has_no_prefix ? "" : prefix);
        model_name_expand(spans[i].name, block, part->name + length, sizeof part->name - length);
        row += rows;
    }
    return n;
}

int64_t part_elements(const Part *part) {
    return part->n_dims == 2 ? part->shape[0] * part->shape[1] : part->shape[0];
}

float *part_data(const Part *part, const ModelTensor *tensor) {
    return tensor->data + part->first_row * (tensor->n_dims == 2 ? tensor->shape[1] : 1);
}
