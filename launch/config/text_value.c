#include "launch/config/text_value.h"

#include "launch/config/diagnostic.h"
#include "launch/config/yaml_text.h"

#include <string.h>

enum { LONGEST_TEXT = 4096 };

static Status check_text(const Field *field, const YamlNode *node) {
    const char *text = node->text;
    if (*text == '\0') return PLACE_ERROR(node->place, "'%s' must not be empty", field->path);
    if (strlen(text) > LONGEST_TEXT) {
        return PLACE_ERROR(node->place, "'%s' is over %d bytes", field->path, LONGEST_TEXT);
    }
    uint32_t point = yaml_control(text, field->type == FIELD_SHELL_LINES ? "\n\t" : "");
    if (point == 0) return OK;
    return PLACE_ERROR(node->place, "'%s' must not contain the control character U+%04X; remove it",
                       field->path, point);
}

Status text_value_read(const Field *field, const YamlNode *node, Config *config, const char **out) {
    if (node->kind != NODE_SCALAR)
        return PLACE_ERROR(node->place, "'%s' needs a text, not %s", field->path,
                           shown_node(&config->arena, node));
    TRY(check_text(field, node));
    *out = arena_strdup(&config->arena, node->text);
    return *out == NULL ? OUT_OF_MEMORY("a config") : OK;
}
