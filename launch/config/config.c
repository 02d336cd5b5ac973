#include "launch/config/config.h"

#include "launch/config/diagnostic.h"
#include "launch/config/extends.h"
#include "launch/config/resolve.h"
#include "launch/config/structure.h"
#include "launch/config/yaml_reader.h"

#include <stdlib.h>
#include <string.h>

static Status out_of_memory(void) { return ERROR(STATUS_NO_ROOM, "out of memory"); }

/* `a.b=VALUE` as the tree {a: {b: VALUE}}, each part with its place in the argument. */
static Status nest(Arena *arena, const Source *source, const char *key, YamlNode *value, YamlNode **out) {
    YamlNode *root = node_create(arena, NODE_MAP, (Place){source, 1, 1, 1}), *map = root;
    if (root == NULL) return out_of_memory();
    for (const char *part = key;;) {
        size_t bytes = strcspn(part, ".=");
        bool is_last = part[bytes] == '=';
        Place place = {source, 1, (size_t)(part - key) + 1, bytes > 0 ? bytes : 1};
        YamlNode *child = is_last ? value : node_create(arena, NODE_MAP, place);
        if (child == NULL) return out_of_memory();
        child->key = arena_printf(arena, "%.*s", (int)bytes, part);
        child->key_place = place;
        if (child->key == NULL) return out_of_memory();
        node_append(map, child);
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
    if (source == NULL || text == NULL) return out_of_memory();
    *source = (Source){COMMAND_LINE, text, strlen(text)};
    const char *equals = strchr(text, '=');
    if (equals == NULL) {
        return PLACE_ERROR(((Place){source, 1, 1, source->bytes}), "'%s' is not of the form key=value",
                           shown(arena, text));
    }
    YamlNode *value, *tree = NULL;
    Place place = root->place;
    TRY(yaml_read(arena, source, (size_t)(equals - text) + 1, &value));
    TRY(nest(arena, source, text, value, &tree));
    TRY(extends_lay(arena, tree, COMMAND_LINE, root));
    root->place = place; /* what is missing is missing in the file */
    return OK;
}

/* `dir/quickstart.yaml` names its run quickstart. */
static Status name_after(Arena *arena, const char *path, YamlNode *root) {
    if (node_find(root, "name") != NULL) return OK;
    const char *slash = strrchr(path, '/'), *base = slash == NULL ? path : slash + 1, *dot = strrchr(base, '.');
    int length = dot == NULL || dot == base ? (int)strlen(base) : (int)(dot - base);
    const char *name = arena_printf(arena, "%.*s", length, base);
    YamlNode *node = name == NULL ? NULL : node_scalar(arena, name, root->place);
    if (node == NULL) return out_of_memory();
    node->quoted = true;
    node->is_default = true;
    node->state = NODE_INTERPOLATED;
    return node_put(arena, root, "name", node);
}

static Status fill(Config *config, YamlNode *root, const char *path, int n_overrides, char **overrides) {
    for (int i = 0; i < n_overrides; i++) TRY(lay_override(&config->arena, overrides[i], root));
    TRY(name_after(&config->arena, path, root));
    return resolve(root, config);
}

static Status load(Config *config, const char *path, const char *text, int n_overrides, char **overrides) {
    Arena *arena = &config->arena;
    YamlNode *root = node_create(arena, NODE_MAP, (Place){0});
    if (root == NULL) return out_of_memory();
    if (text == NULL) {
        TRY(extends_load(arena, path, root));
        return fill(config, root, path, n_overrides, overrides);
    }
    Source *source = arena_alloc(arena, sizeof *source);
    char *copy = arena_strdup(arena, text), *origin = arena_strdup(arena, path);
    if (source == NULL || copy == NULL || origin == NULL) return out_of_memory();
    *source = (Source){origin, copy, strlen(copy)};
    if (source->bytes > YAML_MAX_BYTES) return PLACE_ERROR((Place){.source = source}, "it is over 1 MiB");
    YamlNode *tree;
    TRY(yaml_read(arena, source, 0, &tree));
    structure_drop_retired(tree);
    TRY(extends_lay(arena, tree, "config of a run", root));
    return fill(config, root, path, n_overrides, overrides);
}

static Status create(const char *path, const char *text, int n_overrides, char **overrides, Config **out) {
    *out = NULL;
    Config *config = calloc(1, sizeof *config);
    if (config == NULL) return out_of_memory();
    Status status = load(config, path, text, n_overrides, overrides);
    if (failed(status)) {
        config_destroy(&config);
    } else {
        *out = config;
    }
    return status;
}

Status config_load(const char *path, int n_overrides, char **overrides, Config **out) {
    return create(path, NULL, n_overrides, overrides, out);
}

Status config_load_text(const char *text, const char *origin, int n_overrides, char **overrides, Config **out) {
    return create(origin, text, n_overrides, overrides, out);
}

void config_destroy(Config **config) {
    if (config == NULL || *config == NULL) return;
    arena_free(&(*config)->arena);
    free(*config);
    *config = NULL;
}
