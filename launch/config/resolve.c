#include "launch/config/resolve.h"

#include "launch/config/diagnostic.h"
#include "launch/config/interpolate.h"
#include "launch/config/structure.h"
#include "launch/config/yaml_reader.h"
#include "nn/models/families.h"

#include <string.h>

static Status default_node(Arena *arena, const Field *field, const char *text, YamlNode **out) {
    Source *source = arena_alloc(arena, sizeof *source);
    if (source == NULL) return OUT_OF_MEMORY("a config");
    const char *origin = arena_printf(arena, "default of %s", field->path);
    if (origin == NULL) return OUT_OF_MEMORY("a config");
    *source = (Source){origin, text, strlen(text)};
    if (text[0] == '[') return yaml_read(arena, source, 0, out);
    *out = node_scalar(arena, text, (Place){source, 1, 1, strlen(text)});
    return *out == NULL ? OUT_OF_MEMORY("a config") : OK;
}

static Status put_default(YamlNode *root, Config *config, const Field *field, const char *text) {
    if (text == NULL || node_find_path(root, field->path) != NULL) return OK;
    YamlNode *node = NULL;
    TRY(default_node(&config->tree, field, text, &node));
    node->is_default = true;
    return node_put(&config->tree, root, field->path, node);
}

static bool all_sizes_given(const YamlNode *root) {
    static const char *const sizes[] = {"model.n_layer", "model.n_head", "model.n_embd",
                                        "model.block_size"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (node_find_path(root, sizes[i]) == NULL) return false;
    }
    return true;
}

/* Called before the other defaults, because the preset's values take precedence. */
static Status put_preset(YamlNode *root, Config *config) {
    const Field *field = schema_find("model.preset");
    TRY(put_default(root, config, field, all_sizes_given(root) ? "none" : field->fallback));
    YamlNode *node = node_find_path(root, field->path);
    TRY(interpolate(&config->tree, root, node));
    TRY(field_read(field, node, config));
    const char *preset = model_preset_names[config->preset];
    for (size_t i = 0; i < schema_count; i++)
        TRY(put_default(root, config, &schema[i], model_preset_value(preset, schema[i].path)));
    return OK;
}

/* The user's x- keys are skipped by name everywhere else; the keys of a sweep become overrides. */
static void drop_own_keys(YamlNode *sweep) {
    for (YamlNode *child = sweep->first, *next; child != NULL; child = next) {
        next = child->next;
        if (sweep->kind == NODE_LIST) {
            drop_own_keys(child);
        } else if (sweep->kind == NODE_MAP && is_own_key(child->key)) {
            node_remove(sweep, child->key);
        }
    }
}

static Status read_field(const YamlNode *root, Config *config, const Field *field) {
    YamlNode *node = node_find_path(root, field->path);
    if (node == NULL) return OK;
    if (field->type == FIELD_SWEEP) {
        drop_own_keys(node); /* and its texts are interpolated in its points */
    } else {
        TRY(interpolate(&config->tree, root, node));
    }
    return field_read(field, node, config);
}

Status resolve(YamlNode *root, Config *config) {
    TRY(put_preset(root, config));
    for (size_t i = 0; i < schema_count; i++)
        TRY(put_default(root, config, &schema[i], schema[i].fallback));
    for (size_t i = 0; i < schema_count; i++) TRY(read_field(root, config, &schema[i]));
    TRY(resolve_check(root, config));
    config->model = model_config_complete(config->model); /* its `auto` values follow from others */
    return OK;
}
