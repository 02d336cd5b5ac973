#include "launch/config/field.h"
#include "launch/config/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const void *member(const Field *field, const Config *config) {
    return (const char *)config + field->offset;
}

bool field_is_unset(const Field *field, const Config *config) {
    if (field->fallback != NULL) return false;
    const void *value = member(field, config);
    switch (field->type) {
    case FIELD_INT: return *(const int64_t *)value == 0;
    case FIELD_DURATION: return *(const double *)value == 0;
    case FIELD_BATCH_SCHEDULE: return ((const ConfigBatchSchedule *)value)->count == 0;
    case FIELD_PATHS:
    case FIELD_MIXTURE: return ((const TokenPaths *)value)->count == 0;
    default: return *(const void *const *)value == NULL; /* strings and the sweep */
    }
}

static const char *enum_name(const Field *field, const void *value) {
    int choice;
    memcpy(&choice, value, sizeof choice);
    return field->names[choice];
}

const char *field_word(const Field *field, int64_t value) {
    if (field->type == FIELD_INT_OR_AUTO && value == CONFIG_AUTO) return "auto";
    if (field->type == FIELD_WINDOW && value == 0) return "full";
    return field->type == FIELD_INT_OR_ALL && value == CONFIG_ALL ? "all" : NULL;
}

static void write_int(const Field *field, int64_t value, FILE *file) {
    const char *word = field_word(field, value);
    if (word != NULL) {
        fputs(word, file);
    } else {
        fprintf(file, "%lld", (long long)value);
    }
}

static void write_float_or_auto(double value, FILE *file) {
    if (isnan(value))
        fputs("auto", file);
    else
        value_write_float(value, file);
}

static void write_pair(const double *pair, FILE *file) {
    if (isnan(pair[0])) {
        fputs("auto", file);
        return;
    }
    fputc('[', file);
    value_write_float(pair[0], file);
    fputs(", ", file);
    value_write_float(pair[1], file);
    fputc(']', file);
}

static void write_choices(const Field *field, const ConfigChoices *choices, FILE *file) {
    fputc('[', file);
    for (int i = 0; i < choices->count; i++)
        fprintf(file, "%s%s", i == 0 ? "" : ", ", field->names[choices->items[i]]);
    fputc(']', file);
}

static void write_strings(const ConfigStrings *strings, FILE *file) {
    fputc('[', file);
    for (int i = 0; i < strings->count; i++) {
        if (i > 0) fputs(", ", file);
        value_write_string(strings->items[i], true, file);
    }
    fputc(']', file);
}

static void write_path(const TokenPaths *paths, int i, FILE *file) {
    if (paths->weights != NULL) fputs("{path: ", file);
    value_write_string(paths->items[i], true, file);
    if (paths->weights == NULL) return;
    fputs(", weight: ", file);
    value_write_float(paths->weights[i], file);
    fputc('}', file);
}

static void write_paths(const TokenPaths *paths, FILE *file) {
    bool is_plain = paths->count == 1 && paths->weights == NULL;
    if (!is_plain) fputc('[', file);
    for (int i = 0; i < paths->count; i++) {
        if (i > 0) fputs(", ", file);
        write_path(paths, i, file);
    }
    if (!is_plain) fputc(']', file);
}

static void write_pattern_item(const Field *field, int64_t item, FILE *file) {
    if (field->names == NULL)
        write_int(field, item, file);
    else
        fputs(field->names[item], file);
}

static void write_pattern(const Field *field, const LayerPattern *pattern, FILE *file) {
    if (pattern->count <= 1) {
        write_pattern_item(field, pattern->count == 0 ? 0 : pattern->items[0], file);
        return;
    }
    for (int i = 0; i < pattern->count; i++) {
        fputs(i == 0 ? "[" : ", ", file);
        write_pattern_item(field, pattern->items[i], file);
    }
    fputc(']', file);
}

/* `[[0, A], [30%, B]]`: the opening of row i, and the end of each row. */
static void write_start(int i, const ConfigLength *from, FILE *file) {
    fputs(i == 0 ? "[[" : ", [", file);
    value_write_length(*from, file);
    fputs(", ", file);
}

static void write_batches(const ConfigBatchSchedule *schedule, FILE *file) {
    for (int i = 0; i < schedule->count; i++) {
        write_start(i, &schedule->from[i], file);
        fprintf(file, "%lld]", (long long)schedule->tokens[i]);
    }
    fputc(']', file);
}

static void write_window(const Field *field, const Config *config, FILE *file) {
    const ConfigWindowSchedule *schedule = &config->attention.window;
    if (schedule->count == 0) {
        write_pattern(field, &config->model.window, file);
        return;
    }
    for (int i = 0; i < schedule->count; i++) {
        write_start(i, &schedule->from[i], file);
        write_pattern(field, &schedule->windows[i], file);
        fputc(']', file);
    }
    fputc(']', file);
}

void node_write(const YamlNode *node, FILE *file) {
    if (node->kind == NODE_SCALAR) {
        if (node_is_null(node)) {
            fputs("null", file);
        } else {
            value_write_string(node->text, false, file);
        }
        return;
    }
    fputc(node->kind == NODE_MAP ? '{' : '[', file);
    for (const YamlNode *child = node->first; child != NULL; child = child->next) {
        if (child != node->first) fputs(", ", file);
        if (node->kind == NODE_MAP) {
            value_write_string(child->key, false, file);
            fputs(": ", file);
        }
        node_write(child, file);
    }
    fputc(node->kind == NODE_MAP ? '}' : ']', file);
}

void field_write(const Field *field, const Config *config, FILE *file) {
    const void *value = member(field, config);
    if (field_is_unset(field, config)) {
        fputs("null", file);
        return;
    }
    switch (field->type) {
    case FIELD_STRING:
    case FIELD_KEY: value_write_string(*(const char *const *)value, true, file); break;
    case FIELD_PATHS:
    case FIELD_MIXTURE: write_paths(value, file); break;
    case FIELD_INT:
    case FIELD_INT_OR_AUTO:
    case FIELD_INT_OR_ALL: write_int(field, *(const int64_t *)value, file); break;
    case FIELD_U64: fprintf(file, "%llu", (unsigned long long)*(const uint64_t *)value); break;
    case FIELD_FLOAT: value_write_float(*(const double *)value, file); break;
    case FIELD_FLOAT_OR_AUTO: write_float_or_auto(*(const double *)value, file); break;
    case FIELD_FLOAT_PAIR:
    case FIELD_FLOAT_PAIR_OR_AUTO: write_pair(value, file); break;
    case FIELD_BOOL: fputs(*(const bool *)value ? "true" : "false", file); break;
    case FIELD_BUDGET: value_write_budget(*(const ConfigBudget *)value, file); break;
    case FIELD_DURATION: value_write_duration(*(const double *)value, file); break;
    case FIELD_INTERVAL: value_write_interval(*(const ConfigInterval *)value, file); break;
    case FIELD_LENGTH: value_write_length(*(const ConfigLength *)value, file); break;
    case FIELD_ENUM: fputs(enum_name(field, value), file); break;
    case FIELD_ENUM_LIST: write_choices(field, value, file); break;
    case FIELD_STRING_LIST:
    case FIELD_SHELL_LINES: write_strings(value, file); break;
    case FIELD_PATTERN: write_pattern(field, value, file); break;
    case FIELD_WINDOW: write_window(field, config, file); break;
    case FIELD_BATCH_SCHEDULE: write_batches(value, file); break;
    case FIELD_MAPS:
    case FIELD_SWEEP: node_write(*(const YamlNode *const *)value, file); break;
    }
}

char *field_text(const Field *field, const Config *config) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL) return NULL;
    field_write(field, config, file);
    if (fclose(file) == 0) return text;
    free(text);
    return NULL;
}

static void write_names(const char *const *names, FILE *file) {
    for (size_t i = 0; names[i] != NULL; i++) fprintf(file, "%s%s", i == 0 ? "" : "|", names[i]);
}

void field_write_type(const Field *field, FILE *file) {
    static const char *const types[] = {
        [FIELD_STRING] = "string",
        [FIELD_KEY] = "key",
        [FIELD_PATHS] = "string|list of strings",
        [FIELD_MIXTURE] = "string|list of strings|list of maps",
        [FIELD_INT] = "integer",
        [FIELD_INT_OR_AUTO] = "integer|auto",
        [FIELD_INT_OR_ALL] = "integer|all",
        [FIELD_U64] = "integer",
        [FIELD_FLOAT] = "number",
        [FIELD_FLOAT_OR_AUTO] = "number|auto",
        [FIELD_FLOAT_PAIR] = "[number, number]",
        [FIELD_FLOAT_PAIR_OR_AUTO] = "[number, number]|auto",
        [FIELD_BOOL] = "true|false",
        [FIELD_BUDGET] = "bytes|percent",
        [FIELD_DURATION] = "duration",
        [FIELD_INTERVAL] = "duration|steps",
        [FIELD_LENGTH] = "steps|tokens|percent",
        [FIELD_ENUM] = "",
        [FIELD_ENUM_LIST] = "list of ",
        [FIELD_STRING_LIST] = "list of strings",
        [FIELD_SHELL_LINES] = "list of strings",
        [FIELD_PATTERN] = "",
        [FIELD_WINDOW] = "integer|full, a list, or a schedule",
        [FIELD_BATCH_SCHEDULE] = "schedule of integers",
        [FIELD_MAPS] = "list of maps",
        [FIELD_SWEEP] = "map|list of maps",
    };
    fputs(types[field->type], file);
    if (field->names != NULL) write_names(field->names, file);
    if (field->type == FIELD_PATTERN) fputs(", or a list", file);
}
