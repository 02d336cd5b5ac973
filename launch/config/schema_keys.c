/* Looks up keys of the schema by their names. */
#include "launch/config/schema.h"
#include "launch/config/suggest.h"

#include <stdint.h>
#include <stdio.h>
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

/* Where `part` stands among the words of `whole`, which underscores divide: the index after it;
 * 0: nowhere. */
static size_t words_find(const char *whole, size_t n, const char *part, size_t m) {
    for (size_t i = 0; i + m <= n; i++) {
        bool begins = i == 0 || whole[i - 1] == '_', ends = i + m == n || whole[i + m] == '_';
        if (begins && ends && memcmp(whole + i, part, m) == 0) return i + m;
    }
    return 0;
}

/* keep_best has more of `best` than of `keep`, since the last word is the noun. */
static int kinship(const char *name, const char *part, size_t m) {
    size_t n = strlen(name), end = words_find(name, n, part, m);
    if (end > 0) return end == n ? 3 : 2;
    return n > 0 && words_find(part, m, name, n) > 0 ? 1 : 0;
}

/* A key of the same group that shares its words. */
static const char *suggest_by_words(const char *path, char *buffer, size_t bytes) {
    const char *name = last_part(path);
    size_t group = (size_t)(name - path);
    int most = 0;
    for (size_t i = 0; i < schema_count; i++) {
        const char *key = schema[i].path;
        if (strncmp(key, path, group) != 0) continue;
        size_t length = strcspn(key + group, ".");
        int kin = kinship(name, key + group, length);
        if (kin <= most || group + length >= bytes) continue;
        most = kin;
        snprintf(buffer, bytes, "%.*s", (int)(group + length), key);
    }
    return most > 0 ? buffer : NULL;
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
    return least < first ? buffer : suggest_by_words(path, buffer, bytes);
}
