#include "launch/config/path_list.h"

#include "launch/config/diagnostic.h"
#include "launch/config/text_value.h"
#include "launch/config/value.h"

#include <math.h>

/* One entry of a list of files: a text, or a map with its weight. */
static Status read_path(const Field *field, const YamlNode *node, Config *config, const char **path,
                        double *weight) {
    if (node->kind != NODE_MAP) return text_value_read(field, node, config, path);
    const YamlNode *named = node_find(node, "path"), *weighs = node_find(node, "weight");
    if (named == NULL || weighs == NULL || node->count != 2)
        return PLACE_ERROR(node->place, "an entry of '%s' needs a path, or path and weight",
                           field->path);
    TRY(text_value_read(field, named, config, path));
    if (weighs->kind == NODE_SCALAR && value_parse_float(weighs->text, weight) && *weight > 0 &&
        isfinite(*weight))
        return OK;
    return PLACE_ERROR(weighs->place, "'weight' needs a number above 0, not %s",
                       shown_node(&config->arena, weighs));
}

static Status check_list(const Field *field, const YamlNode *node) {
    if (node->count == 0)
        return PLACE_ERROR(node->place, "'%s' needs at least one file", field->path);
    for (const YamlNode *item = node->first; item != NULL; item = item->next) {
        if (item->kind == NODE_SCALAR && item->text[0] == '\0')
            return PLACE_ERROR(item->place,
                               "an entry of '%s' is empty; name a file, as standard "
                               "input (-) is none",
                               field->path);
        if (item->kind == NODE_MAP && field->type == FIELD_PATHS)
            return PLACE_ERROR(item->place, "'%s' has no weights; list the paths alone",
                               field->path);
        if ((item->kind == NODE_MAP) != (node->first->kind == NODE_MAP))
            return PLACE_ERROR(item->place, "either all entries of '%s' have a weight, or none",
                               field->path);
    }
    return OK;
}

Status path_list_read(const Field *field, const YamlNode *node, Config *config, TokenPaths *out) {
    bool is_list = node->kind == NODE_LIST;
    if (node->kind == NODE_MAP)
        return PLACE_ERROR(node->place, "'%s' needs a path or a list of paths, not %s", field->path,
                           shown_node(&config->arena, node));
    if (is_list) TRY(check_list(field, node));
    size_t count = is_list ? node->count : 1;
    const char **items = arena_alloc(&config->arena, count * sizeof *items);
    double *weights = arena_alloc(&config->arena, count * sizeof *weights);
    if (items == NULL || weights == NULL) return OUT_OF_MEMORY("a config");
    bool is_weighted = is_list && node->first->kind == NODE_MAP;
    *out = (TokenPaths){(int)count, items, is_weighted ? weights : NULL};
    if (!is_list) return text_value_read(field, node, config, items);
    for (const YamlNode *item = node->first; item != NULL; item = item->next) {
        TRY(read_path(field, item, config, items++, weights++));
    }
    return OK;
}
