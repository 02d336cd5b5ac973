/* gzip by zlib. Source: RFC 1952. */
#include "data/decompressor.h"

#include <stdlib.h>
#include <zlib.h>

enum { GZIP_ONLY = 16, ONE_STEP = 1 << 30 };

struct Decompressor {
    z_stream z;
    bool ended;
};

static Status gzip_create(Decompressor **out) {
    Decompressor *d = calloc(1, sizeof *d);
    *out = d;
    if (d != NULL && inflateInit2(&d->z, MAX_WBITS + GZIP_ONLY) == Z_OK) return OK;
    free(d);
    *out = NULL;
    return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to decompress it");
}

static uInt step_of(size_t bytes) { return bytes < ONE_STEP ? (uInt)bytes : ONE_STEP; }

static Status gzip_run(Decompressor *d, const uint8_t *in, size_t n, size_t *used, uint8_t *out,
                       size_t capacity, size_t *made, bool *ended) {
    if (d->ended) inflateReset(&d->z);
    d->z.next_in = (z_const Bytef *)in;
    d->z.avail_in = step_of(n);
    d->z.next_out = out;
    d->z.avail_out = step_of(capacity);
    int result = inflate(&d->z, Z_NO_FLUSH);
    *used = (size_t)(d->z.next_in - in);
    *made = (size_t)(d->z.next_out - out);
    *ended = d->ended = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) return OK;
    if (result == Z_MEM_ERROR) return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to decompress it");
    return ERROR(STATUS_DATA, "damaged gzip data (%s)", d->z.msg == NULL ? "no reason" : d->z.msg);
}

static void gzip_destroy(Decompressor *d) {
    inflateEnd(&d->z);
    free(d);
}

static const uint8_t magic[] = {0x1f, 0x8b};
const Codec gzip_codec = {"gzip", magic, sizeof magic, gzip_create, gzip_run, gzip_destroy};
