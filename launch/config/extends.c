#include "launch/config/extends.h"

#include "launch/config/diagnostic.h"
#include "launch/config/structure.h"
#include "launch/config/yaml_file.h"

#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 64 };

/* The files being read, innermost first. */
typedef struct FileChain {
    const char *path;
    dev_t device;
    ino_t inode;
    const struct FileChain *outer;
} FileChain;

typedef struct Loading {
    Arena *arena;
    YamlNode *root;
    int files;
} Loading;

static Status load_file(Loading *loading, const char *path, Place from, const FileChain *outer);

/* `a.yaml -> b.yaml -> a.yaml`, outermost first. */
static const char *chain_text(Arena *arena, const FileChain *chain, const char *last) {
    const char *text = last;
    for (; chain != NULL && text != NULL; chain = chain->outer)
        text = arena_printf(arena, "%s -> %s", chain->path, text);
    return text == NULL ? last : text;
}

static Status check_chain(const Loading *loading, const FileChain *self, Place from) {
    for (const FileChain *outer = self->outer; outer != NULL; outer = outer->outer) {
        if (outer->device != self->device || outer->inode != self->inode) continue;
        return PLACE_ERROR(from, "circular 'extends': %s",
                           chain_text(loading->arena, self->outer, self->path));
    }
    return OK;
}

static const char *beside(Arena *arena, const char *file, const char *name) {
    const char *slash = strrchr(file, '/');
    if (name[0] == '/' || slash == NULL) return name;
    return arena_printf(arena, "%.*s/%s", (int)(slash - file), file, name);
}

static Status load_one(Loading *loading, const YamlNode *name, const FileChain *self) {
    if (name->kind != NODE_SCALAR || *name->text == '\0') {
        return PLACE_ERROR(name->place, "'extends' needs a file or a list of files, not %s",
                           shown_node(loading->arena, name));
    }
    const char *path = beside(loading->arena, self->path, name->text);
    if (path == NULL) return OUT_OF_MEMORY("a config");
    return load_file(loading, path, name->place, self);
}

static Status load_extended(Loading *loading, const YamlNode *extends, const FileChain *self) {
    if (extends->kind != NODE_LIST) return load_one(loading, extends, self);
    for (const YamlNode *name = extends->first; name != NULL; name = name->next)
        TRY(load_one(loading, name, self));
    return OK;
}

static Status as_map(Arena *arena, YamlNode **tree) {
    if (node_is_null(*tree)) {
        YamlNode *map = node_create(arena, NODE_MAP, (*tree)->place);
        if (map == NULL) return OUT_OF_MEMORY("a config");
        *tree = map;
    }
    if ((*tree)->kind == NODE_MAP) return OK;
    return PLACE_ERROR((*tree)->place, "a config is a map of keys, not %s",
                       shown_node(arena, *tree));
}

static Status load_file(Loading *loading, const char *path, Place from, const FileChain *outer) {
    struct stat facts = {0};
    FileChain self = {.path = path, .outer = outer};
    if (stat(path, &facts) == 0) {
        self.device = facts.st_dev;
        self.inode = facts.st_ino;
        TRY(check_chain(loading, &self, from));
    }
    if (++loading->files > MAX_FILES)
        return PLACE_ERROR(from, "extends more than %d files", MAX_FILES);
    YamlNode *tree;
    TRY(yaml_read_file(loading->arena, path, from, &tree));
    TRY(as_map(loading->arena, &tree));
    const YamlNode *extends = node_find(tree, "extends");
    if (extends != NULL && !node_is_null(extends)) TRY(load_extended(loading, extends, &self));
    node_remove(tree, "extends");
    return extends_lay(loading->arena, tree, path, loading->root);
}

Status extends_load(Arena *arena, const char *path, YamlNode *root) {
    Loading loading = {arena, root, 0};
    return load_file(&loading, path, (Place){0}, NULL);
}

Status extends_lay(Arena *arena, YamlNode *tree, const char *what, YamlNode *root) {
    TRY(as_map(arena, &tree));
    const YamlNode *extends = node_find(tree, "extends");
    if (extends != NULL)
        return PLACE_ERROR(extends->key_place, "'extends' works in files only, not on the %s",
                           what);
    TRY(structure_check(arena, tree, ""));
    return node_merge(arena, root, tree);
}
