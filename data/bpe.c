#include "data/bpe.h"

#include <stdlib.h>
#include <string.h>

/* A word is merged by scanning all its pairs each time; for so few pairs this is faster than a
 * heap. */
enum { SHORT_BYTES = 48 };

static int smallest(const Merge *merges, int count) {
    int best = 0;
    for (int i = 1; i < count; i++) {
        if (merges[i].rank < merges[best].rank) best = i;
    }
    return best;
}

static Status encode_short(const Vocabulary *v, const uint8_t *piece, int length,
                           TokenBuffer *out) {
    int32_t tokens[SHORT_BYTES];
    Merge merges[SHORT_BYTES]; /* merges[i]: the merge of tokens[i] and tokens[i + 1] */
    int count = length;
    for (int i = 0; i < count; i++) tokens[i] = vocabulary_of_byte(v, piece[i]);
    for (int i = 0; i + 1 < count; i++) merges[i] = vocabulary_merge(v, tokens[i], tokens[i + 1]);
    while (count > 1) {
        int at = smallest(merges, count - 1);
        if (merges[at].rank == NO_MERGE) break;
        tokens[at] = merges[at].token;
        count--;
        memmove(tokens + at + 1, tokens + at + 2, (size_t)(count - at - 1) * sizeof *tokens);
        memmove(merges + at, merges + at + 1, (size_t)(count - at - 1) * sizeof *merges);
        if (at > 0) merges[at - 1] = vocabulary_merge(v, tokens[at - 1], tokens[at]);
        if (at + 1 < count) merges[at] = vocabulary_merge(v, tokens[at], tokens[at + 1]);
    }
    return token_buffer_append(out, tokens, (size_t)count);
}

/* A long piece is a linked list of tokens and a heap of the pairs that merge. A heap entry holds
 * the rank of the pair in its high bits and the position of the left token in its low bits, so the
 * smallest entry is the leftmost pair of the smallest rank. When a neighbor merges, old entries
 * stay in the heap; an entry whose rank no longer matches its position is skipped. */
typedef struct ListNode {
    int32_t token;
    uint32_t rank; /* of the merge with the next token; NO_MERGE at the end, and for a token that
                      has been merged into another */
    uint32_t previous, next;
} ListNode;

typedef struct LongPiece {
    const Vocabulary *vocabulary;
    ListNode *nodes; /* nodes[0 .. length): one per byte; nodes[length] marks the end */
    uint64_t *heap;
    size_t heap_count; /* at most 2 * length: each merge removes one entry and adds at most two */
    uint32_t length;
} LongPiece;

static void heap_push(LongPiece *p, uint64_t entry) {
    size_t at = p->heap_count++;
    for (size_t up; at > 0 && p->heap[up = (at - 1) / 2] > entry; at = up)
        p->heap[at] = p->heap[up];
    p->heap[at] = entry;
}

static uint64_t heap_pop(LongPiece *p) {
    uint64_t top = p->heap[0], last = p->heap[--p->heap_count];
    size_t at = 0, n = p->heap_count;
    for (size_t down; (down = 2 * at + 1) < n; at = down) {
        if (down + 1 < n && p->heap[down + 1] < p->heap[down]) down++;
        if (p->heap[down] >= last) break;
        p->heap[at] = p->heap[down];
    }
    p->heap[at] = last;
    return top;
}

/* Finds the merge of the token at a position with the next token. */
static void pair_update(LongPiece *p, uint32_t at) {
    ListNode *node = &p->nodes[at];
    node->rank = NO_MERGE;
    if (node->next == p->length) return;
    node->rank = vocabulary_merge(p->vocabulary, node->token, p->nodes[node->next].token).rank;
    if (node->rank != NO_MERGE) heap_push(p, (uint64_t)node->rank << 32 | at);
}

static void pair_merge(LongPiece *p, uint32_t at) {
    ListNode *node = &p->nodes[at], *right = &p->nodes[node->next];
    node->token = vocabulary_merge(p->vocabulary, node->token, right->token).token;
    right->rank = NO_MERGE;
    node->next = right->next;
    p->nodes[node->next].previous = at;
    pair_update(p, at);
    if (at > 0) pair_update(p, node->previous);
}

static void long_piece_merge(LongPiece *p, const uint8_t *piece) {
    for (uint32_t i = 0; i < p->length; i++) {
        p->nodes[i] =
            (ListNode){vocabulary_of_byte(p->vocabulary, piece[i]), NO_MERGE, i - 1, i + 1};
    }
    for (uint32_t i = 0; i < p->length; i++) pair_update(p, i);
    while (p->heap_count > 0) {
        uint64_t entry = heap_pop(p);
        uint32_t at = (uint32_t)entry, rank = (uint32_t)(entry >> 32);
        if (p->nodes[at].rank == rank) pair_merge(p, at);
    }
}

static Status encode_long(const Vocabulary *v, const uint8_t *piece, uint32_t length,
                          TokenBuffer *out) {
    LongPiece p = {.vocabulary = v, .length = length};
    Status status = OK;
    p.nodes = malloc(((size_t)length + 1) * sizeof *p.nodes);
    p.heap = malloc(2 * (size_t)length * sizeof *p.heap);
    if (p.nodes == NULL || p.heap == NULL) {
        status = OUT_OF_MEMORY("a piece of %u bytes", length);
        goto done;
    }
    long_piece_merge(&p, piece);
    for (uint32_t i = 0; i < length; i = p.nodes[i].next) {
        TRY_ELSE(status, token_buffer_append(out, &p.nodes[i].token, 1), done);
    }
done:
    free(p.nodes);
    free(p.heap);
    return status;
}

Status bpe_encode(const Vocabulary *v, const uint8_t *piece, size_t length, TokenBuffer *out) {
    if (length <= SHORT_BYTES) return encode_short(v, piece, (int)length, out);
    if (length >= UINT32_MAX)
        return ERROR(STATUS_DATA,
                     "a piece of %zu bytes without a break is too long; insert spaces or newlines",
                     length);
    return encode_long(v, piece, (uint32_t)length, out);
}
