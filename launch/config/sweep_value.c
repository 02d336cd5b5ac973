#include "launch/config/sweep_value.h"

#include "launch/config/config_load.h"
#include "launch/config/diagnostic.h"
#include "launch/config/field.h"
#include "launch/config/interpolate.h"
#include "launch/config/structure.h"

#include <stdlib.h>
#include <string.h>

Status sweep_value_read(Arena *arena, const char *key, const YamlNode *value, const char **text) {
    if (node_is_null(value)) {
        *text = "null";
        return OK;
    }
    const Field *field = schema_find(key);
    Config *scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL) return OUT_OF_MEMORY("a config");
    Status status = OK;
    char *written = NULL;
    size_t bytes;
    FILE *file = open_memstream(&written, &bytes);
    if (is_interpolated(value)) {
        if (file != NULL)
            node_write(value, file); /* its type is checked when the point is loaded */
    } else {
        status = field_read(field, value, scratch);
        if (!failed(status) && file != NULL) field_write(field, scratch, file);
    }
    if (file != NULL) fclose(file);
    *text = written == NULL ? NULL : arena_strdup(arena, written);
    if (!failed(status) && *text == NULL) status = OUT_OF_MEMORY("a config");
    free(written);
    config_destroy(&scratch);
    return status;
}

bool sweep_is_block(const YamlNode *node) {
    static const char *const blocks[] = {"tune", "branch", "budgets"};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (strcmp(node->key, blocks[i]) == 0) return true;
    return false;
}

size_t sweep_seed_count(const YamlNode *map) {
    const YamlNode *seed = node_find(map, "seed");
    return seed == NULL || seed->kind != NODE_LIST ? 1 : seed->count;
}

Status sweep_key_check(Arena *arena, const YamlNode *node) {
    static const char *const refused[] = {"sweep", "name", "output", "report", "launch"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        size_t bytes = strlen(refused[i]);
        bool is_below = strncmp(node->key, refused[i], bytes) == 0 && node->key[bytes] == '.';
        if (is_below || strcmp(node->key, refused[i]) == 0)
            return PLACE_ERROR(node->key_place, "'%s' cannot be swept", node->key);
    }
    if (schema_find(node->key) != NULL) return OK;
    if (schema_is_group(node->key)) {
        return PLACE_ERROR(node->key_place,
                           "a sweep needs whole keys such as data.batch_size, not the group '%s'",
                           node->key);
    }
    return structure_unknown(arena, node->key_place, node->key);
}

Status sweep_list_check(Arena *arena, const YamlNode *list) {
    if (list->kind != NODE_LIST || list->first == NULL) {
        return PLACE_ERROR(list->place, "'sweep' needs a list of values for '%s'", list->key);
    }
    Names seen = {0};
    for (const YamlNode *value = list->first; value != NULL; value = value->next) {
        const char *text;
        TRY(sweep_value_read(arena, list->key, value, &text));
        void **place = names_add(&seen, arena, text);
        if (place == NULL) return OUT_OF_MEMORY("a config");
        if (*place != NULL)
            return PLACE_ERROR(value->place, "'%s' has this value twice", list->key);
        *place = arena;
    }
    return OK;
}
