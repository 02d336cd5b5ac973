#include "launch/config/unused.h"

#include "launch/config/field.h"
#include "launch/config/group_rules.h"

#include <stdlib.h>
#include <string.h>

static Status uses_muon(const ConfigOptimizer *o, bool *out) {
    GroupRule rules[GROUP_RULES_MAX];
    int count;
    TRY(group_rules_read(o->groups, rules, &count));
    *out = o->matrices == CONFIG_MATRICES_MUON;
    for (int i = 0; i < count; i++) *out |= rules[i].optimizer == CONFIG_MATRICES_MUON;
    return OK;
}

/* Lists the keys from `start` on that are not their defaults. */
static Status changed_write(const Config *config, const char *start, const char *why, FILE *file) {
    int count = 0;
    for (size_t i = 0; i < schema_count; i++) {
        const Field *field = &schema[i];
        if (strncmp(field->path, start, strlen(start)) != 0) continue;
        char *value = field_text(field, config);
        if (value == NULL) return OUT_OF_MEMORY("a config");
        if (strcmp(value, field->fallback) != 0)
            fprintf(file, "%s%s", count++ == 0 ? "warning: without effect: " : ", ", field->path);
        free(value);
    }
    if (count > 0) fprintf(file, ", because %s\n", why);
    return OK;
}

Status config_unused(const Config *config, char **text) {
    const ConfigOptimizer *o = &config->optimizer;
    size_t bytes;
    bool has_muon;
    *text = NULL;
    TRY(uses_muon(o, &has_muon));
    FILE *file = open_memstream(text, &bytes);
    if (file == NULL) return OUT_OF_MEMORY("a config");
    Status status = OK;
    if (!has_muon)
        status = changed_write(config, "optimizer.muon.",
                               "neither optimizer.matrices nor a group has muon", file);
    if (!failed(status) && o->lr_reference.batch_tokens == 0)
        status = changed_write(config, "optimizer.lr_reference.exponent",
                               "optimizer.lr_reference.batch_tokens is not set", file);
    if (fclose(file) != 0 && !failed(status)) status = OUT_OF_MEMORY("a config");
    return status;
}
