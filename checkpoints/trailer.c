#include "checkpoints/file_layout.h"

#include "core/base/file.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum { READ_BYTES = 4 << 20, VERSION = 1, COVERED_BYTES = 48 };

static const char MAGIC[8] = {'H', 'G', 'C', 'K', 'P', 'T', '\r', '\n'};

static void put_u64(unsigned char *to, uint64_t value) {
    uint64_t little = htole64(value);
    memcpy(to, &little, sizeof little);
}

static uint64_t get_u64(const unsigned char *from) {
    uint64_t little;
    memcpy(&little, from, sizeof little);
    return le64toh(little);
}

void trailer_encode(const Trailer *trailer, unsigned char out[TRAILER_BYTES]) {
    memcpy(out, MAGIC, sizeof MAGIC);
    put_u64(out + 8, VERSION);
    put_u64(out + 16, trailer->image_bytes);
    put_u64(out + 24, (uint64_t)trailer->step);
    memcpy(out + 32, trailer->hash, sizeof trailer->hash);
    put_u64(out + COVERED_BYTES, XXH3_64bits(out, COVERED_BYTES));
}

bool trailer_decode(const unsigned char bytes[TRAILER_BYTES], Trailer *out) {
    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0 || get_u64(bytes + 8) != VERSION) return false;
    if (get_u64(bytes + COVERED_BYTES) != XXH3_64bits(bytes, COVERED_BYTES)) return false;
    out->image_bytes = get_u64(bytes + 16);
    out->step = (int64_t)get_u64(bytes + 24);
    memcpy(out->hash, bytes + 32, sizeof out->hash);
    return true;
}

ImageHash *hash_begin(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL) XXH3_128bits_reset(state);
    return state;
}

void hash_add(ImageHash *hash, const void *data, size_t bytes) {
    XXH3_128bits_update(hash, data, bytes);
}

void hash_end(ImageHash *hash, unsigned char out[HASH_BYTES]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(hash));
    memcpy(out, canonical.digest, HASH_BYTES);
    XXH3_freeState(hash);
}

static Status read_at(int fd, const char *path, void *to, size_t bytes, size_t at) {
    size_t got;
    TRY(file_read_at(fd, path, to, bytes, at, &got));
    return got == bytes ? OK : ERROR(STATUS_DATA, "%s: ends early, at byte %zu", path, at + got);
}

Status trailer_read(int fd, const char *path, Trailer *out) {
    struct stat info;
    unsigned char bytes[TRAILER_BYTES];
    if (fstat(fd, &info) != 0)
        return ERROR(STATUS_FAILURE, "%s: cannot inspect it: %s", path, strerror(errno));
    size_t size = (size_t)info.st_size;
    if (size < TRAILER_BYTES) {
        return ERROR(STATUS_DATA, "%s: not a checkpoint, or truncated: it has only %zu bytes", path,
                     size);
    }
    TRY(read_at(fd, path, bytes, sizeof bytes, size - TRAILER_BYTES));
    if (!trailer_decode(bytes, out)) {
        return ERROR(
            STATUS_DATA,
            "%s: not a checkpoint, or truncated: its last %d bytes are not a valid trailer", path,
            TRAILER_BYTES);
    }
    if (out->image_bytes != size - TRAILER_BYTES) {
        return ERROR(STATUS_DATA, "%s: damaged: %zu bytes where its trailer says %llu", path,
                     size - TRAILER_BYTES, (unsigned long long)out->image_bytes);
    }
    return OK;
}

static size_t at_once(size_t bytes) { return bytes < READ_BYTES ? bytes : READ_BYTES; }

static Status content_hash(int fd, const char *path, uint64_t bytes, ImageHash *hash,
                           void *buffer) {
    for (size_t done = 0; done < bytes;) {
        size_t n = at_once(bytes - done);
        TRY(read_at(fd, path, buffer, n, done));
        hash_add(hash, buffer, n);
        done += n;
    }
    return OK;
}

static Status content_check(int fd, const char *path, const Trailer *trailer) {
    unsigned char found[HASH_BYTES] = {0};
    ImageHash *hash = hash_begin();
    void *buffer = malloc(at_once(trailer->image_bytes) + 1);
    Status status = hash != NULL && buffer != NULL
                        ? content_hash(fd, path, trailer->image_bytes, hash, buffer)
                        : ERROR(STATUS_OUT_OF_MEMORY, "out of memory to check %s", path);
    free(buffer);
    if (hash != NULL) hash_end(hash, found);
    if (failed(status) || memcmp(found, trailer->hash, sizeof found) == 0) return status;
    return ERROR(STATUS_DATA,
                 "%s: damaged: its contents do not match their hash; use an older checkpoint",
                 path);
}

Status trailer_verify(const char *path, Trailer *out) {
    int fd;
    TRY(file_open_regular(path, &fd));
    if (fd < 0) return ERROR(STATUS_DATA, "%s: no such file", path);
    Status status = trailer_read(fd, path, out);
    if (!failed(status)) status = content_check(fd, path, out);
    file_close(fd);
    return status;
}
