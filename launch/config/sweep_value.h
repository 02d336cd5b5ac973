/* The keys and values of a sweep: checked, and in their canonical text. Errors: STATUS_CONFIG with
 * the position in the config. */
#pragma once

#include "launch/config/node.h"

/* Reads a value as its key's type. `text`, in the arena, is its canonical text, so that 0.5 and
 * 5e-1 are the same. */
NODISCARD Status sweep_value_read(Arena *arena, const char *key, const YamlNode *value,
                                  const char **text);

/* Whether a key of a sweep's map is one of its blocks: tune, branch, budgets. */
bool sweep_is_block(const YamlNode *node);

/* The number of seeds of a sweep's map; 1 without any. */
size_t sweep_seed_count(const YamlNode *map);

/* Refuses unknown keys, groups, and keys that the points of a study cannot set. */
NODISCARD Status sweep_key_check(Arena *arena, const YamlNode *node);

/* Checks a list of values: not empty, each valid for the key, none twice. */
NODISCARD Status sweep_list_check(Arena *arena, const YamlNode *list);
