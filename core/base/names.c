#include "core/base/names.h"

#include <stdint.h>
#include <string.h>

typedef struct NamesEntry NamesEntry;
struct NamesEntry {
    NamesEntry *children[4];
    const char *name;
    size_t bytes;
    void *value;
};

/* FNV-1a with a final mix, because its high bits select the child. */
static uint64_t hash_of(const char *name, size_t bytes) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3u;
    return (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u;
}

/* The link to the entry of a name; if there is none, the NULL link where it would be inserted. */
static NamesEntry **link_of(NamesEntry **link, const char *name, size_t bytes) {
    for (uint64_t hash = hash_of(name, bytes); *link != NULL; hash <<= 2) {
        const NamesEntry *entry = *link;
        if (entry->bytes == bytes && memcmp(entry->name, name, bytes) == 0) break;
        link = &(*link)->children[hash >> 62];
    }
    return link;
}

void **names_add(Names *names, Arena *arena, const char *name) {
    size_t bytes = strlen(name);
    NamesEntry **link = link_of(&names->root, name, bytes);
    if (*link == NULL) {
        *link = arena_alloc(arena, sizeof **link);
        if (*link == NULL) return NULL;
        (*link)->name = name;
        (*link)->bytes = bytes;
    }
    return &(*link)->value;
}

void **names_find(const Names *names, const char *name, size_t bytes) {
    NamesEntry *root = names->root, *entry = *link_of(&root, name, bytes);
    return entry == NULL ? NULL : &entry->value;
}
