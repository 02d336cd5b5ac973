#include "data/hdf5_tokens.h"

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/leftovers.h"
#include "core/hdf5/hdf5_file.h"
#include "data/tokenizer.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { USER_BLOCK = 512, ALIGNMENT = 512, METADATA_BYTES = 4096, MOST_HEADER_BYTES = 1 << 20 };

static const char block_magic[24] = "hourglass tokens 1\n";

typedef struct UserBlock {
    char magic[24];
    uint64_t file_bytes;   /* of the whole file */
    uint64_t header_bytes; /* user block and header: the offset of the tokens */
    uint64_t header_hash;  /* XXH3 of the header_bytes - USER_BLOCK bytes after the user block */
} UserBlock;

static bool has_user_block(const uint8_t *bytes, size_t size) {
    return size >= sizeof block_magic && memcmp(bytes, block_magic, sizeof block_magic) == 0;
}

Status hdf5_tokens_are(const InputFile *file, bool *are) {
    uint8_t head[sizeof block_magic];
    size_t size = file->bytes < sizeof head ? (size_t)file->bytes : sizeof head;
    uint64_t base;
    TRY(input_read(file, head, size, 0));
    *are = has_user_block(head, size);
    return *are ? OK : hdf5_find(file, are, &base);
}

/* ---- reading --------------------------------------------------------------------------------- */

static Status damaged(const char *path) {
    return ERROR(STATUS_DATA,
                 "%s: the header of this token file is damaged; make it again with ./prepare",
                 path);
}

static Status header_check(const InputFile *file, const UserBlock *block) {
    size_t bytes = block->header_bytes - USER_BLOCK;
    uint8_t *header = malloc(bytes);
    if (header == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory for its header", file->path);
    Status status = input_read(file, header, bytes, USER_BLOCK);
    if (!failed(status) && XXH3_64bits(header, bytes) != block->header_hash)
        status = damaged(file->path);
    free(header);
    return status;
}

static Status block_check(const InputFile *file) {
    UserBlock block = {.file_bytes = USER_BLOCK};
    if (file->bytes >= sizeof block) TRY(input_read(file, &block, sizeof block, 0));
    if (block.file_bytes > file->bytes) {
        return ERROR(
            STATUS_DATA, "%s: truncated to %llu of %llu bytes; make it again with ./prepare",
            file->path, (unsigned long long)file->bytes, (unsigned long long)block.file_bytes);
    }
    bool is_sound = block.file_bytes == file->bytes && block.header_bytes > USER_BLOCK &&
                    block.header_bytes <= file->bytes && block.header_bytes <= MOST_HEADER_BYTES;
    return is_sound ? header_check(file, &block) : damaged(file->path);
}

/* ---- attributes ------------------------------------------------------------------------------ */

typedef struct Attributes {
    const Hdf5File *file;
    const Hdf5Object *dataset;
} Attributes;

/* Those of other types count as missing, such as strings of variable length. */
static Status attribute_find(const Attributes *in, const char *name, Hdf5Kind kind, Hdf5Value *out,
                             bool *is_there) {
    TRY(hdf5_attribute_find(in->file, in->dataset, name, out, is_there));
    *is_there = *is_there && out->type.kind == kind && out->data != NULL;
    return OK;
}

static Status integer_take(const Attributes *in, const char *name, int64_t *out) {
    Hdf5Value value;
    bool is_there;
    TRY(attribute_find(in, name, HDF5_INTEGER, &value, &is_there));
    if (is_there) *out = hdf5_integer(&value);
    return OK;
}

static Status attributes_take(const Attributes *in, TokenHeader *out) {
    Hdf5Value value;
    bool is_there;
    int64_t hash = 0;
    TRY(attribute_find(in, "tokenizer", HDF5_STRING, &value, &is_there));
    if (is_there && value.type.size < sizeof out->tokenizer)
        memcpy(out->tokenizer, value.data, value.type.size);
    if (out->tokenizer[0] == '\0') strcpy(out->tokenizer, TOKENIZER_UNKNOWN);
    TRY(integer_take(in, "tokenizer_hash", &hash));
    out->tokenizer_hash = (uint64_t)hash;
    TRY(integer_take(in, "vocab_size", &out->vocab_size));
    return integer_take(in, "end_of_text", &out->end_of_text);
}

/* ---- the dataset ----------------------------------------------------------------------------- */

static int width_of(Hdf5Type type) {
    bool is_token =
        type.kind == HDF5_INTEGER && !type.is_signed && (type.size == 2 || type.size == 4);
    return is_token ? (int)type.size : 0;
}

/* The reason why a dataset cannot be read as tokens, or NULL. */
static const char *dataset_refuse(const Hdf5Dataset *set) {
    if (set->is_null || set->rank != 1) return "is not one-dimensional";
    if (width_of(set->type) == 0) return "is neither uint16 nor uint32";
    if (set->type.is_big_endian) return "is big-endian";
    if (set->is_filtered)
        return "is compressed or filtered; only plain storage can be read in windows";
    if (!set->is_contiguous) return "is chunked, compact or virtual; it must be contiguous";
    if (set->is_external) return "lies in external files";
    if (set->dims[0] == 0 || set->dims[0] > INT64_MAX) return "holds no tokens";
    if (set->at == HDF5_NOWHERE) return "was never written";
    return NULL;
}

static const char *dataset_take(const Hdf5Dataset *set, uint64_t size, TokenHeader *out) {
    size_t bytes, end;
    const char *reason = dataset_refuse(set);
    if (reason != NULL) return reason;
    out->count = (int64_t)set->dims[0];
    out->width = width_of(set->type);
    out->offset = (size_t)set->at;
    bool is_inside = checked_mul((size_t)out->count, (size_t)out->width, &bytes) &&
                     checked_add(out->offset, bytes, &end) && end <= size && bytes == set->bytes;
    return is_inside ? NULL : "extends beyond the end of the file, which is truncated";
}

static Status object_take(const Hdf5File *file, const Hdf5Object *object, TokenHeader *out) {
    Hdf5Dataset set;
    const char *path = file->input->path;
    if (!hdf5_is_dataset(object))
        return ERROR(STATUS_DATA, "%s: 'tokens' is not a dataset; make it again with ./prepare",
                     path);
    TRY(hdf5_dataset_describe(file, object, &set));
    const char *reason = dataset_take(&set, file->input->bytes, out);
    if (reason == NULL) {
        TRY(attributes_take(&(Attributes){file, object}, out));
        if (out->vocab_size < 0) reason = "has a negative vocab_size";
    }
    if (reason == NULL) return OK;
    return ERROR(STATUS_DATA, "%s: the dataset 'tokens' %s; make it again with ./prepare", path,
                 reason);
}

/* The links of the root group, in the arena. */
static Status root_read(const Hdf5File *file, Arena *arena, Hdf5Links *out) {
    Hdf5Object root;
    TRY(hdf5_object_read(file, file->root, &root));
    Status status = hdf5_links_read(file, &root, arena, out);
    hdf5_object_free(&root);
    return status;
}

/* The address of the dataset. */
static Status tokens_find(const Hdf5File *file, uint64_t *address) {
    Arena arena = {0};
    Hdf5Links links;
    const char *path = file->input->path;
    Status status = root_read(file, &arena, &links);
    const Hdf5Link *link = failed(status) ? NULL : hdf5_link_find(&links, "tokens");
    if (!failed(status) && link == NULL) {
        status = ERROR(
            STATUS_DATA,
            "%s: an HDF5 file without the dataset 'tokens'; make token files with ./prepare", path);
    } else if (!failed(status) && link->address == HDF5_NOWHERE) {
        status = ERROR(
            STATUS_DATA,
            "%s: 'tokens' is a link, which is not followed; name the file that holds the dataset",
            path);
    }
    if (!failed(status)) *address = link->address;
    arena_free(&arena);
    return status;
}

static Status tokens_read(const InputFile *input, TokenHeader *out) {
    Hdf5File file;
    Hdf5Object object;
    uint64_t address;
    TRY(hdf5_open(input, &file));
    TRY(tokens_find(&file, &address));
    TRY(hdf5_object_read(&file, address, &object));
    Status status = object_take(&file, &object, out);
    hdf5_object_free(&object);
    return status;
}

Status hdf5_tokens_read(const InputFile *input, TokenHeader *out) {
    char magic[sizeof block_magic] = {0};
    *out = (TokenHeader){.end_of_text = -1};
    if (input->bytes >= sizeof magic) TRY(input_read(input, magic, sizeof magic, 0));
    if (memcmp(magic, block_magic, sizeof magic) == 0) TRY(block_check(input));
    return tokens_read(input, out);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Silences HDF5 on this thread and disables its exit handler. After a failed write or close, the
 * handler would crash when it flushes the remaining data. This file closes every object that it
 * opens. */
static void hdf5_begin(void) {
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static bool attribute_write(hid_t dataset, const char *name, hid_t type, const void *value) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(dataset, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool is_written = attribute >= 0 && H5Awrite(attribute, type, value) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    H5Sclose(space);
    return is_written;
}

static bool attributes_write(hid_t dataset, const TokenHeader *header) {
    hid_t string = H5Tcopy(H5T_C_S1);
    H5Tset_size(string, strlen(header->tokenizer) + 1);
    bool is_written =
        attribute_write(dataset, "tokenizer", string, header->tokenizer) &&
        attribute_write(dataset, "tokenizer_hash", H5T_STD_U64LE, &header->tokenizer_hash) &&
        attribute_write(dataset, "vocab_size", H5T_STD_I64LE, &header->vocab_size) &&
        attribute_write(dataset, "end_of_text", H5T_STD_I64LE, &header->end_of_text);
    H5Tclose(string);
    return is_written;
}

/* The first write allocates the storage; by then all HDF5 structures already precede it. */
static bool dataset_write(hid_t file, TokenHeader *header) {
    hsize_t count = (hsize_t)header->count, one = 1;
    hid_t type = header->width == 2 ? H5T_STD_U16LE : H5T_STD_U32LE;
    hid_t space = H5Screate_simple(1, &count, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(list, false); /* the same tokens give the same file */
    H5Pset_alloc_time(list, H5D_ALLOC_TIME_LATE);
    H5Pset_fill_time(list, H5D_FILL_TIME_NEVER);
    hid_t dataset = H5Dcreate2(file, "tokens", type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    hid_t memory = H5Screate_simple(1, &one, NULL);
    bool is_written =
        dataset >= 0 && attributes_write(dataset, header) && H5Fflush(file, H5F_SCOPE_LOCAL) >= 0 &&
        H5Sselect_hyperslab(space, H5S_SELECT_SET, &(hsize_t){0}, NULL, &one, NULL) >= 0 &&
        H5Dwrite(dataset, type, memory, space, H5P_DEFAULT, &(uint32_t){0}) >= 0;
    if (is_written) header->offset = (size_t)H5Dget_offset(dataset);
    if (dataset >= 0) H5Dclose(dataset);
    H5Sclose(memory);
    H5Pclose(list);
    H5Sclose(space);
    return is_written;
}

static bool file_write(const char *path, TokenHeader *header) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_file_locking(access, false, true);
    H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
    H5Pset_alignment(access, 1, ALIGNMENT);
    H5Pset_meta_block_size(access, METADATA_BYTES);
    H5Pset_small_data_block_size(access, 0);
    H5Pset_userblock(creation, USER_BLOCK);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    file_remove(path);
    bool is_written = file >= 0 && dataset_write(file, header);
    if (file >= 0) is_written = H5Fclose(file) >= 0 && is_written;
    H5Pclose(creation);
    H5Pclose(access);
    return is_written;
}

static void block_fill(uint8_t *bytes, const TokenHeader *header) {
    UserBlock block = {.header_bytes = header->offset};
    memcpy(block.magic, block_magic, sizeof block_magic);
    block.file_bytes = header->offset + (size_t)header->count * (size_t)header->width;
    block.header_hash = XXH3_64bits(bytes + USER_BLOCK, header->offset - USER_BLOCK);
    memcpy(bytes, &block, sizeof block);
}

/* HDF5 writes a sparse file on an in-memory file system. It has the full length, but only the pages
 * of the header exist; HDF5's own in-memory driver would fill all of it. HDF5 opens it by name, and
 * the name is removed right after. Names left by killed processes are removed here. */
static int scratch_create(char *path, size_t size) {
    static const char *const folders[] = {"/dev/shm", "/tmp"}, *const names[] = {
                                                                   "hourglass-header-", NULL};
    int fd = -1;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && fd < 0; i++) {
        leftovers_remove(folders[i], names);
        snprintf(path, size, "%s/%sXXXXXX", folders[i], names[0]);
        fd = mkostemp(path, O_CLOEXEC);
    }
    return fd;
}

static uint8_t *header_read(int fd, const TokenHeader *header) {
    off_t data_end = (off_t)header->offset + header->count * header->width;
    if (header->offset <= USER_BLOCK || lseek(fd, 0, SEEK_END) != data_end)
        return NULL; /* unexpected layout */
    uint8_t *bytes = malloc(header->offset);
    size_t got = 0;
    bool is_read =
        bytes != NULL && !failed(file_read_at(fd, "the header", bytes, header->offset, 0, &got));
    if (is_read && got == header->offset) return bytes;
    free(bytes);
    return NULL;
}

Status hdf5_tokens_build(TokenHeader *header, uint8_t **out) {
    char path[64];
    *out = NULL;
    int fd = scratch_create(path, sizeof path);
    if (fd < 0)
        return ERROR(STATUS_FAILURE, "%s: cannot make a temporary file: %s", path, strerror(errno));
    hdf5_begin();
    if (file_write(path, header)) *out = header_read(fd, header);
    file_close(fd);
    if (*out == NULL)
        return ERROR(STATUS_FAILURE,
                     "%s: HDF5 cannot write the header of a token file there; free some space",
                     path);
    block_fill(*out, header);
    return OK;
}
