#include "nn/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Status model_create(const ModelConfig *config, Parameters *parameters, Model **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return ERROR(STATUS_NO_ROOM, "out of memory while building the model");
    (*out)->config = *config;
    TRY(config->family->create(*out, parameters));
    return parameters_layout(parameters);
}

void model_destroy(Model **model) {
    if (model == NULL || *model == NULL) return;
    (*model)->config.family->destroy(*model);
    free(*model);
    *model = NULL;
}

Tensor *model_forward(Program *p, const Model *model, Tensor *tokens,
                      const ForwardContext *context) {
    return model->config.family->forward(p, model, tokens, context);
}

double model_flops_per_token(const Model *model, const Parameters *parameters) {
    return model->config.family->flops_per_token(model, parameters);
}

/* Whether `name` matches `pattern`, in which `#` stands for a number. */
static bool name_matches(const char *pattern, const char *name, int64_t *block) {
    const char *mark = strchr(pattern, '#');
    *block = -1;
    if (mark == NULL) return strcmp(pattern, name) == 0;
    size_t head = (size_t)(mark - pattern), digits;
    if (strncmp(pattern, name, head) != 0) return false;
    digits = strspn(name + head, "0123456789");
    *block = strtoll(name + head, NULL, 10);
    return digits > 0 && strcmp(name + head + digits, mark + 1) == 0;
}

const ParameterNames *model_parameter_names(const ModelFamily *family, const char *name,
                                            int64_t *block) {
    for (int i = 0; i < family->n_parameters; i++) {
        if (name_matches(family->parameters[i].name, name, block)) return &family->parameters[i];
    }
    return NULL;
}

void model_name_expand(const char *name, int64_t block, char *out, size_t capacity) {
    const char *mark = strchr(name, '#');
    if (mark == NULL) {
        snprintf(out, capacity, "%s", name);
    } else {
        snprintf(out, capacity, "%.*s%lld%s", (int)(mark - name), name, (long long)block, mark + 1);
    }
}
