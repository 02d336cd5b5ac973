/* Looks up keys of the schema by their names. */
#include "launch/config/schema.h"
#include "launch/config/suggest.h"

#include <stdint.h>
#include <string.h>

const Field *schema_find(const char *path) {
    for (size_t i = 0; i < schema_count; i++) {
        if (strcmp(schema[i].path, path) == 0) return &schema[i];
    }
    return NULL;
}

bool schema_is_group(const char *path) {
    size_t bytes = strlen(path);
    for (size_t i = 0; i < schema_count; i++) {
        if (strncmp(schema[i].path, path, bytes) == 0 && schema[i].path[bytes] == '.') return true;
    }
    return false;
}

static const char *last_part(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

/* A key in the wrong group counts as one mistake. */
static size_t path_distance(const char *path, const char *candidate, size_t most) {
    size_t whole = edit_distance(path, candidate, most);
    if (whole <= 1 || most < 1) return whole;
    return strcmp(last_part(path), last_part(candidate)) == 0 ? 1 : whole;
}

static void consider(const char *path, const char *candidate, size_t bytes, size_t *least,
                     char *buffer, size_t capacity) {
    char name[64];
    if (*least == 0 || bytes >= sizeof name || bytes >= capacity) return;
    memcpy(name, candidate, bytes);
    name[bytes] = '\0';
    size_t distance = path_distance(path, name, *least - 1);
    if (distance >= *least) return;
    *least = distance;
    memcpy(buffer, name, bytes + 1);
}

const char *schema_suggest(const char *path, char *buffer, size_t bytes) {
    size_t slip = slip_most(last_part(path)), first = (slip > 1 ? slip : 1) + 1, least = first;
    for (size_t i = 0; i < schema_count; i++) {
        const char *key = schema[i].path;
        for (const char *dot = strchr(key, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
            consider(path, key, (size_t)(dot - key), &least, buffer, bytes);
        }
        consider(path, key, strlen(key), &least, buffer, bytes);
    }
    return least < first ? buffer : NULL;
}
