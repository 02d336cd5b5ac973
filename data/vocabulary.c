#include "data/vocabulary.h"

#include "core/base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The first one is added to a vocabulary without any of them. */
static const char *const ends_of_text[] = {"<|endoftext|>", "<|end_of_text|>",
                                           "<\xef\xbd\x9c"
                                           "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
                                           "</s>"};

enum { MAX_TOKEN_BYTES = 1 << 16, MAX_MERGES = 1 << 23 };

typedef struct Entry {
    size_t offset;   /* offset into text */
    uint32_t length; /* 0: the id is unused */
    bool is_special; /* not in by_bytes */
} Entry;

/* One slot of the open-addressed table of merges; merge.token is NO_TOKEN if the slot is empty. */
typedef struct MergeSlot {
    uint64_t pair;
    Merge merge;
} MergeSlot;

struct Vocabulary {
    Entry *entries;
    int64_t size, most;
    uint8_t *text;
    size_t text_bytes, text_capacity;

    int32_t *by_bytes; /* open-addressed table, hashed by the bytes of a token */
    size_t by_bytes_mask;
    int32_t of_byte[256];
    int32_t end_of_text;
    bool takes_whole_pieces;

    MergeSlot *merges;
    size_t merges_count;
    int merges_bits; /* the table has 2^merges_bits slots */
};

Status vocabulary_create(int64_t most, Vocabulary **out) {
    Vocabulary *v = calloc(1, sizeof *v);
    if (v != NULL)
        v->entries =
            calloc((size_t)most + 1,
                   sizeof *v->entries); /* plus an end of text, if the vocabulary has none */
    if (v == NULL || v->entries == NULL) {
        free(v);
        return OUT_OF_MEMORY("a vocabulary");
    }
    v->most = most;
    v->end_of_text = NO_TOKEN;
    *out = v;
    return OK;
}

void vocabulary_destroy(Vocabulary **vocabulary) {
    if (vocabulary == NULL || *vocabulary == NULL) return;
    free((*vocabulary)->entries);
    free((*vocabulary)->text);
    free((*vocabulary)->by_bytes);
    free((*vocabulary)->merges);
    free(*vocabulary);
    *vocabulary = NULL;
}

static Status text_append(Vocabulary *v, const uint8_t *bytes, size_t length) {
    if (v->text_bytes + length > v->text_capacity) {
        size_t capacity = 2 * (v->text_bytes + length) + (1 << 16);
        uint8_t *text = realloc(v->text, capacity);
        if (text == NULL) return OUT_OF_MEMORY("a vocabulary");
        v->text = text;
        v->text_capacity = capacity;
    }
    memcpy(v->text + v->text_bytes, bytes, length);
    v->text_bytes += length;
    return OK;
}

static Status entry_add(Vocabulary *v, int64_t id, const uint8_t *bytes, size_t length) {
    v->entries[id] = (Entry){.offset = v->text_bytes, .length = (uint32_t)length};
    if (id >= v->size) v->size = id + 1;
    return text_append(v, bytes, length);
}

static Status id_check(const Vocabulary *v, int64_t id, size_t length) {
    if (id < 0 || id >= v->most) {
        return ERROR(STATUS_DATA,
                     "token id %lld is out of range: the ids of %lld tokens are 0 to %lld",
                     (long long)id, (long long)v->most, (long long)v->most - 1);
    }
    if (length > 0 && length <= MAX_TOKEN_BYTES) return OK;
    return ERROR(STATUS_DATA, "token %lld is %zu bytes long; 1 to %d are possible", (long long)id,
                 length, MAX_TOKEN_BYTES);
}

Status vocabulary_add(Vocabulary *v, int64_t id, const uint8_t *bytes, size_t length) {
    TRY(id_check(v, id, length));
    if (v->entries[id].length > 0)
        return ERROR(STATUS_DATA, "token id %lld occurs twice", (long long)id);
    return entry_add(v, id, bytes, length);
}

static bool has_bytes(const Vocabulary *v, int64_t id, const char *text) {
    const Entry *entry = &v->entries[id];
    return entry->length == strlen(text) &&
           memcmp(v->text + entry->offset, text, entry->length) == 0;
}

Status vocabulary_add_special(Vocabulary *v, int64_t id, const char *text) {
    TRY(id_check(v, id, strlen(text)));
    if (v->entries[id].length > 0 && has_bytes(v, id, text)) return OK;
    TRY(vocabulary_add(v, id, (const uint8_t *)text, strlen(text)));
    v->entries[id].is_special = true;
    return OK;
}

void vocabulary_reserve(Vocabulary *v, int64_t size) { v->size = size > v->size ? size : v->size; }

static size_t bytes_slot(const Vocabulary *v, const uint8_t *bytes, size_t length) {
    size_t slot = XXH3_64bits(bytes, length) & v->by_bytes_mask;
    for (int32_t token; (token = v->by_bytes[slot]) != NO_TOKEN;
         slot = (slot + 1) & v->by_bytes_mask) {
        const Entry *entry = &v->entries[token];
        if (entry->length == length && memcmp(v->text + entry->offset, bytes, length) == 0) break;
    }
    return slot;
}

int32_t vocabulary_find(const Vocabulary *v, const uint8_t *bytes, size_t length) {
    return v->by_bytes[bytes_slot(v, bytes, length)];
}

static Status index_by_bytes(Vocabulary *v) {
    size_t slots = 1024;
    while (slots < 2 * (size_t)v->size + 2)
        slots *= 2; /* includes the end of text that may be added later */
    v->by_bytes = malloc(slots * sizeof *v->by_bytes);
    if (v->by_bytes == NULL) return OUT_OF_MEMORY("a vocabulary");
    memset(v->by_bytes, 0xff, slots * sizeof *v->by_bytes); /* sets every slot to NO_TOKEN */
    v->by_bytes_mask = slots - 1;
    for (int32_t token = 0; token < v->size; token++) {
        const Entry *entry = &v->entries[token];
        if (entry->length == 0 || entry->is_special) continue;
        size_t slot = bytes_slot(v, v->text + entry->offset, entry->length);
        if (v->by_bytes[slot] != NO_TOKEN) {
            return ERROR(STATUS_DATA, "tokens %d and %d have the same bytes", v->by_bytes[slot],
                         token);
        }
        v->by_bytes[slot] = token;
    }
    return OK;
}

static int32_t special_find(const Vocabulary *v, const char *text) {
    for (int32_t id = 0; id < v->size; id++) {
        if (v->entries[id].is_special && has_bytes(v, id, text)) return id;
    }
    return NO_TOKEN;
}

static Status end_of_text_find(Vocabulary *v) {
    const uint8_t *text = (const uint8_t *)ends_of_text[0];
    size_t length = strlen(ends_of_text[0]), n = sizeof ends_of_text / sizeof ends_of_text[0];
    v->end_of_text = vocabulary_find(v, text, length);
    for (size_t i = 0; i < n && v->end_of_text == NO_TOKEN; i++)
        v->end_of_text = special_find(v, ends_of_text[i]);
    if (v->end_of_text != NO_TOKEN) return OK;
    v->end_of_text = (int32_t)v->size;
    TRY(entry_add(v, v->size, text, length));
    v->entries[v->end_of_text].is_special = true;
    return OK;
}

Status vocabulary_finish(Vocabulary *v) {
    TRY(index_by_bytes(v));
    for (int byte = 0; byte < 256; byte++) {
        v->of_byte[byte] = vocabulary_find(v, &(uint8_t){(uint8_t)byte}, 1);
        if (v->of_byte[byte] == NO_TOKEN)
            return ERROR(STATUS_DATA, "no token for the byte 0x%02x", byte);
    }
    return end_of_text_find(v);
}

int64_t vocabulary_size(const Vocabulary *v) { return v->size; }
int32_t vocabulary_end_of_text(const Vocabulary *v) { return v->end_of_text; }
int32_t vocabulary_of_byte(const Vocabulary *v, uint8_t byte) { return v->of_byte[byte]; }
bool vocabulary_takes_whole_pieces(const Vocabulary *v) { return v->takes_whole_pieces; }
void vocabulary_take_whole_pieces(Vocabulary *v) { v->takes_whole_pieces = true; }

const uint8_t *vocabulary_bytes(const Vocabulary *v, int64_t token, size_t *length) {
    if (token < 0 || token >= v->size) return NULL;
    *length = v->entries[token].length;
    return v->text + v->entries[token].offset;
}

uint64_t vocabulary_hash(const Vocabulary *v) {
    uint64_t hash = (uint64_t)v->end_of_text;
    for (int64_t token = 0; token < v->size; token++) {
        const Entry *entry = &v->entries[token];
        hash = XXH3_64bits_withSeed(v->text + entry->offset, entry->length, hash + entry->length);
    }
    return hash;
}

uint64_t vocabulary_merges_hash(const Vocabulary *v) {
    uint64_t sum = 0;
    for (size_t i = 0; v->merges != NULL && i < (size_t)1 << v->merges_bits; i++) {
        const MergeSlot *slot = &v->merges[i];
        uint64_t words[3] = {slot->pair, slot->merge.rank, (uint64_t)slot->merge.token};
        if (slot->merge.token != NO_TOKEN) sum += XXH3_64bits(words, sizeof words);
    }
    return sum;
}

/* Fibonacci hashing: the high bits of a product with 2^64 / phi. Source: Knuth, TAOCP 3, section
 * 6.4. */
static size_t merge_slot(const Vocabulary *v, uint64_t pair) {
    size_t mask = ((size_t)1 << v->merges_bits) - 1;
    size_t slot = (pair * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - v->merges_bits);
    while (v->merges[slot].merge.token != NO_TOKEN && v->merges[slot].pair != pair)
        slot = (slot + 1) & mask;
    return slot;
}

static uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

Merge vocabulary_merge(const Vocabulary *v, int32_t left, int32_t right) {
    if (v->merges == NULL) return (Merge){NO_MERGE, NO_TOKEN};
    return v->merges[merge_slot(v, pair_of(left, right))].merge;
}

static Status merges_grow(Vocabulary *v) {
    if (v->merges != NULL && 2 * (v->merges_count + 1) <= (size_t)1 << v->merges_bits) return OK;
    MergeSlot *old = v->merges;
    size_t n_old = old == NULL ? 0 : (size_t)1 << v->merges_bits;
    int bits = old == NULL ? 12 : v->merges_bits + 1;
    MergeSlot *merges = malloc(((size_t)1 << bits) * sizeof *merges);
    if (merges == NULL) return OUT_OF_MEMORY("a vocabulary");
    for (size_t i = 0; i < (size_t)1 << bits; i++) merges[i] = (MergeSlot){0, {NO_MERGE, NO_TOKEN}};
    v->merges = merges;
    v->merges_bits = bits;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].merge.token != NO_TOKEN) v->merges[merge_slot(v, old[i].pair)] = old[i];
    }
    free(old);
    return OK;
}

Status vocabulary_add_merge(Vocabulary *v, int32_t left, int32_t right, Merge merge) {
    if (v->merges_count == MAX_MERGES)
        return ERROR(STATUS_DATA, "more than %d pairs of tokens merge", MAX_MERGES);
    TRY(merges_grow(v));
    MergeSlot *slot = &v->merges[merge_slot(v, pair_of(left, right))];
    if (slot->merge.token != NO_TOKEN)
        return ERROR(STATUS_DATA, "this pair of tokens merges twice");
    *slot = (MergeSlot){pair_of(left, right), merge};
    v->merges_count++;
    return OK;
}
