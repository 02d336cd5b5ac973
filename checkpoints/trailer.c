#include "checkpoints/internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
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

void hash_canonical(const void *data, size_t bytes, unsigned char out[16]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, bytes));
    memcpy(out, canonical.digest, 16);
}

static Status read_at(int fd, const char *path, void *to, size_t bytes, size_t at) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, (char *)to + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ERROR(STATUS_DATA, "%s: cannot be read: %s", path, strerror(errno));
        if (n == 0) return ERROR(STATUS_DATA, "%s: ends early, at byte %zu", path, at + done);
        done += (size_t)n;
    }
    return OK;
}

Status trailer_read(int fd, const char *path, Trailer *out) {
    struct stat info;
    unsigned char bytes[TRAILER_BYTES];
    if (fstat(fd, &info) != 0) return ERROR(STATUS_DATA, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return ERROR(STATUS_DATA, "%s: not a file", path);
    size_t size = (size_t)info.st_size;
    if (size < TRAILER_BYTES) {
        return ERROR(STATUS_DATA, "%s: not a checkpoint, or cut off: it has only %zu bytes", path, size);
    }
    TRY(read_at(fd, path, bytes, sizeof bytes, size - TRAILER_BYTES));
    if (!trailer_decode(bytes, out)) {
        return ERROR(STATUS_DATA, "%s: not a checkpoint, or cut off: its last %d bytes are no whole trailer", path,
                     TRAILER_BYTES);
    }
    if (out->image_bytes != size - TRAILER_BYTES) {
        return ERROR(STATUS_DATA, "%s: damaged: %zu bytes where its trailer says %llu", path, size - TRAILER_BYTES,
                     (unsigned long long)out->image_bytes);
    }
    return OK;
}

static Status hash_check(int fd, const char *path, const Trailer *trailer, XXH3_state_t *state, void *buffer) {
    XXH3_128bits_reset(state);
    for (size_t done = 0; done < trailer->image_bytes;) {
        size_t left = trailer->image_bytes - done, n = left < READ_BYTES ? left : READ_BYTES;
        TRY(read_at(fd, path, buffer, n, done));
        XXH3_128bits_update(state, buffer, n);
        done += n;
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    if (memcmp(canonical.digest, trailer->hash, sizeof trailer->hash) == 0) return OK;
    return ERROR(STATUS_DATA, "%s: damaged: its contents do not match their hash; use an older checkpoint", path);
}

Status trailer_verify(const char *path, Trailer *out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ERROR(STATUS_DATA, "%s: cannot be opened: %s", path, strerror(errno));
    XXH3_state_t *state = XXH3_createState();
    void *buffer = malloc(READ_BYTES);
    Status status = OK;
    if (state == NULL || buffer == NULL) {
        status = ERROR(STATUS_NO_ROOM, "out of memory to check %s", path);
    } else {
        status = trailer_read(fd, path, out);
        if (!failed(status)) status = hash_check(fd, path, out, state, buffer);
    }
    free(buffer);
    XXH3_freeState(state);
    close(fd);
    return status;
}
