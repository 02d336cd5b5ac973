/* Names: maps strings to values. A hash trie (C. Wellons, "An easy-to-implement, arena-friendly
 * hash map", 2023): it needs no initial size and allocates one entry per name. */
#pragma once

#include "core/base/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialized: empty. */
typedef struct Names {
    struct NamesEntry *root;
} Names;

/* The slot of a name's value; NULL in the slot of a new name. The name is borrowed. Returns NULL if
 * memory is out. */
void **names_add(Names *names, Arena *arena, const char *name);

/* The slot of the value of a name of `bytes` bytes; NULL if the name has not been added. */
void **names_find(const Names *names, const char *name, size_t bytes);

#ifdef __cplusplus
}
#endif
