/* The snapshot: HDF5 lays the file out in a file in memory, the skeleton, which has all but the
 * tensors' data: holes there, which take no memory and no time. The rest of it, some KiB, is copied
 * to the image, and image_copy.c copies the data to their places, which takes all threads half the
 * time of H5Dwrite on two cores. HDF5's driver for files in memory would clear the whole image,
 * while training waits. */
#include "checkpoints/file_layout.h"

#include "core/base/checked.h"
#include "core/base/file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(BYTE_ORDER == LITTLE_ENDIAN, "tensors are copied into a little-endian file");

/* BYTES_BASE: 8 KiB of HDF5's own, and a margin. */
enum { BYTES_BASE = 72 << 10, BYTES_EACH = 640 };

/* A dataset's object header takes 272 bytes and its link about 64 (a node for 4 to 8 links, a heap
 * that doubles); an attribute takes less. */
static Status bound_add(size_t *bytes, size_t n_elements, size_t element, const char *name) {
    size_t data;
    if (!checked_mul(n_elements, element, &data) || !checked_add(*bytes, data, bytes) ||
        !checked_add(*bytes, BYTES_EACH + 4 * strlen(name), bytes)) {
        return ERROR(STATUS_FAILURE, "checkpoint: the size of '%s' overflows", name);
    }
    return OK;
}

static Status element_count(const CheckpointTensor *tensor, size_t *out) {
    *out = 1;
    for (int i = 0; i < tensor->n_dims; i++) {
        if (tensor->shape[i] < 0 || !checked_mul(*out, (size_t)tensor->shape[i], out)) {
            return ERROR(STATUS_FAILURE, "checkpoint: the shape of tensor '%s' overflows",
                         tensor->name);
        }
    }
    return OK;
}

/* Upper bound of the file's bytes. `without`: without the data of tensors that have none here. */
static Status file_bound(const CheckpointContents *contents, bool without, size_t *out) {
    size_t bytes = BYTES_BASE, count;
    for (int64_t i = 0; i < contents->n_tensors; i++) {
        const CheckpointTensor *tensor = &contents->tensors[i];
        TRY(element_count(tensor, &count));
        if (without && tensor->data == NULL) count = 0;
        TRY(bound_add(&bytes, count, dtype_size(tensor->dtype), tensor->name));
    }
    for (int64_t i = 0; i < contents->n_values; i++) {
        const CheckpointValue *value = &contents->values[i];
        TRY(bound_add(&bytes, value->kind == CHECKPOINT_TEXT ? strlen(value->text) + 1 : 8, 1,
                      value->name));
    }
    *out = bytes;
    return OK;
}

Status checkpoint_image_bytes(const CheckpointContents *contents, size_t *out) {
    return file_bound(contents, false, out);
}

static bool image_reserve(CheckpointImage *image, size_t bytes) {
    if (bytes <= image->capacity) return true;
    size_t blocks = (bytes + FILE_BLOCK - 1) / FILE_BLOCK;
    unsigned char *grown = aligned_alloc(FILE_BLOCK, blocks * FILE_BLOCK);
    if (grown == NULL) return false;
    free(image->bytes);
    image->bytes = grown;
    image->capacity = bytes;
    return true;
}

Status checkpoint_image_create(size_t bytes, CheckpointImage **out) {
    CheckpointImage *image = calloc(1, sizeof *image);
    if (image == NULL || !image_reserve(image, bytes)) {
        free(image);
        return OUT_OF_MEMORY("a checkpoint of %zu bytes", bytes);
    }
    *out = image;
    return OK;
}

void checkpoint_image_touch(CheckpointImage *image) { memset(image->bytes, 0, image->capacity); }

void checkpoint_image_destroy(CheckpointImage **image) {
    if (*image == NULL) return;
    free((*image)->bytes);
    free((*image)->places);
    free((*image)->pieces);
    free(*image);
    *image = NULL;
}

/* ---- contents -------------------------------------------------------------------------------- */

hid_t hdf5_dataset_create(hid_t place, const char *name, hid_t type, hid_t space, bool is_stored) {
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(plan, false); /* the same state gives the same file */
    H5Pset_fill_time(plan, H5D_FILL_TIME_NEVER);
    H5Pset_alloc_time(plan, is_stored ? H5D_ALLOC_TIME_EARLY : H5D_ALLOC_TIME_LATE);
    hid_t set = H5Dcreate2(place, name, type, space, H5P_DEFAULT, plan, H5P_DEFAULT);
    H5Pclose(plan);
    return set;
}

static Status cannot_store(const char *name) {
    return ERROR(STATUS_FAILURE, "checkpoint: cannot store '%s': %s", name, hdf5_reason());
}

/* *place: offset of the data in the image. */
static Status tensor_allocate(hid_t file, const CheckpointTensor *tensor, hid_t space,
                              size_t *place) {
    hid_t set = hdf5_dataset_create(file, tensor->name, dtype_file_type(tensor->dtype), space,
                                    tensor->data != NULL);
    if (set < 0) return cannot_store(tensor->name);
    haddr_t at = H5Dget_offset(set);
    H5Dclose(set);
    *place = at == HADDR_UNDEF ? 0 : (size_t)at; /* undefined without elements or data */
    return OK;
}

static Status tensor_create(hid_t file, const CheckpointTensor *tensor, size_t *place) {
    size_t count;
    TRY(element_count(tensor, &count));
    if (dtype_file_type(tensor->dtype) < 0) {
        return ERROR(STATUS_UNSUPPORTED,
                     "checkpoint: tensor '%s' is %s, which checkpoints do not hold", tensor->name,
                     dtype_name(tensor->dtype));
    }
    if (strchr(tensor->name, '/') != NULL || tensor->n_dims > CHECKPOINT_MAX_DIMS) {
        return ERROR(STATUS_FAILURE,
                     "checkpoint: tensor '%s' has a '/' in its name or over %d dimensions",
                     tensor->name, CHECKPOINT_MAX_DIMS);
    }
    hsize_t shape[CHECKPOINT_MAX_DIMS];
    for (int i = 0; i < tensor->n_dims; i++) shape[i] = (hsize_t)tensor->shape[i];
    hid_t space =
        tensor->n_dims == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(tensor->n_dims, shape, NULL);
    Status status = tensor_allocate(file, tensor, space, place);
    H5Sclose(space);
    return status;
}

Status hdf5_number_write(hid_t file, const CheckpointValue *value) {
    bool is_integer = value->kind == CHECKPOINT_I64;
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(file, value->name, is_integer ? H5T_STD_I64LE : H5T_IEEE_F64LE,
                                 space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t wrote = -1;
    if (attribute >= 0) {
        wrote = is_integer ? H5Awrite(attribute, H5T_NATIVE_INT64, &value->i64)
                           : H5Awrite(attribute, H5T_NATIVE_DOUBLE, &value->f64);
    }
    Status status = wrote < 0 ? cannot_store(value->name) : OK;
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    return status;
}

Status hdf5_text_write(hid_t group, const CheckpointValue *value) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(value->text) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t set = hdf5_dataset_create(group, value->name, type, space, true);
    herr_t wrote = set < 0 ? -1 : H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value->text);
    Status status = wrote < 0 ? cannot_store(value->name) : OK;
    if (set >= 0) H5Dclose(set);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

static Status contents_create(hid_t file, hid_t texts, const CheckpointContents *contents,
                              size_t *places) {
    for (int64_t i = 0; i < contents->n_values; i++) {
        const CheckpointValue *value = &contents->values[i];
        TRY(value->kind == CHECKPOINT_TEXT ? hdf5_text_write(texts, value)
                                           : hdf5_number_write(file, value));
    }
    for (int64_t i = 0; i < contents->n_tensors; i++)
        TRY(tensor_create(file, &contents->tensors[i], &places[i]));
    return OK;
}

static Status places_reserve(CheckpointImage *image, int64_t n) {
    if (n <= image->n_places) return OK;
    size_t *grown = realloc(image->places, (size_t)n * sizeof *grown);
    if (grown == NULL) return OUT_OF_MEMORY("a checkpoint");
    image->places = grown;
    image->n_places = n;
    return OK;
}

/* ---- the skeleton ---------------------------------------------------------------------------- */

static Status cannot_build(const char *reason) {
    return ERROR(STATUS_FAILURE, "checkpoint: cannot build the image: %s", reason);
}

/* HDF5 does not survive the signal that the kernel sends beyond the limit, nor does the process.
 * A manifest describes tensors whose data are in other files. */
static Status limit_check(const CheckpointContents *contents) {
    struct rlimit limit;
    size_t bytes;
    TRY(file_bound(contents, true, &bytes));
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        bytes + TRAILER_BYTES <= limit.rlim_cur)
        return OK;
    return ERROR(
        STATUS_FAILURE,
        "checkpoint: its %zu bytes at most exceed the limit of a file's size, %llu; raise it "
        "(ulimit -f unlimited); older checkpoints are kept",
        bytes + TRAILER_BYTES, (unsigned long long)limit.rlim_cur);
}

/* A file in memory, with a path for HDF5. Returns a descriptor, or -1 and errno: vm.memfd_noexec
 * refuses memory files, and a container may lack /proc. */
static int memory_file_open(char path[PATH_MAX]) {
    int fd = memfd_create("checkpoint", MFD_CLOEXEC);
    snprintf(path, PATH_MAX, "/proc/self/fd/%d", fd);
    if (fd < 0 || access(path, W_OK) == 0) return fd;
    file_close(fd);
    return -1;
}

/* In place of it: a file with holes, which is removed as soon as it is read. */
static Status temporary_file_open(char path[PATH_MAX], int *fd) {
    const char *folders[] = {getenv("TMPDIR"), "/dev/shm", "/tmp"};
    int error = errno;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (folders[i] == NULL || folders[i][0] == '\0' || strlen(folders[i]) + 32 > PATH_MAX)
            continue;
        snprintf(path, PATH_MAX, "%s/hourglass-checkpoint-XXXXXX", folders[i]);
        *fd = mkostemp(path, O_CLOEXEC);
        if (*fd >= 0) return OK;
    }
    return ERROR(STATUS_FAILURE,
                 "checkpoint: no file in memory (memfd_create, /proc/self/fd): %s; nor a temporary "
                 "one in $TMPDIR, /dev/shm and /tmp: %s; set TMPDIR to a folder for files",
                 strerror(error), strerror(errno));
}

/* Writers begin snapshots on threads of their own: one in memory beside one of shards. */
static pthread_mutex_t hdf5_lock = PTHREAD_MUTEX_INITIALIZER;

/* Writes the file without its tensors' data. */
static Status skeleton_write(const char *path, const CheckpointContents *contents, size_t *places) {
    pthread_mutex_lock(&hdf5_lock);
    hdf5_begin();
    hid_t texts = -1, access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_stdio(access); /* the default driver looks for the name behind the path */
    H5Pset_file_locking(access, false, true);
    H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST); /* core/hdf5/ reads it */
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    if (file >= 0) texts = H5Gcreate2(file, "text", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    Status status =
        texts < 0 ? cannot_build(hdf5_reason()) : contents_create(file, texts, contents, places);
    if (texts >= 0) H5Gclose(texts);
    if (file >= 0 && H5Fclose(file) < 0 && !failed(status)) status = cannot_build(hdf5_reason());
    H5Pclose(access);
    pthread_mutex_unlock(&hdf5_lock);
    return status;
}

/* Copies the skeleton into the image. */
static Status skeleton_take(int fd, const CheckpointContents *contents, CheckpointImage *image) {
    struct stat info;
    if (fstat(fd, &info) != 0) return cannot_build(strerror(errno));
    size_t size = (size_t)info.st_size;
    if (!image_reserve(image, size)) return OUT_OF_MEMORY("a checkpoint of %zu bytes", size);
    TRY(image_list_pieces(image, contents));
    TRY(image_read_gaps(image, fd, size));
    image->n_tensors = contents->n_tensors;
    image->size = size;
    return OK;
}

Status checkpoint_snapshot_begin(CheckpointImage *image, const CheckpointContents *contents) {
    image->n_pieces = 0;
    image->size = 0;
    image->arrive = contents->arrive;
    image->self = contents->self;
    TRY(limit_check(contents));
    TRY(places_reserve(image, contents->n_tensors));
    char path[PATH_MAX];
    int fd = memory_file_open(path);
    bool is_temporary = fd < 0;
    if (is_temporary) TRY(temporary_file_open(path, &fd));
    Status status = skeleton_write(path, contents, image->places);
    if (!failed(status)) status = skeleton_take(fd, contents, image);
    if (is_temporary) file_remove(path);
    file_close(fd);
    return status;
}

Status checkpoint_snapshot(CheckpointImage *image, const CheckpointContents *contents) {
    TRY(checkpoint_snapshot_begin(image, contents));
    TRY(image_arrive(image));
    checkpoint_image_finish(image);
    return OK;
}

Status checkpoint_save(const CheckpointContents *contents, const char *dir, int64_t step,
                       CheckpointKeep keep) {
    CheckpointImage *image = NULL;
    size_t bytes;
    TRY(checkpoint_image_bytes(contents, &bytes));
    TRY(checkpoint_image_create(bytes, &image));
    Status status = checkpoint_snapshot(image, contents);
    if (!failed(status)) status = checkpoint_write(image, dir, step, keep);
    checkpoint_image_destroy(&image);
    return status;
}
