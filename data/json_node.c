#include "data/json_node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

Status node_refuse(const JsonNode *field, const char *reason) {
    return ERROR(STATUS_DATA, "%s: %s", field->name, reason);
}

/* A very long name is cut. */
__attribute__((format(printf, 2, 3))) static JsonNode node_of(json_t *value, const char *format,
                                                              ...) {
    JsonNode field = {.value = value};
    va_list list;
    va_start(list, format);
    vsnprintf(field.name, sizeof field.name, format, list);
    va_end(list);
    return field;
}

JsonNode node_member(const JsonNode *object, const char *key) {
    json_t *value = json_object_get(object->value, key);
    return node_of(value, "%s%s%s", object->name, object->name[0] == '\0' ? "" : ".", key);
}

JsonNode node_element(const JsonNode *array, size_t i) {
    return node_of(json_array_get(array->value, i), "%s[%zu]", array->name, i);
}

bool node_is_text(const JsonNode *object, const char *key, const char *text, bool fallback) {
    const json_t *value = json_object_get(object->value, key);
    if (value == NULL) return fallback;
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

bool node_flag(const JsonNode *object, const char *key, bool fallback) {
    const json_t *value = json_object_get(object->value, key);
    return value == NULL ? fallback : json_is_true(value);
}

static bool is_off(const json_t *value) {
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

Status node_all_off(const JsonNode *object, const char *const *keys) {
    for (; *keys != NULL; keys++) {
        JsonNode field = node_member(object, *keys);
        if (!is_off(field.value)) return node_refuse(&field, "is not supported");
    }
    return OK;
}

Status node_all_known(const JsonNode *object, const char *const *keys) {
    const char *key;
    json_t *value;
    json_object_foreach(object->value, key, value) {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0) i++;
        JsonNode field = node_member(object, key);
        if (keys[i] == NULL) return node_refuse(&field, "is not a known field");
    }
    return OK;
}
