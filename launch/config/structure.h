/* Structure: whether a tree's keys are the schema's, before any value is looked at. */
#pragma once

#include "launch/config/field.h"

/* Keys that begin with x- are the user's own, at any depth. */
bool is_own_key(const char *key);

/* Checks every key of one file or override below `map`, whose own path is `prefix` ("" at the
 * root). Errors: STATUS_CONFIG with the place of the unknown key. */
NODISCARD Status structure_check(Arena *arena, const YamlNode *map, const char *prefix);

/* Removes the keys that older versions had from a tree. */
void structure_drop_retired(YamlNode *root);

/* The unknown key's error, with the nearest known one, or with what to write in place of one that
 * older versions had; for keys of a sweep as well. */
NODISCARD Status structure_unknown(Arena *arena, Place place, const char *path);
