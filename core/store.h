/* Store: tensors that outlive a step, in sections. A section is one contiguous range of tensors of
 * the same dtype, so an optimizer, an all-reduce or a checkpoint can process it as one long vector.
 *
 * Declare the tensors first; store_allocate then assigns zeroed memory to them. */
#pragma once

#include "core/base/arena.h"
#include "core/status.h"
#include "core/tensor.h"

typedef struct Device Device;

/* Every tensor of a section starts at a multiple of this number of elements: allows 16-byte
 * accesses in every dtype. */
enum { STORE_ALIGNMENT = 64 };

typedef struct StoreEntry {
    const char *name;
    Tensor *tensor;
} StoreEntry;

typedef struct Section {
    const char *name;
    DType dtype;
    Buffer buffer;
    StoreEntry *entries; /* in layout order */
    int n_entries, capacity;
    Tensor *flat; /* the whole section as one vector, with padding; grows with additions */
} Section;

typedef struct Store Store;

NODISCARD Status store_create(Store **out);
void store_destroy(Store **store); /* frees the device's memory too */

NODISCARD Status store_section(Store *store, const char *name, BufferKind kind, DType dtype,
                               Section **out);

/* Declares a tensor at the section's end. The name is copied. */
NODISCARD Status section_add(Store *store, Section *section, const char *name, int n_dims,
                             const int64_t *shape, Tensor **out);

/* Pads the section to this number of elements, a multiple of STORE_ALIGNMENT and not below its
 * length. */
NODISCARD Status section_pad(Section *section, int64_t length);

/* Bytes of all sections of one kind; of all sections. */
size_t store_kind_bytes(const Store *store, BufferKind kind);
size_t store_bytes(const Store *store);

/* One zeroed allocation per section. STATUS_FAILURE if the device has too little memory. The store
 * must not grow afterwards. */
NODISCARD Status store_allocate(Store *store, Device *device);

/* The sections, for checkpoints and tests. */
int store_section_count(const Store *store);
Section *store_section_at(const Store *store, int index);
