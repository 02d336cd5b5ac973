/* Names: strings to values, by hash. A hash trie (C. Wellons, "An easy-to-implement, arena-friendly
 * hash map", 2023): it needs no size beforehand, and grows by one entry a name. */
#pragma once

#include "core/base/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zero: empty. */
typedef struct Names {
    struct NamesEntry *root;
} Names;

/* Where the value of a name is kept; a new name's value is NULL. The name is borrowed. NULL where
 * memory is out. */
void **names_add(Names *names, Arena *arena, const char *name);

/* Where the value of a name of `bytes` bytes is kept; NULL where the name was never added. */
void **names_find(const Names *names, const char *name, size_t bytes);

#ifdef __cplusplus
}
#endif
