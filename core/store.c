#include "core/store.h"

#include "core/base/checked.h"
#include "core/device.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SECTIONS = 16 };

struct Store {
    Arena arena;
    Section *sections[MAX_SECTIONS];
    int n_sections;
    Device *device; /* owns the memory; NULL before store_allocate */
};

static Status no_memory(void) {
    return ERROR(STATUS_OUT_OF_MEMORY, "out of memory while laying out a store");
}

Status store_create(Store **out) {
    *out = calloc(1, sizeof **out);
    return *out == NULL ? no_memory() : OK;
}

void store_destroy(Store **store) {
    if (store == NULL || *store == NULL) return;
    for (int i = 0; i < (*store)->n_sections; i++) {
        Section *section = (*store)->sections[i];
        if ((*store)->device != NULL)
            device_free((*store)->device, section->buffer.data, section->buffer.bytes);
        free(section->entries);
    }
    arena_free(&(*store)->arena);
    free(*store);
    *store = NULL;
}

Status store_section(Store *store, const char *name, BufferKind kind, DType dtype, Section **out) {
    Section *section = arena_alloc(&store->arena, sizeof *section);
    Tensor *flat = arena_alloc(&store->arena, sizeof *flat);
    if (section == NULL || flat == NULL || store->n_sections == MAX_SECTIONS) return no_memory();
    *section = (Section){.name = arena_strdup(&store->arena, name),
                         .dtype = dtype,
                         .buffer = {.kind = kind, .persistent = true},
                         .flat = flat};
    *flat = (Tensor){.buffer = &section->buffer, .dtype = dtype, .n_dims = 1};
    store->sections[store->n_sections++] = section;
    *out = section;
    return OK;
}

static bool entries_grow(Section *section) {
    if (section->n_entries < section->capacity) return true;
    int capacity = section->capacity == 0 ? 32 : section->capacity * 2;
    StoreEntry *grown = realloc(section->entries, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return false;
    section->entries = grown;
    section->capacity = capacity;
    return true;
}

static bool section_grow(Section *section, size_t elements) {
    size_t bytes;
    bool fits = checked_mul(elements, dtype_size(section->dtype), &bytes) &&
                checked_add(section->buffer.bytes, bytes, &section->buffer.bytes);
    if (fits)
        section->flat->shape[0] = (int64_t)(section->buffer.bytes / dtype_size(section->dtype));
    return fits;
}

Status section_add(Store *store, Section *section, const char *name, int n_dims,
                   const int64_t *shape, Tensor **out) {
    Tensor *t = arena_alloc(&store->arena, sizeof *t);
    const char *copy = arena_strdup(&store->arena, name);
    if (t == NULL || copy == NULL || !entries_grow(section)) return no_memory();
    *t = (Tensor){.buffer = &section->buffer,
                  .offset = section->buffer.bytes,
                  .dtype = section->dtype,
                  .n_dims = n_dims};
    int64_t count = 1;
    for (int i = 0; i < n_dims; i++) {
        t->shape[i] = shape[i];
        if (shape[i] < 0 || !checked_mul_i64(count, shape[i], &count)) {
            return ERROR(STATUS_CONFIG, "%s: the tensor is too large to address", name);
        }
    }
    size_t elements = ((size_t)count + STORE_ALIGNMENT - 1) / STORE_ALIGNMENT * STORE_ALIGNMENT;
    if (!section_grow(section, elements))
        return ERROR(STATUS_CONFIG, "%s: the tensor is too large to address", name);
    section->entries[section->n_entries++] = (StoreEntry){copy, t};
    *out = t;
    return OK;
}

Status section_pad(Section *section, int64_t length) {
    if (section_grow(section, (size_t)(length - section->flat->shape[0]))) return OK;
    return ERROR(STATUS_CONFIG, "%s: too large to address", section->name);
}

size_t store_kind_bytes(const Store *store, BufferKind kind) {
    size_t bytes = 0;
    for (int i = 0; i < store->n_sections; i++) {
        if (store->sections[i]->buffer.kind == kind) bytes += store->sections[i]->buffer.bytes;
    }
    return bytes;
}

size_t store_bytes(const Store *store) {
    size_t bytes = 0;
    for (int i = 0; i < store->n_sections; i++) bytes += store->sections[i]->buffer.bytes;
    return bytes;
}

Status store_allocate(Store *store, Device *device) {
    store->device = device;
    for (int i = 0; i < store->n_sections; i++) {
        Section *section = store->sections[i];
        TRY(device_alloc(device, section->buffer.bytes, section->name, &section->buffer.data));
    }
    return OK;
}

int store_section_count(const Store *store) { return store->n_sections; }

Section *store_section_at(const Store *store, int index) { return store->sections[index]; }
