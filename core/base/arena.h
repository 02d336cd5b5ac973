/* Arena: memory for the objects that describe a program (nodes, tensors, names). Freed all at
 * once. */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Arena {
    struct ArenaBlock *blocks;
} Arena;

/* Zeroed memory aligned to 16 bytes; NULL if the system is out of memory. */
void *arena_alloc(Arena *arena, size_t bytes);

/* A copy of a string, or of formatted text, valid as long as the arena. */
char *arena_strdup(Arena *arena, const char *text);
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

void arena_free(Arena *arena);

#ifdef __cplusplus
}
#endif
