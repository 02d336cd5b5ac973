#include "checkpoints/logits_file.h"

#include "checkpoints/file_layout.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/replacement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { USER_BLOCK = 512, LOGITS = 0, TOKENS, TARGETS, PARTS };

static const char block_magic[] = "hourglass logits";
enum { MAGIC_BYTES = sizeof block_magic - 1 };

typedef struct LogitsPart {
    const char *name;
    DType dtype;
    int n_dims;
} LogitsPart;

static const LogitsPart parts[PARTS] = {
    [LOGITS] = {"logits", DTYPE_F32, 3},
    [TOKENS] = {"tokens", DTYPE_I32, 2},
    [TARGETS] = {"targets", DTYPE_I32, 2},
};

struct LogitsFile {
    const char *path;
    size_t window[PARTS]; /* bytes of one */
    haddr_t at[PARTS];    /* of window 0 in the file */
    Replacement *new;
};

/* ---- sizes ----------------------------------------------------------------------------------- */

/* The bytes of one window of each part. */
static bool windows_measure(const LogitsHeader *header, size_t window[PARTS]) {
    size_t row = (size_t)header->T * sizeof(int32_t);
    window[TOKENS] = window[TARGETS] = row;
    return checked_mul(row, (size_t)header->V, &window[LOGITS]);
}

Status logits_file_bytes(const LogitsHeader *header, size_t *out) {
    size_t window[PARTS], bytes;
    bool fits = windows_measure(header, window);
    *out = 0;
    for (int i = 0; i < PARTS; i++)
        fits = fits && checked_mul(window[i], (size_t)header->N, &bytes) &&
               checked_add(*out, bytes, out);
    return fits ? OK : ERROR(STATUS_USAGE, "the logits of so many tokens have no size; take fewer");
}

/* ---- the structure --------------------------------------------------------------------------- */

static bool part_create(hid_t file, const LogitsPart *part, const LogitsHeader *header,
                        haddr_t *at) {
    const hsize_t shape[] = {(hsize_t)header->N, (hsize_t)header->T, (hsize_t)header->V};
    hid_t space = H5Screate_simple(part->n_dims, shape, NULL);
    hid_t set = hdf5_dataset_create(file, part->name, dtype_file_type(part->dtype), space, true);
    *at = set < 0 ? HADDR_UNDEF : H5Dget_offset(set);
    if (set >= 0) H5Dclose(set);
    H5Sclose(space);
    return *at != HADDR_UNDEF;
}

static Status values_write(hid_t file, const LogitsHeader *header) {
    const CheckpointValue step = {.name = "step", .kind = CHECKPOINT_I64, .i64 = header->step},
                          model = {.name = "model", .kind = CHECKPOINT_TEXT, .text = header->model},
                          data = {.name = "data", .kind = CHECKPOINT_TEXT, .text = header->data};
    hid_t texts = H5Gcreate2(file, "text", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    Status status = hdf5_number_write(file, &step);
    if (!failed(status)) status = hdf5_text_write(texts, &model);
    if (!failed(status)) status = hdf5_text_write(texts, &data);
    if (texts >= 0) H5Gclose(texts);
    return status;
}

static Status cannot_make(const LogitsFile *f) {
    return ERROR(STATUS_FAILURE, "%s: HDF5 cannot make the file: %s; free some space", f->path,
                 hdf5_reason());
}

static Status structure_write(LogitsFile *f, hid_t file, const LogitsHeader *header) {
    TRY(values_write(file, header));
    for (int i = 0; i < PARTS; i++) {
        if (!part_create(file, &parts[i], header, &f->at[i])) return cannot_make(f);
    }
    return OK;
}

/* HDF5 opens the temporary file of the replacement, which has no other writer. */
static Status structure_make(LogitsFile *f, const LogitsHeader *header) {
    hdf5_begin();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_file_locking(access, false, true);
    H5Pset_userblock(creation, USER_BLOCK);
    hid_t file = H5Fcreate(replacement_temporary(f->new), H5F_ACC_TRUNC, creation, access);
    Status status = file < 0 ? cannot_make(f) : structure_write(f, file, header);
    if (file >= 0 && H5Fclose(file) < 0 && !failed(status)) status = cannot_make(f);
    H5Pclose(creation);
    H5Pclose(access);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

static Status bytes_write(const LogitsFile *f, const void *bytes, size_t n, size_t at) {
    int fd = replacement_fd(f->new);
    int error = lseek(fd, (off_t)at, SEEK_SET) < 0 ? errno : file_write_all(fd, bytes, n);
    return error == 0 ? OK : file_cannot_write(f->path, error);
}

Status logits_file_create(const char *path, const LogitsHeader *header, LogitsFile **out) {
    LogitsFile *f = *out = calloc(1, sizeof *f);
    const char *const starts[] = {block_magic, NULL};
    size_t bytes;
    if (f == NULL) return OUT_OF_MEMORY("logits");
    f->path = path;
    Status status = logits_file_bytes(header, &bytes);
    (void)windows_measure(header, f->window);
    if (!failed(status)) status = replacement_check(path, starts, "a file of logits");
    if (!failed(status)) status = replacement_begin(path, &f->new);
    if (!failed(status)) status = structure_make(f, header);
    if (!failed(status)) status = bytes_write(f, block_magic, MAGIC_BYTES, 0);
    return failed(status) ? logits_file_finish(out, status) : OK;
}

Status logits_file_write(LogitsFile *f, int64_t n, const int32_t *tokens, const int32_t *targets,
                         const float *logits) {
    const void *const data[PARTS] = {[LOGITS] = logits, [TOKENS] = tokens, [TARGETS] = targets};
    for (int i = 0; i < PARTS; i++)
        TRY(bytes_write(f, data[i], f->window[i], f->at[i] + (size_t)n * f->window[i]));
    return OK;
}

Status logits_file_finish(LogitsFile **file, Status status) {
    LogitsFile *f = *file;
    if (f == NULL) return status;
    if (f->new != NULL) status = replacement_end(&f->new, status);
    free(f);
    *file = NULL;
    return status;
}
