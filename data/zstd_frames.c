/* zstd by libzstd. */
#include "data/decompressor.h"
#include "data/zstd_magic.h"

#include <zstd.h>

static Status frames_create(Decompressor **out) {
    *out = (Decompressor *)ZSTD_createDStream();
    if (*out != NULL) return OK;
    return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to decompress it");
}

static Status frames_run(Decompressor *d, const uint8_t *in, size_t n, size_t *used, uint8_t *out,
                         size_t capacity, size_t *made, bool *ended) {
    ZSTD_inBuffer from = {in, n, 0};
    ZSTD_outBuffer to = {out, capacity, 0};
    size_t result = ZSTD_decompressStream((ZSTD_DStream *)d, &to, &from);
    *used = from.pos;
    *made = to.pos;
    *ended = result == 0;
    if (!ZSTD_isError(result)) return OK;
    return ERROR(STATUS_DATA, "damaged zstd data (%s)", ZSTD_getErrorName(result));
}

static void frames_destroy(Decompressor *d) { ZSTD_freeDStream((ZSTD_DStream *)d); }

const Codec zstd_codec = {"zstd",        zstd_magic, sizeof zstd_magic,
                          frames_create, frames_run, frames_destroy};
