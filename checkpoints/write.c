/* Writes checkpoint files so that each is complete or absent. Uses no HDF5. */
#include "checkpoints/file_layout.h"

#include "core/base/file.h"
#include "core/base/replacement.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum { PIECE_BYTES = 8 << 20 };

static Status write_failed(const char *path, size_t bytes, CheckpointKeep keep, int error) {
    bool is_full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    if (!is_full || keep.in_memory) { /* more room on the disk is no help to memory */
        return ERROR(STATUS_FAILURE,
                     "%s: cannot be written (%zu bytes): %s; older checkpoints are kept", path,
                     bytes, strerror(error));
    }
    int beside = keep.best >= 0 ? 2 : 1;
    return ERROR(
        STATUS_FAILURE,
        "%s: cannot be written (%zu bytes): %s; free some space: checkpoint.keep + %d = %d "
        "of them must fit; older checkpoints are kept",
        path, bytes, strerror(error), beside, keep.newest + beside);
}

/* All whole blocks go past the page cache, which takes more time than the disk. */
static Status bytes_write(Replacement *new, const CheckpointImage *image, ImageHash *hash) {
    size_t whole = image->size / FILE_BLOCK * FILE_BLOCK;
    int64_t piece = 0;
    for (size_t at = 0, n; at < whole; at += n) {
        n = whole - at < PIECE_BYTES ? whole - at : PIECE_BYTES;
        image_copy_until(image, at + n, &piece);
        hash_add(hash, image->bytes + at, n);
        TRY(replacement_write_direct(new, image->bytes + at, n));
    }
    image_copy_until(image, image->size, &piece);
    hash_add(hash, image->bytes + whole, image->size - whole);
    return replacement_write(new, image->bytes + whole, image->size - whole);
}

static Status file_write(Replacement *new, const CheckpointImage *image, int64_t step) {
    Trailer trailer = {.image_bytes = image->size, .step = step};
    unsigned char encoded[TRAILER_BYTES];
    ImageHash *hash = hash_begin();
    if (hash == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to write a checkpoint");
    Status status = bytes_write(new, image, hash);
    hash_end(hash, trailer.hash);
    if (failed(status)) return status;
    trailer_encode(&trailer, encoded);
    return replacement_write(new, encoded, sizeof encoded);
}

Status image_write(const CheckpointImage *image, const char *path, int64_t step,
                   CheckpointKeep keep) {
    Replacement *new;
    Status arrived = image_arrive(image);
    if (failed(arrived))
        return status_prefixed(arrived, "%s: not saved, older checkpoints are kept", path);
    TRY(replacement_begin(path, &new));
    Status status = file_write(new, image, step);
    if (!failed(status) && !step_is_ours(path, (SavedStep){.step = step}))
        status = replacement_set_aside(path, NULL, 0);
    if (!failed(status)) status = replacement_commit(new);
    int error = replacement_error(new);
    replacement_destroy(&new);
    if (!failed(status) || error == 0) return status;
    return write_failed(path, image->size + TRAILER_BYTES, keep, error);
}

Status image_write_new(const CheckpointImage *image, const char *path, int64_t step) {
    Replacement *new;
    TRY(replacement_begin(path, &new));
    replacement_keep_old(new);
    return replacement_end(&new, file_write(new, image, step));
}

Status checkpoint_write(const CheckpointImage *image, const char *dir, int64_t step,
                        CheckpointKeep keep) {
    const SavedStep saved = {.step = step};
    char path[PATH_MAX];
    TRY(step_path(dir, saved, path));
    if (image->size == 0) return ERROR(STATUS_FAILURE, "%s: there is no snapshot to write", path);
    dead_saves_remove(dir);
    TRY(image_write(image, path, step, keep));
    return steps_prune(dir, saved, keep);
}
