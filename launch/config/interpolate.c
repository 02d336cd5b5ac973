#include "launch/config/interpolate.h"

#include "launch/config/diagnostic.h"
#include "launch/config/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHAIN = 16, MAX_BYTES = 4096 };

/* The references that are being resolved, innermost first. */
typedef struct KeyChain {
    const char *name;
    int length;
    const struct KeyChain *outer;
} KeyChain;

typedef struct Context {
    Arena *arena;
    const YamlNode *root;
    Place begin; /* position of the first value */
} Context;

/* A user cannot correct the text of a default. */
static Place place_of(const Context *context, const YamlNode *node) {
    return node->is_default ? context->begin : node->place;
}

static Status expand(const Context *context, YamlNode *node, const KeyChain *chain);

static const char *chain_text(Arena *arena, const KeyChain *chain, const char *last) {
    const char *text = last;
    for (; chain != NULL && text != NULL; chain = chain->outer) {
        text = arena_printf(arena, "%s -> %s", chain->name, text);
        if (strcmp(chain->name, last) == 0) break;
    }
    /* The chain does not contain the key of the first value. */
    if (chain == NULL && text != NULL) text = arena_printf(arena, "%s -> %s", last, text);
    return text == NULL ? last : text;
}

static Status unknown_reference(const Context *context, const YamlNode *node, const char *name) {
    char buffer[64];
    if (schema_find(name) != NULL) {
        return PLACE_ERROR(place_of(context, node), "'${%s}' has no value; set %s",
                           shown(context->arena, name), name);
    }
    const char *near = schema_suggest(name, buffer, sizeof buffer);
    return PLACE_ERROR(place_of(context, node), "unknown key in '${%s}'%s%s%s",
                       shown(context->arena, name),
                       near ? "; did you mean '" : "; only ${a.key} and ${env:NAME} exist",
                       near ? near : "", near ? "'?" : "");
}

static Status look_up(const Context *context, const YamlNode *node, const char *name,
                      const KeyChain *chain, const char **out) {
    if (strncmp(name, "env:", 4) == 0) {
        *out = getenv(name + 4);
        if (*out != NULL) return OK;
        return PLACE_ERROR(place_of(context, node), "the environment variable %s is not set",
                           shown(context->arena, name + 4));
    }
    YamlNode *value = node_find_path(context->root, name);
    if (value == NULL) return unknown_reference(context, node, name);
    if (value->kind != NODE_SCALAR) {
        return PLACE_ERROR(place_of(context, node),
                           "'${%s}' is %s; only single values can be inserted",
                           shown(context->arena, name), shown_node(context->arena, value));
    }
    if (value->state == NODE_IN_PROGRESS) {
        return PLACE_ERROR(place_of(context, node), "circular interpolation: %s",
                           shown(context->arena, chain_text(context->arena, chain, name)));
    }
    KeyChain inner = {name, chain == NULL ? 1 : chain->length + 1, chain};
    if (inner.length > MAX_CHAIN)
        return PLACE_ERROR(place_of(context, node), "interpolation goes over %d keys", MAX_CHAIN);
    TRY(expand(context, value, &inner));
    *out = value->text;
    return OK;
}

static Status write_expanded(const Context *context, const YamlNode *node, const KeyChain *chain,
                             FILE *file) {
    for (const char *c = node->text; *c != '\0'; c++) {
        if (strncmp(c, "$${", 3) == 0) {
            fputs("${", file);
            c += 2;
            continue;
        }
        if (strncmp(c, "${", 2) != 0) {
            fputc(*c, file);
            continue;
        }
        const char *close = strchr(c, '}');
        if (close == NULL) {
            return PLACE_ERROR(place_of(context, node),
                               "'${' without '}'; write $${ for a literal ${");
        }
        const char *name = arena_printf(context->arena, "%.*s", (int)(close - c - 2), c + 2),
                   *value = "";
        if (name == NULL) return OUT_OF_MEMORY("a config");
        TRY(look_up(context, node, name, chain, &value));
        fputs(value, file);
        if (ftell(file) > MAX_BYTES) {
            return PLACE_ERROR(place_of(context, node),
                               "the text with all ${...} replaced is over %d bytes", MAX_BYTES);
        }
        c = close;
    }
    return OK;
}

static Status expand_text(const Context *context, YamlNode *node, const KeyChain *chain) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL) return OUT_OF_MEMORY("a config");
    Status status = write_expanded(context, node, chain, file);
    if (fclose(file) != 0 && !failed(status)) status = OUT_OF_MEMORY("a config");
    if (!failed(status)) {
        node->text = arena_strdup(context->arena, text);
        if (node->text == NULL) status = OUT_OF_MEMORY("a config");
    }
    free(text);
    return status;
}

static Status expand(const Context *context, YamlNode *node, const KeyChain *chain) {
    if (node->state == NODE_INTERPOLATED || strstr(node->text, "${") == NULL) return OK;
    node->state = NODE_IN_PROGRESS;
    TRY(expand_text(context, node, chain));
    node->state = NODE_INTERPOLATED;
    return OK;
}

Status interpolate(Arena *arena, const YamlNode *root, YamlNode *node) {
    Context context = {arena, root, node->place};
    if (node->kind == NODE_SCALAR) return expand(&context, node, NULL);
    for (YamlNode *child = node->first; child != NULL; child = child->next)
        TRY(interpolate(arena, root, child));
    return OK;
}

bool is_interpolated(const YamlNode *node) {
    if (node->kind == NODE_SCALAR) return strstr(node->text, "${") != NULL;
    for (const YamlNode *child = node->first; child != NULL; child = child->next) {
        if (is_interpolated(child)) return true;
    }
    return false;
}
