#include "core/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 4 * 1024, BLOCK_BYTES = 64 * 1024, ALIGNMENT = 16 };

struct ArenaBlock {
    struct ArenaBlock *next;
    size_t used, size;
    alignas(ALIGNMENT) char bytes[];
};

/* Blocks grow with the size of the arena, because a study has thousands of small arenas. */
static struct ArenaBlock *block_add(Arena *arena, size_t bytes) {
    size_t size = arena->blocks == NULL ? FIRST_BYTES : 2 * arena->blocks->size;
    if (size > BLOCK_BYTES) size = BLOCK_BYTES;
    if (size < bytes) size = bytes;
    struct ArenaBlock *block = calloc(1, sizeof *block + size);
    if (block == NULL) return NULL;
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(Arena *arena, size_t bytes) {
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (rounded < bytes) return NULL;
    struct ArenaBlock *block = arena->blocks;
    if (block == NULL || block->size - block->used < rounded) block = block_add(arena, rounded);
    if (block == NULL) return NULL;
    void *memory = block->bytes + block->used;
    block->used += rounded;
    return memory;
}

char *arena_strdup(Arena *arena, const char *text) { return arena_printf(arena, "%s", text); }

char *arena_printf(Arena *arena, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text != NULL) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void arena_free(Arena *arena) {
    while (arena->blocks != NULL) {
        struct ArenaBlock *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
}
