/* The data of an image's tensors. Once they have arrived, they are copied in pieces, in the order
 * of the file: in the background by the thread that writes them and by one that runs ahead of it,
 * or by all threads at once when the tensors are about to change. Each piece is copied by whoever
 * claims it first. */
#include "checkpoints/file_layout.h"

#include "core/base/file.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1 << 20, PARALLEL_BYTES = 4 << 20 };

enum { PIECE_WAITS, PIECE_IS_CLAIMED, PIECE_IS_COPIED };

struct ImagePiece {
    const char *from;
    size_t at, bytes;
    atomic_int state;
};

static size_t tensor_data_bytes(const CheckpointTensor *tensor) {
    size_t bytes = tensor->data == NULL ? 0 : dtype_size(tensor->dtype);
    for (int d = 0; d < tensor->n_dims; d++) bytes *= (size_t)tensor->shape[d];
    return bytes;
}

static Status pieces_reserve(CheckpointImage *image, int64_t n) {
    if (n <= image->piece_capacity) return OK;
    ImagePiece *grown = realloc(image->pieces, (size_t)n * sizeof *grown);
    if (grown == NULL) return OUT_OF_MEMORY("a checkpoint");
    image->pieces = grown;
    image->piece_capacity = n;
    return OK;
}

static int in_order(const void *a, const void *b) {
    size_t x = ((const ImagePiece *)a)->at, y = ((const ImagePiece *)b)->at;
    return (x > y) - (x < y);
}

Status image_list_pieces(CheckpointImage *image, const CheckpointContents *contents) {
    int64_t n = 0;
    for (int64_t i = 0; i < contents->n_tensors; i++)
        n += (int64_t)(tensor_data_bytes(&contents->tensors[i]) / PIECE_BYTES) + 1;
    TRY(pieces_reserve(image, n));
    image->n_pieces = 0;
    for (int64_t i = 0; i < contents->n_tensors; i++) {
        size_t bytes = tensor_data_bytes(&contents->tensors[i]);
        for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
            ImagePiece *piece = &image->pieces[image->n_pieces++];
            piece->from = (const char *)contents->tensors[i].data + at;
            piece->at = image->places[i] + at;
            piece->bytes = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
            atomic_init(&piece->state, PIECE_WAITS);
        }
    }
    if (image->n_pieces > 0)
        qsort(image->pieces, (size_t)image->n_pieces, sizeof *image->pieces, in_order);
    return OK;
}

Status image_read_gaps(const CheckpointImage *image, int fd, size_t size) {
    size_t at = 0, got;
    for (int64_t i = 0; i <= image->n_pieces; i++) {
        const ImagePiece *piece = i < image->n_pieces ? &image->pieces[i] : NULL;
        size_t end = piece != NULL ? piece->at : size;
        if (end < at) return ERROR(STATUS_FAILURE, "checkpoint in memory: tensors overlap");
        TRY(file_read_at(fd, "checkpoint in memory", image->bytes + at, end - at, at, &got));
        if (got != end - at)
            return ERROR(STATUS_FAILURE, "checkpoint in memory: %zu bytes end at %zu", size,
                         at + got);
        if (piece != NULL) at = end + piece->bytes;
    }
    return OK;
}

Status image_arrive(const CheckpointImage *image) {
    return image->arrive == NULL ? OK : image->arrive(image->self);
}

static void piece_copy(const CheckpointImage *image, ImagePiece *piece) {
    int waits = PIECE_WAITS;
    if (!atomic_compare_exchange_strong(&piece->state, &waits, PIECE_IS_CLAIMED)) return;
    memcpy(image->bytes + piece->at, piece->from, piece->bytes);
    atomic_store(&piece->state, PIECE_IS_COPIED);
}

static void piece_wait(ImagePiece *piece) {
    while (atomic_load(&piece->state) != PIECE_IS_COPIED) sched_yield();
}

void image_copy_until(const CheckpointImage *image, size_t end, int64_t *next) {
    for (; *next < image->n_pieces && image->pieces[*next].at < end; ++*next) {
        piece_copy(image, &image->pieces[*next]);
        piece_wait(&image->pieces[*next]);
    }
}

void image_copy(const CheckpointImage *image) {
    if (failed(image_arrive(image))) return; /* the thread that writes reports it */
    for (int64_t i = 0; i < image->n_pieces; i++) piece_copy(image, &image->pieces[i]);
}

void checkpoint_image_finish(const CheckpointImage *image) {
    if (failed(image_arrive(image))) return;
#pragma omp parallel for schedule(dynamic) if (image->size > PARALLEL_BYTES)
    for (int64_t i = 0; i < image->n_pieces; i++) piece_copy(image, &image->pieces[i]);
    for (int64_t i = 0; i < image->n_pieces; i++) piece_wait(&image->pieces[i]);
}
