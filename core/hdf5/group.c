/* The links of groups: old ones have a B-tree of symbol table nodes and a heap of names (III.A to
 * III.D), new ones a message a link. */
#include "core/hdf5/hdf5_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_ITEMS = 1 << 20,
    MOST_HEAP_BYTES = 1 << 26,
    HEAP_BYTES = 32,
    TREE_BYTES = 24,
    NODE_BYTES = 8,
    ENTRY_BYTES = 40,
    IS_SOFT = 2, /* the kind of an entry */
    MOST_LEVEL = 16,
};

typedef struct GroupReader {
    const Hdf5File *file;
    Arena *arena;
    Hdf5Links *out;
    size_t capacity;
    ByteRange names;     /* of an old group */
    uint64_t name_bytes; /* that its links have taken */
    uint64_t items;
} GroupReader;

/* Counts a link or a node. Each has bytes of its own, unless many name the same. */
static Status item_count(GroupReader *g) {
    bool fits = ++g->items <= MOST_ITEMS && g->items <= g->file->input->bytes / 8;
    return fits ? OK : hdf5_damaged(g->file);
}

static Status link_add(GroupReader *g, const char *name, size_t length, uint64_t address) {
    TRY(item_count(g));
    if (memchr(name, '\0', length) != NULL) return hdf5_damaged(g->file);
    if (g->out->count == g->capacity) {
        g->capacity = g->capacity == 0 ? 16 : 2 * g->capacity;
        Hdf5Link *grown = arena_alloc(g->arena, g->capacity * sizeof *grown);
        if (grown == NULL) return OUT_OF_MEMORY("the links of %s", g->file->input->path);
        if (g->out->count > 0) memcpy(grown, g->out->items, g->out->count * sizeof *grown);
        g->out->items = grown;
    }
    char *copy = arena_alloc(g->arena, length + 1);
    if (copy == NULL) return OUT_OF_MEMORY("the links of %s", g->file->input->path);
    memcpy(copy, name, length);
    g->out->items[g->out->count++] = (Hdf5Link){copy, address};
    return OK;
}

/* ---- old groups ------------------------------------------------------------------------------ */

static Status entry_add(GroupReader *g, const uint8_t *entry) {
    uint64_t at = number_at(entry, 8);
    bool is_soft = number_at(entry + 16, 4) == IS_SOFT;
    if (at >= g->names.size) return hdf5_damaged(g->file);
    const char *name = (const char *)g->names.at + at;
    size_t length = strnlen(name, g->names.size - (size_t)at);
    g->name_bytes += length + 1; /* many links that name one place would be a lot of copies */
    if (length == g->names.size - (size_t)at || g->name_bytes > g->names.size)
        return hdf5_damaged(g->file);
    return link_add(g, name, length, is_soft ? HDF5_NOWHERE : number_at(entry + 8, 8));
}

static Status node_read(GroupReader *g, uint64_t address) {
    uint8_t head[NODE_BYTES], entry[ENTRY_BYTES];
    TRY(item_count(g));
    TRY(place_read(g->file, address, head, sizeof head));
    if (memcmp(head, "SNOD\1", 5) != 0) return hdf5_damaged(g->file);
    uint64_t count = number_at(head + 6, 2), at = address + sizeof head;
    for (uint64_t i = 0; i < count; i++, at += sizeof entry) {
        TRY(place_read(g->file, at, entry, sizeof entry));
        TRY(entry_add(g, entry));
    }
    return OK;
}

/* Children lie between keys, of 8 bytes each. */
static Status tree_read(GroupReader *g, uint64_t address, int level) {
    uint8_t head[TREE_BYTES], child[8];
    TRY(item_count(g));
    TRY(place_read(g->file, address, head, sizeof head));
    bool is_sound =
        memcmp(head, "TREE\0", 5) == 0 && head[5] <= MOST_LEVEL && (level < 0 || head[5] == level);
    if (!is_sound) return hdf5_damaged(g->file);
    uint64_t count = number_at(head + 6, 2), at = address + sizeof head + 8;
    for (uint64_t i = 0; i < count; i++, at += 16) {
        TRY(place_read(g->file, at, child, sizeof child));
        uint64_t to = number_at(child, 8);
        TRY(head[5] > 0 ? tree_read(g, to, head[5] - 1) : node_read(g, to));
    }
    return OK;
}

/* Reads the names; they are for free(). */
static Status heap_read(GroupReader *g, uint64_t address, uint8_t **names) {
    uint8_t head[HEAP_BYTES];
    TRY(place_read(g->file, address, head, sizeof head));
    uint64_t bytes = number_at(head + 8, 8);
    if (memcmp(head, "HEAP\0", 5) != 0 || bytes > MOST_HEAP_BYTES || bytes > g->file->input->bytes)
        return hdf5_damaged(g->file);
    *names = malloc((size_t)bytes + 1);
    if (*names == NULL) return OUT_OF_MEMORY("the links of %s", g->file->input->path);
    g->names = (ByteRange){*names, (size_t)bytes};
    return place_read(g->file, number_at(head + 24, 8), *names, (size_t)bytes);
}

static Status table_read(GroupReader *g, ByteRange message) {
    uint8_t *names = NULL;
    if (message.size < 16) return hdf5_damaged(g->file);
    Status status = heap_read(g, number_at(message.at + 8, 8), &names);
    if (!failed(status)) status = tree_read(g, number_at(message.at, 8), -1);
    free(names);
    return status;
}

/* ---- new groups ------------------------------------------------------------------------------ */

/* IV.A.2.g */
static Status message_add(GroupReader *g, ByteRange message) {
    ByteRange head, part = {(const uint8_t[1]){0}, 1}, name, to;
    if (!bytes_take(&message, 2, &head) || head.at[0] != 1) return hdf5_damaged(g->file);
    int flags = head.at[1], width = 1 << (flags & 3);
    if ((flags & 8) != 0 && !bytes_take(&message, 1, &part)) return hdf5_damaged(g->file);
    bool is_hard = part.at[0] == 0;
    uint64_t skip = (flags & 4 ? 8U : 0U) + (flags & 16 ? 1U : 0U);
    bool fits = bytes_take(&message, skip, &part) && bytes_take(&message, (uint64_t)width, &part) &&
                bytes_take(&message, number_at(part.at, width), &name) &&
                bytes_take(&message, is_hard ? 8 : 0, &to);
    if (!fits) return hdf5_damaged(g->file);
    return link_add(g, (const char *)name.at, name.size,
                    is_hard ? number_at(to.at, 8) : HDF5_NOWHERE);
}

static Status messages_read(GroupReader *g, const Hdf5Object *group) {
    Message message;
    size_t at = 0;
    while (message_next(group, &at, &message)) {
        if (message.type == MESSAGE_LINK) TRY(message_add(g, message.body));
        if (message.type == MESSAGE_LINK_INFO && info_has_heap(message.body, 8))
            return ERROR(STATUS_DATA,
                         "%s: has more links in a group than fit its header; write it for an "
                         "older version of HDF5",
                         g->file->input->path);
    }
    return OK;
}

/* ---- both ------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b) {
    return strcmp(((const Hdf5Link *)a)->name, ((const Hdf5Link *)b)->name);
}

Status hdf5_links_read(const Hdf5File *file, const Hdf5Object *group, Arena *arena,
                       Hdf5Links *out) {
    Message table;
    GroupReader g = {.file = file, .arena = arena, .out = out};
    *out = (Hdf5Links){0};
    if (!hdf5_is_group(group)) return hdf5_damaged(file);
    bool is_old = message_find(group, MESSAGE_SYMBOL_TABLE, &table);
    TRY(is_old ? table_read(&g, table.body) : messages_read(&g, group));
    if (out->count > 0) qsort(out->items, out->count, sizeof *out->items, by_name);
    return OK;
}

const Hdf5Link *hdf5_link_find(const Hdf5Links *links, const char *name) {
    const Hdf5Link key = {.name = name};
    if (links->count == 0) return NULL;
    return bsearch(&key, links->items, links->count, sizeof key, by_name);
}
