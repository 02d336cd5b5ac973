#include "launch/config/config_load.h"

#include "launch/config/diagnostic.h"
#include "launch/config/extends.h"
#include "launch/config/resolve.h"
#include "launch/config/structure.h"
#include "launch/config/yaml_reader.h"

#include <stdlib.h>
#include <string.h>

/* `a.b=VALUE` as the tree {a: {b: VALUE}}; each part has its position in the argument. */
static Status nest(Arena *arena, const Source *source, const char *key, YamlNode *value,
                   YamlNode **out) {
    YamlNode *root = node_create(arena, NODE_MAP, (Place){source, 1, 1, 1}), *map = root;
    if (root == NULL) return OUT_OF_MEMORY("a config");
    for (const char *part = key;;) {
        size_t bytes = strcspn(part, ".=");
        bool is_last = part[bytes] == '=';
        Place place = {source, 1, (size_t)(part - key) + 1, bytes > 0 ? bytes : 1};
        YamlNode *child = is_last ? value : node_create(arena, NODE_MAP, place);
        if (child == NULL) return OUT_OF_MEMORY("a config");
        child->key = arena_printf(arena, "%.*s", (int)bytes, part);
        child->key_place = place;
        if (child->key == NULL) return OUT_OF_MEMORY("a config");
        TRY(node_append(arena, map, child));
        if (is_last) break;
        map = child;
        part += bytes + 1;
    }
    *out = root;
    return OK;
}

static Status lay_override(Arena *arena, const char *argument, YamlNode *root) {
    Source *source = arena_alloc(arena, sizeof *source);
    char *text = arena_strdup(arena, argument);
    if (source == NULL || text == NULL) return OUT_OF_MEMORY("a config");
    *source = (Source){COMMAND_LINE, text, strlen(text)};
    const char *equals = strchr(text, '=');
    if (equals == NULL) {
        return PLACE_ERROR(((Place){source, 1, 1, source->bytes}),
                           "'%s' is not of the form key=value", shown(arena, text));
    }
    YamlNode *value, *tree = NULL;
    Place place = root->place;
    TRY(yaml_read(arena, source, (size_t)(equals - text) + 1, &value));
    TRY(nest(arena, source, text, value, &tree));
    TRY(extends_lay(arena, tree, COMMAND_LINE, root));
    root->place = place; /* missing keys are reported for the file */
    return OK;
}

/* The name of the run is the file name without extension: `dir/quickstart.yaml` gives
 * quickstart. */
static Status name_after(Arena *arena, const char *path, YamlNode *root) {
    if (node_find(root, "name") != NULL) return OK;
    const char *slash = strrchr(path, '/'), *base = slash == NULL ? path : slash + 1,
               *dot = strrchr(base, '.');
    int length = dot == NULL || dot == base ? (int)strlen(base) : (int)(dot - base);
    const char *name = arena_printf(arena, "%.*s", length, base);
    YamlNode *node = name == NULL ? NULL : node_scalar(arena, name, root->place);
    if (node == NULL) return OUT_OF_MEMORY("a config");
    node->quoted = true;
    node->is_default = true;
    node->state = NODE_INTERPOLATED;
    return node_put(arena, root, "name", node);
}

/* The file, or the text if there is one, with the overrides applied. */
static Status tree_load(Arena *arena, const char *path, const char *text, YamlNode *root) {
    if (text == NULL) return extends_load(arena, path, root);
    Source *source = arena_alloc(arena, sizeof *source);
    char *copy = arena_strdup(arena, text), *origin = arena_strdup(arena, path);
    if (source == NULL || copy == NULL || origin == NULL) return OUT_OF_MEMORY("a config");
    *source = (Source){origin, copy, strlen(copy)};
    if (source->bytes > YAML_MAX_BYTES)
        return PLACE_ERROR((Place){.source = source}, "it is over 1 MiB");
    YamlNode *tree;
    TRY(yaml_read(arena, source, 0, &tree));
    structure_drop_retired(tree);
    return extends_lay(arena, tree, "config of a run", root);
}

static Status overrides_lay(Arena *arena, int n_overrides, char **overrides, YamlNode *root) {
    for (int i = 0; i < n_overrides; i++) TRY(lay_override(arena, overrides[i], root));
    return OK;
}

static Status fill(Config *config, YamlNode *root, const char *path, int n_overrides,
                   char **overrides) {
    TRY(overrides_lay(&config->tree, n_overrides, overrides, root));
    TRY(name_after(&config->tree, path, root));
    return resolve(root, config);
}

static Status load(Config *config, const char *path, const char *text, int n_overrides,
                   char **overrides) {
    YamlNode *root = node_create(&config->tree, NODE_MAP, (Place){0});
    if (root == NULL) return OUT_OF_MEMORY("a config");
    TRY(tree_load(&config->tree, path, text, root));
    return fill(config, root, path, n_overrides, overrides);
}

/* Drops the tree, unless the config points into it. */
static Status created(Status status, Config *config, Config **out) {
    if (failed(status)) {
        config_destroy(&config);
        return status;
    }
    bool is_used = config->sweep != NULL || config->optimizer.groups != NULL ||
                   config->training.batch_schedule.node != NULL;
    if (!is_used) arena_free(&config->tree);
    *out = config;
    return OK;
}

static Status create(const char *path, const char *text, int n_overrides, char **overrides,
                     Config **out) {
    *out = NULL;
    Config *config = calloc(1, sizeof *config);
    if (config == NULL) return OUT_OF_MEMORY("a config");
    return created(load(config, path, text, n_overrides, overrides), config, out);
}

Status config_load(const char *path, int n_overrides, char **overrides, Config **out) {
    return create(path, NULL, n_overrides, overrides, out);
}

Status config_load_text(const char *text, const char *origin, int n_overrides, char **overrides,
                        Config **out) {
    return create(origin, text, n_overrides, overrides, out);
}

void config_destroy(Config **config) {
    if (config == NULL || *config == NULL) return;
    arena_free(&(*config)->arena);
    arena_free(&(*config)->tree);
    free(*config);
    *config = NULL;
}

struct ConfigBase {
    const char *path;
    YamlNode *root;
    Arena arena;
};

static Status base_load(ConfigBase *base, const char *path, int n_overrides, char **overrides) {
    base->path = arena_strdup(&base->arena, path);
    base->root = node_create(&base->arena, NODE_MAP, (Place){0});
    if (base->path == NULL || base->root == NULL) return OUT_OF_MEMORY("a config");
    TRY(tree_load(&base->arena, path, NULL, base->root));
    TRY(overrides_lay(&base->arena, n_overrides, overrides, base->root));
    node_remove(base->root, "sweep");
    return OK;
}

Status config_base_load(const char *path, int n_overrides, char **overrides, ConfigBase **out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return OUT_OF_MEMORY("a config");
    Status status = base_load(*out, path, n_overrides, overrides);
    if (failed(status)) config_base_destroy(out);
    return status;
}

void config_base_destroy(ConfigBase **base) {
    if (base == NULL || *base == NULL) return;
    arena_free(&(*base)->arena);
    free(*base);
    *base = NULL;
}

size_t config_base_size(const ConfigBase *base) { return node_size(base->root); }

Status config_base_make(const ConfigBase *base, int n_overrides, char **overrides, Config **out) {
    *out = NULL;
    Config *config = calloc(1, sizeof *config);
    if (config == NULL) return OUT_OF_MEMORY("a config");
    YamlNode *root = node_copy(&config->tree, base->root);
    Status status = root == NULL ? OUT_OF_MEMORY("a config")
                                 : fill(config, root, base->path, n_overrides, overrides);
    return created(status, config, out);
}
