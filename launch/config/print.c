/* Writes the resolved config as YAML, and the key list for --help, both in the schema's order. */
#include "launch/config/field.h"

#include <stdlib.h>
#include <string.h>

/* Writes the group lines (`training:`, `  stop:`) of `path` that `previous` did not open. */
static int open_groups(const char *path, const char *previous, FILE *file) {
    int depth = 0;
    bool same = true;
    for (const char *dot = strchr(path, '.'), *part = path; dot != NULL;
         part = dot + 1, dot = strchr(part, '.')) {
        size_t bytes = (size_t)(dot - path) + 1;
        same = same && strncmp(path, previous, bytes) == 0;
        if (!same) fprintf(file, "%*s%.*s:\n", 2 * depth, "", (int)(dot - part), part);
        depth++;
    }
    return depth;
}

Status config_write(const Config *config, FILE *file) {
    const char *previous = "";
    for (size_t i = 0; i < schema_count; i++) {
        const Field *field = &schema[i];
        int depth = open_groups(field->path, previous, file);
        const char *dot = strrchr(field->path, '.');
        fprintf(file, "%*s%s: ", 2 * depth, "", dot == NULL ? field->path : dot + 1);
        field_write(field, config, file);
        fputc('\n', file);
        previous = field->path;
    }
    return ferror(file) ? ERROR(STATUS_FAILURE, "cannot write the config") : OK;
}

char *config_text(const Config *config) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL) return NULL;
    Status status = config_write(config, file);
    if (fclose(file) == 0 && !failed(status)) return text;
    free(text);
    return NULL;
}

const char *config_name(const char *key, int value) {
    const Field *field = schema_find(key);
    if (field == NULL || field->names == NULL) return NULL;
    for (int i = 0; field->names[i] != NULL; i++) {
        if (i == value) return field->names[i];
    }
    return NULL;
}

void config_help(FILE *file) {
    fputs("Keys, for the config and as key=value (details: docs/config.md):\n", file);
    for (size_t i = 0; i < schema_count; i++) {
        fprintf(file, "  %-38s", schema[i].path);
        field_write_type(&schema[i], file);
        if (schema[i].fallback != NULL) fprintf(file, " (%s)", schema[i].fallback);
        fputc('\n', file);
    }
}
