#include "data/hdf5_tokens.h"

#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/leftovers.h"

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
static const uint8_t hdf5_signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

typedef struct UserBlock {
    char magic[24];
    uint64_t file_bytes;   /* of the whole file */
    uint64_t header_bytes; /* user block and header: the offset of the tokens */
    uint64_t header_hash;  /* XXH3 of the header_bytes - USER_BLOCK bytes after the user block */
} UserBlock;

static bool has_user_block(const uint8_t *bytes, size_t size) {
    return size >= sizeof block_magic && memcmp(bytes, block_magic, sizeof block_magic) == 0;
}

/* Silences HDF5 on this thread and disables its exit handler. After a failed write or close, the
 * handler would crash when it flushes the remaining data. This file closes every object that it
 * opens. */
static void hdf5_begin(void) {
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* HDF5's signature is at offset 0 or after a user block of 512, 1024, ... bytes. Source: HDF5 file
 * format 3.0, II.A. */
bool hdf5_tokens_is(const uint8_t *bytes, size_t size) {
    if (has_user_block(bytes, size)) return true;
    for (size_t at = 0; at <= 2048 && at + sizeof hdf5_signature <= size;
         at = at == 0 ? USER_BLOCK : 2 * at) {
        if (memcmp(bytes + at, hdf5_signature, sizeof hdf5_signature) == 0) return true;
    }
    return false;
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

/* For types from foreign files, HDF5 is only asked whether they equal a standard type. Converting
 * integers of a precision or offset from a hostile file makes HDF5 read and write out of bounds. */
static bool is_integer(hid_t type) {
    const hid_t known[] = {H5T_STD_I8LE, H5T_STD_I16LE, H5T_STD_I32LE, H5T_STD_I64LE,
                           H5T_STD_U8LE, H5T_STD_U16LE, H5T_STD_U32LE, H5T_STD_U64LE,
                           H5T_STD_I8BE, H5T_STD_I16BE, H5T_STD_I32BE, H5T_STD_I64BE,
                           H5T_STD_U8BE, H5T_STD_U16BE, H5T_STD_U32BE, H5T_STD_U64BE};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (H5Tequal(type, known[i]) > 0) return true;
    }
    return false;
}

/* A fixed-length string, as this file writes it. Variable-length strings of other writers count as
 * missing. */
static bool is_string(hid_t type, size_t size) {
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        H5Tget_size(type) >= size)
        return false;
    hid_t plain = H5Tcopy(H5T_C_S1);
    bool is_plain = H5Tset_size(plain, H5Tget_size(type)) >= 0 &&
                    H5Tset_cset(plain, H5Tget_cset(type)) >= 0 &&
                    H5Tset_strpad(plain, H5Tget_strpad(type)) >= 0 && H5Tequal(type, plain) > 0;
    H5Tclose(plain);
    return is_plain;
}

/* The type of an attribute that holds one value; -1 otherwise. */
static hid_t scalar_type(hid_t attribute) {
    hid_t space = H5Aget_space(attribute);
    bool is_one = H5Sget_simple_extent_npoints(space) == 1;
    H5Sclose(space);
    return is_one ? H5Aget_type(attribute) : -1;
}

static bool attribute_read_integer(hid_t dataset, const char *name, hid_t type, void *out) {
    if (H5Aexists(dataset, name) <= 0) return false;
    hid_t attribute = H5Aopen(dataset, name, H5P_DEFAULT), stored = scalar_type(attribute);
    bool is_read = stored >= 0 && is_integer(stored) && H5Aread(attribute, type, out) >= 0;
    H5Tclose(stored);
    H5Aclose(attribute);
    return is_read;
}

static void attribute_read_string(hid_t dataset, const char *name, char *out, size_t size) {
    if (H5Aexists(dataset, name) <= 0) return;
    hid_t attribute = H5Aopen(dataset, name, H5P_DEFAULT), stored = scalar_type(attribute);
    bool is_read = stored >= 0 && is_string(stored, size) && H5Aread(attribute, stored, out) >= 0;
    if (!is_read) out[0] = '\0';
    H5Tclose(stored);
    H5Aclose(attribute);
}

static void attributes_read(hid_t dataset, TokenHeader *out) {
    attribute_read_string(dataset, "tokenizer", out->tokenizer, sizeof out->tokenizer);
    attribute_read_integer(dataset, "tokenizer_hash", H5T_NATIVE_UINT64, &out->tokenizer_hash);
    if (!attribute_read_integer(dataset, "vocab_size", H5T_NATIVE_INT64, &out->vocab_size))
        out->vocab_size = 0;
    if (!attribute_read_integer(dataset, "end_of_text", H5T_NATIVE_INT64, &out->end_of_text))
        out->end_of_text = -1;
}

static int width_of(hid_t type) {
    return H5Tequal(type, H5T_STD_U16LE) > 0 ? 2 : H5Tequal(type, H5T_STD_U32LE) > 0 ? 4 : 0;
}

/* The reason why a dataset cannot be read as tokens, or NULL. */
static const char *dataset_refuse(hid_t dataset, hid_t space, hid_t type, hid_t list) {
    if (H5Sget_simple_extent_ndims(space) != 1) return "is not one-dimensional";
    if (H5Tequal(type, H5T_STD_U16BE) > 0 || H5Tequal(type, H5T_STD_U32BE) > 0)
        return "is big-endian";
    if (width_of(type) == 0) return "is neither uint16 nor uint32";
    if (H5Pget_nfilters(list) != 0)
        return "is compressed or filtered; only plain storage can be read in windows";
    if (H5Pget_layout(list) != H5D_CONTIGUOUS)
        return "is chunked, compact or virtual; it must be contiguous";
    if (H5Pget_external_count(list) != 0) return "lies in external files";
    if (H5Sget_simple_extent_npoints(space) <= 0) return "holds no tokens";
    if (H5Dget_offset(dataset) == HADDR_UNDEF) return "was never written";
    return NULL;
}

static const char *dataset_read(hid_t dataset, uint64_t size, TokenHeader *out) {
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset),
          list = H5Dget_create_plist(dataset);
    const char *reason = dataset_refuse(dataset, space, type, list);
    if (reason == NULL) {
        size_t bytes, end;
        out->count = H5Sget_simple_extent_npoints(space);
        out->width = width_of(type);
        out->offset = (size_t)H5Dget_offset(dataset);
        bool is_inside = checked_mul((size_t)out->count, (size_t)out->width, &bytes) &&
                         checked_add(out->offset, bytes, &end) && end <= size;
        if (!is_inside) reason = "extends beyond the end of the file, which is truncated";
        attributes_read(dataset, out);
        if (out->vocab_size < 0) reason = "has a negative vocab_size";
    }
    H5Pclose(list);
    H5Tclose(type);
    H5Sclose(space);
    return reason;
}

static Status file_read(const char *path, hid_t file, uint64_t size, TokenHeader *out) {
    H5L_info_t link;
    if (H5Lexists(file, "tokens", H5P_DEFAULT) <= 0 ||
        H5Lget_info(file, "tokens", &link, H5P_DEFAULT) < 0) {
        return ERROR(
            STATUS_DATA,
            "%s: an HDF5 file without the dataset 'tokens'; make token files with ./prepare", path);
    }
    if (link.type != H5L_TYPE_HARD) {
        return ERROR(
            STATUS_DATA,
            "%s: 'tokens' is a link, which is not followed; name the file that holds the dataset",
            path);
    }
    /* Some versions of HDF5 crash on messages that a header shares (checkpoints/load.c). */
    H5O_info_t info;
    bool is_own =
        H5Oget_info_by_name1(file, "tokens", &info, H5P_DEFAULT) >= 0 && info.hdr.mesg.shared == 0;
    hid_t dataset = is_own ? H5Dopen2(file, "tokens", H5P_DEFAULT) : -1;
    if (dataset < 0)
        return ERROR(STATUS_DATA, "%s: 'tokens' is not a dataset; make it again with ./prepare",
                     path);
    const char *reason = dataset_read(dataset, size, out);
    H5Dclose(dataset);
    if (reason == NULL) return OK;
    return ERROR(STATUS_DATA, "%s: the dataset 'tokens' %s; make it again with ./prepare", path,
                 reason);
}

Status hdf5_tokens_read(const InputFile *input, TokenHeader *out) {
    char magic[sizeof block_magic] = {0};
    *out = (TokenHeader){.end_of_text = -1};
    if (input->bytes >= sizeof magic) TRY(input_read(input, magic, sizeof magic, 0));
    if (memcmp(magic, block_magic, sizeof magic) == 0) TRY(block_check(input));
    hdf5_begin();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    /* A finished token file has no writers, and some disks do not support locks. */
    H5Pset_file_locking(access, false, true);
    hid_t file;
    /* HDF5 does not retry open or flock after EINTR, and version 1.14 does not preserve errno. */
    int left = 8;
    do {
        file = H5Fopen(input->path, H5F_ACC_RDONLY, access);
    } while (file < 0 && --left > 0);
    H5Pclose(access);
    if (file < 0) {
        return ERROR(
            STATUS_DATA,
            "%s: HDF5 cannot open it; it is damaged or truncated; make it again with ./prepare",
            input->path);
    }
    Status status = file_read(input->path, file, input->bytes, out);
    H5Fclose(file);
    return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

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
