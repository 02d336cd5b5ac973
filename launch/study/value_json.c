#include "launch/study/value_json.h"

#include <stdlib.h>

json_t *json_string_or_null(const char *text) {
    json_t *value = text == NULL ? NULL : json_string(text);
    return value == NULL ? json_null() : value;
}

static json_t *int_json(const Field *field, int64_t value) {
    const char *word = field_word(field, value);
    return word != NULL ? json_string(word) : json_integer(value);
}

static json_t *choices_json(const Field *field, const ConfigChoices *choices) {
    json_t *list = json_array();
    for (int i = 0; i < choices->count; i++)
        json_array_append_new(list, json_string(field->names[choices->items[i]]));
    return list;
}

/* A single path; NULL for other lists. */
static const char *path_alone(const TokenPaths *paths) {
    return paths->count == 1 && paths->weights == NULL ? paths->items[0] : NULL;
}

json_t *config_value_json(const Field *field, const Config *config) {
    const void *value = (const char *)config + field->offset;
    if (field_is_unset(field, config)) return json_null();
    switch (field->type) {
    case FIELD_INT:
    case FIELD_INT_OR_AUTO:
    case FIELD_INT_OR_ALL: return int_json(field, *(const int64_t *)value);
    case FIELD_U64: return json_integer((json_int_t) * (const uint64_t *)value);
    case FIELD_FLOAT:
    case FIELD_DURATION: return json_real(*(const double *)value);
    case FIELD_BOOL: return json_boolean(*(const bool *)value);
    case FIELD_ENUM_LIST: return choices_json(field, value);
    case FIELD_PATHS:
    case FIELD_MIXTURE:
        if (path_alone(value) != NULL) return json_string(path_alone(value));
        break;
    case FIELD_STRING:
    case FIELD_KEY: return json_string_or_null(*(const char *const *)value);
    default: break;
    }
    char *text = field_text(field, config);
    json_t *string = json_string_or_null(text);
    free(text);
    return string;
}
