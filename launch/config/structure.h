/* Structure: checks that the keys of a tree are in the schema, before any value is read. */
#pragma once

#include "launch/config/field.h"

/* Keys that start with x- are free for users, at any depth. */
bool is_own_key(const char *key);

/* Checks every key of one file or override below `map`, whose own path is `prefix` ("" at the
 * root). Errors: STATUS_CONFIG with the position of the unknown key. */
NODISCARD Status structure_check(Arena *arena, const YamlNode *map, const char *prefix);

/* Removes the keys of older versions from a tree. */
void structure_drop_retired(YamlNode *root);

/* The error for an unknown key, with the nearest known key, or with the replacement of a key of
 * older versions; also for keys of a sweep. */
NODISCARD Status structure_unknown(Arena *arena, Place place, const char *path);
