#include "nn/models/families.h"

#include "nn/models/gpt2.h"
#include "nn/models/llama.h"
#include "nn/models/mistral.h"
#include "nn/models/modern.h"
#include "nn/models/qwen2.h"
#include "nn/models/qwen3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ModelFamily *const families[] = {&gpt2_family,  &llama_family,   &qwen2_family,
                                              &qwen3_family, &mistral_family, &modern_family};
enum { FAMILIES = sizeof families / sizeof *families };

/* In the order of the families; tests/nn/test_families.c compares. */
const char *const model_preset_names[] = {
    "none",       "gpt2",         "gpt2-medium", "gpt2-large", "gpt2-xl",      "llama-15m",
    "llama-42m",  "llama-110m",   "llama-124m",  "llama-350m", "llama-1b",     "qwen3-0.6b",
    "qwen3-1.7b", "mistral-124m", "mistral-7b",  "modern",     "modern-small", NULL};

const ModelFamily *model_family(const char *name) {
    for (int i = 0; i < FAMILIES; i++) {
        if (strcmp(families[i]->name, name) == 0) return families[i];
    }
    return NULL;
}

const ModelPreset *model_preset(const char *name, const ModelFamily **family) {
    for (int i = 0; i < FAMILIES; i++) {
        for (const ModelPreset *preset = families[i]->presets; preset->name != NULL; preset++) {
            if (strcmp(preset->name, name) != 0) continue;
            *family = families[i];
            return preset;
        }
    }
    return NULL;
}

static const char *value_in(const PresetValue *values, const char *key) {
    for (; values->key != NULL; values++) {
        if (strcmp(values->key, key) == 0) return values->value;
    }
    return NULL;
}

const char *model_preset_value(const char *preset, const char *key) {
    const ModelFamily *family;
    const ModelPreset *found = model_preset(preset, &family);
    if (found == NULL) return NULL;
    const char *value = value_in(found->sizes, key);
    return value == NULL ? value_in(family->layers, key) : value;
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
    for (const ParameterNames *names = family->parameters; names->name != NULL; names++) {
        if (name_matches(names->name, name, block)) return names;
    }
    return NULL;
}

static int64_t part_rows(PartRows rows, const ModelConfig *config, int64_t all) {
    switch (rows) {
    case ROWS_QUERIES: return config->NH * config->HS;
    case ROWS_KEYS: return config->NH_kv * config->HS;
    case ROWS_HIDDEN: return config->F;
    default: return all;
    }
}

int model_parameter_parts(const ParameterNames *names, const ModelConfig *config, int64_t rows,
                          PartSpan out[PARAMETER_PARTS_MAX]) {
    int n = 0;
    for (; n < PARAMETER_PARTS_MAX && names->parts[n].name != NULL; n++)
        out[n] = (PartSpan){names->parts[n].name, part_rows(names->parts[n].rows, config, rows)};
    if (n > 0) return n;
    out[0] = (PartSpan){names->name, rows};
    return 1;
}

void model_name_expand(const char *name, int64_t block, char *out, size_t capacity) {
    const char *mark = strchr(name, '#');
    if (mark == NULL) {
        snprintf(out, capacity, "%s", name);
    } else {
        snprintf(out, capacity, "%.*s%lld%s", (int)(mark - name), name, (long long)block, mark + 1);
    }
}
